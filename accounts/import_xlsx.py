"""The rows of the first sheet of an XLSX file, streamed.

Not openpyxl: without another package it reads XML with entities, and it keeps something of every row, so that a million
of them don't fit into the memory of a worker. Here expat streams, a document type is refused before anything of it is
read, shared texts lie packed in one block, and nothing is taken out of the archive that it didn't announce. Formulas
are never computed: a cell that holds one is handed on as such and refused with its row.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import IO, Any
from xml.parsers import expat

CHUNK = 64 * 1024
MOST_MEMBERS = 1_000
LARGEST_DIRECTORY = 1024 * 1024
LARGEST_MEMBER = 2 * 1024**3
HIGHEST_RATIO = 200  # of members past 10 MB: text compresses twenty- to fifty-fold
LARGEST_PART = 8 * 1024 * 1024  # workbook, relations, styles
LARGEST_TEXTS = 96 * 1024 * 1024  # bytes of all shared texts together
LONGEST_CELL = 32_767
MOST_COLUMNS = 200
MOST_RAW_ROWS = 1_048_576
LONGEST_TOKEN = 1024 * 1024  # bytes without a tag beginning or ending
_DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}  # number formats that are dates by themselves
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')


class FileRefused(Exception):
    """The whole file can't be taken. `error` is `code` or `code|what` (import_rows.REFUSALS)."""

    def __init__(self, code: str, what: str = ""):
        self.error = f"{code}|{what}" if what else code
        super().__init__(self.error)


class Untaken(str):
    """A cell whose text is not what somebody typed: `why` is formula, rounded or error."""

    why: str

    def __new__(cls, why: str) -> Untaken:
        made = super().__new__(cls, "?")
        made.why = why
        return made


def rows(stream: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """(number, cells) of each row of the first sheet, in order. Raises FileRefused."""
    try:
        _check_end(stream)
        with zipfile.ZipFile(stream) as archive:  # type: ignore[arg-type]
            _check_members(archive)
            book = _Book(archive)
            yield from _Sheet(book).rows(archive)
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, LookupError, ValueError, EOFError, NotImplementedError):
        raise FileRefused("not_xlsx") from None
    except RuntimeError:  # zipfile's word for a member that needs a password
        raise FileRefused("xlsx_encrypted") from None


def _check_end(stream: IO[bytes]) -> None:
    """A directory of a million members would fill the memory before one could count them: its size stands at the end."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - 65_557))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise FileRefused("not_xlsx")
    members = int.from_bytes(tail[at + 10 : at + 12], "little")
    directory = int.from_bytes(tail[at + 12 : at + 16], "little")
    # The 64-bit directory says its size elsewhere; no table that we take needs one.
    is_64 = tail[max(0, at - 20) : at].startswith(b"PK\x06\x07")
    if is_64 or members > MOST_MEMBERS or directory > LARGEST_DIRECTORY:
        raise FileRefused("xlsx_bomb")
    stream.seek(0)


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise FileRefused("xlsx_bomb")
    for member in members:
        if member.flag_bits & 0x1:
            raise FileRefused("xlsx_encrypted")
        # A member that says less than it unpacks to is cut off there, and its checksum is wrong.
        ratio = member.file_size / max(1, member.compress_size)
        if member.file_size > LARGEST_MEMBER or (member.file_size > 10 * 1024**2 and ratio > HIGHEST_RATIO):
            raise FileRefused("xlsx_bomb")


def _parse(stream: IO[bytes], parser: Any, *, most: int = 0) -> Iterator[None]:
    """Feed a parser, pausing after every chunk. A document type is refused at its first word, and so is a tag or text
    that goes on without end, which expat would collect in memory."""

    def refuse(*_args: Any) -> None:
        raise FileRefused("xlsx_dtd")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    fed = 0
    while chunk := stream.read(CHUNK):
        fed += len(chunk)
        if most and fed > most:
            raise FileRefused("xlsx_bomb")
        parser.Parse(chunk, False)
        if fed - max(0, parser.CurrentByteIndex) > LONGEST_TOKEN:
            raise FileRefused("xlsx_bomb")
        yield
    parser.Parse(b"", True)
    yield


def _parser() -> Any:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    return parser


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


class _Book:
    """Which member is the first sheet, which styles are dates, and the shared texts."""

    def __init__(self, archive: zipfile.ZipFile):
        self.since = datetime(1899, 12, 30)  # noqa: DTZ001 a sheet knows no zone
        self._relation = ""
        self._targets: dict[str, tuple[str, str]] = {}
        self._read(archive, "xl/workbook.xml", self._of_workbook)
        self._read(archive, "xl/_rels/workbook.xml.rels", self._of_relations)
        self.sheet = self._member(self._targets[self._relation][1])
        self._formats: dict[int, str] = {}
        self._in_styles = False
        self.dates: list[bool] = []
        for kind, target in self._targets.values():
            if kind.endswith("/styles"):
                self._read(archive, self._member(target), self._of_styles)
        self.texts = _Texts()
        for kind, target in self._targets.values():
            if kind.endswith("/sharedStrings"):
                self.texts.read(archive, self._member(target))

    @staticmethod
    def _member(target: str) -> str:
        return target.lstrip("/") if target.startswith("/") else f"xl/{target}"

    @staticmethod
    def _read(archive: zipfile.ZipFile, name: str, on_start: Any) -> None:
        parser = _parser()
        parser.StartElementHandler = on_start
        with archive.open(name) as stream:
            for _pause in _parse(stream, parser, most=LARGEST_PART):
                pass

    def _of_workbook(self, name: str, given: dict[str, str]) -> None:
        local = _local(name)
        if local == "workbookPr" and given.get("date1904") in ("1", "true"):
            self.since = datetime(1904, 1, 1)  # noqa: DTZ001
        elif local == "sheet" and not self._relation:
            self._relation = next(value for key, value in given.items() if _local(key) == "id" and " " in key)

    def _of_relations(self, name: str, given: dict[str, str]) -> None:
        if _local(name) == "Relationship" and given.get("TargetMode") != "External":
            self._targets[given["Id"]] = (given["Type"], given["Target"])

    def _of_styles(self, name: str, given: dict[str, str]) -> None:
        local = _local(name)
        if local == "numFmt":
            self._formats[int(given["numFmtId"])] = given["formatCode"]
        elif local in ("cellXfs", "cellStyleXfs"):
            self._in_styles = local == "cellXfs"
        elif local == "xf" and self._in_styles:
            number = int(given.get("numFmtId", "0"))
            plain = _QUOTED.sub("", self._formats.get(number, "")).lower()
            self.dates.append(number in _DATES or any(mark in plain for mark in "ymdhs"))


class _Texts:
    """The shared texts, packed: one block of UTF-8 and where each begins. A list of four million strings would take
    four times as much."""

    def __init__(self) -> None:
        self._block = bytearray()
        self._begins = array("L", [0])
        self._parts: list[str] = []
        self._length = 0
        self._in_text = self._in_phonetic = False

    def read(self, archive: zipfile.ZipFile, name: str) -> None:
        """Read the member that holds them."""
        parser = _parser()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        with archive.open(name) as stream:
            for _pause in _parse(stream, parser):
                pass

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self._begins) - 1:
            raise IndexError(number)
        return self._block[self._begins[number] : self._begins[number + 1]].decode("utf-8")

    def _start(self, name: str, _given: dict[str, str]) -> None:
        local = _local(name)
        self._in_phonetic = self._in_phonetic or local == "rPh"
        self._in_text = local == "t" and not self._in_phonetic

    def _text(self, text: str) -> None:
        if self._in_text:
            self._length += len(text)
            if self._length > LONGEST_CELL:
                raise FileRefused("xlsx_texts")
            self._parts.append(text)

    def _end(self, name: str) -> None:
        local = _local(name)
        if local == "t":
            self._in_text = False
        elif local == "rPh":
            self._in_phonetic = False
        elif local == "si":
            self._block += "".join(self._parts).encode("utf-8", "replace")
            self._begins.append(len(self._block))
            self._parts, self._length = [], 0
            if len(self._block) + 8 * len(self._begins) > LARGEST_TEXTS:
                raise FileRefused("xlsx_texts")


class _Sheet:
    """One sheet on its way through the parser."""

    def __init__(self, book: _Book):
        self._book = book
        self._ready: list[tuple[int, list[str]]] = []
        self._number = self._seen = 0
        self._cells: list[str] = []
        self._column = 0
        self._kind = self._style = ""
        self._has_formula = self._in_value = self._in_phonetic = False
        self._parts: list[str] = []
        self._length = 0

    def rows(self, archive: zipfile.ZipFile) -> Iterator[tuple[int, list[str]]]:
        """The rows as they become ready."""
        parser = _parser()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text
        with archive.open(self._book.sheet) as stream:
            for _pause in _parse(stream, parser):
                yield from self._ready
                self._ready.clear()

    def _start(self, name: str, given: dict[str, str]) -> None:
        local = _local(name)
        if local == "c":
            self._column = _column_of(given["r"]) if "r" in given else self._column + 1
            self._kind, self._style = given.get("t", "n"), given.get("s", "")
            self._has_formula, self._parts, self._length = False, [], 0
        elif local == "v" or (local == "t" and not self._in_phonetic):
            self._in_value = True
        elif local == "f":
            self._has_formula = True
        elif local == "rPh":
            self._in_phonetic = True
        elif local == "row":
            number = int(given["r"]) if "r" in given else self._number + 1
            self._seen += 1
            if number <= self._number or number > MOST_RAW_ROWS or self._seen > MOST_RAW_ROWS:
                raise FileRefused("not_xlsx")
            self._number, self._cells, self._column = number, [], 0

    def _text(self, text: str) -> None:
        if self._in_value:
            self._length += len(text)
            if self._length > LONGEST_CELL:
                raise FileRefused("line_too_long", str(self._number))
            self._parts.append(text)

    def _end(self, name: str) -> None:
        local = _local(name)
        if local in ("v", "t"):
            self._in_value = False
        elif local == "rPh":
            self._in_phonetic = False
        elif local == "c" and 1 <= self._column <= MOST_COLUMNS:
            self._cells.extend([""] * (self._column - len(self._cells)))
            self._cells[self._column - 1] = self._cell("".join(self._parts))
        elif local == "row":
            self._ready.append((self._number, self._cells))

    def _cell(self, raw: str) -> str:
        if self._has_formula:
            return Untaken("formula")
        if self._kind == "s":
            return self._book.texts[int(raw)] if raw else ""
        if self._kind == "e":
            return Untaken("error")
        if self._kind == "n":
            return self._number_cell(raw)
        return raw  # inlineStr, str, b, d

    def _number_cell(self, raw: str) -> str:
        if not raw:
            return ""
        value = float(raw)
        if self._style and int(self._style) < len(self._book.dates) and self._book.dates[int(self._style)]:
            return self._date(value)
        if abs(value) >= 10**15:
            return Untaken("rounded")  # Excel keeps 15 digits: the rest of an ID number is gone
        return str(int(value)) if value == int(value) else raw

    def _date(self, value: float) -> str:
        try:
            return (self._book.since + timedelta(days=value)).replace(microsecond=0).isoformat(sep=" ")
        except OverflowError:
            return Untaken("error")


def _column_of(reference: str) -> int:
    """The number of a cell's column: A1 is 1, AB7 is 28."""
    number = 0
    for character in reference:
        if not "A" <= character <= "Z":
            break
        number = number * 26 + ord(character) - 64
        if number > 100_000:
            raise FileRefused("not_xlsx")
    return number
