"""The file of an import as rows: CSV in UTF-8 or GB18030, or XLSX; its header in English or Chinese. Memory is bounded
whatever the file holds: a line, a record, a cell that is too long refuses the file."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import IO, Any

from django.utils.translation import gettext_lazy as _

from accounts import import_xlsx
from accounts.import_xlsx import FileRefused, Untaken

__all__ = ["COLUMNS", "ENCODINGS", "REFUSALS", "FileRefused", "Table", "Untaken", "kind_of", "words_of"]

MOST_ROWS = 1_000_000
LONGEST_LINE = 64 * 1024  # characters
MOST_LINES = 1_000  # of one record: a quote that was never closed would swallow the rest of the file
DETECTED = 1024 * 1024  # bytes that are looked at to find out the encoding
ENCODINGS = {"": _("Find out"), "utf-8": "UTF-8", "gb18030": "GB18030 / GBK"}

# Column: the heads it is known by. A head is compared without case, spaces and underscores.
COLUMNS = {
    "external_id": ("external_id", "外部编号", "用户编号", "用户id", "账号"),
    "kind": ("kind", "类型", "用户类型"),
    "display_name": ("display_name", "显示名称", "昵称", "名称"),
    "region": ("region", "地区", "所在地"),
    "method": ("method", "方式", "认证方式", "核验方式"),
    "name": ("name", "姓名", "真实姓名"),
    "number": ("number", "号码", "证件号码"),
    "verified_at": ("verified_at", "认证时间", "核验时间"),
    "verified_by": ("verified_by", "认证机构", "核验机构"),
}
OPTIONAL = ("verified_at", "verified_by")

REFUSALS = {
    "empty": _("The file holds no rows."),
    "columns_missing": _("These columns are missing: %(what)s"),
    "column_twice": _("This column stands there twice: %(what)s"),
    "not_decodable": _("The text is not in the encoding that was chosen or found: %(what)s. Choose the other one."),
    "utf16": _("The file is in UTF-16. Save it as CSV UTF-8, or as XLSX."),
    "malformed_csv": _("The file is not proper CSV from row %(what)s on: perhaps a quotation mark isn't closed."),
    "line_too_long": _("Row %(what)s is too long."),
    "too_many_rows": _("The file has more than %(what)s rows. Split it."),
    "old_excel": _("This is an old Excel file (.xls). Save it as XLSX or CSV."),
    "not_xlsx": _("This is not an XLSX file, or it is damaged."),
    "xlsx_bomb": _("The XLSX file unpacks to far more than it holds. Save it as CSV."),
    "xlsx_dtd": _("The XLSX file holds a document type, which no table needs."),
    "xlsx_encrypted": _("The XLSX file is protected by a password. Save it without one."),
    "xlsx_texts": _("The XLSX file holds more text than fits into memory. Save it as CSV."),
    "damaged": _("The stored file is damaged."),
}


def words_of(error: str) -> str:
    """What is wrong with a file, in words: `code` or `code|what`."""
    code, _bar, what = error.partition("|")
    sentence = REFUSALS.get(code)
    return str(sentence) % {"what": what} if sentence else error


def kind_of(head: bytes) -> str:
    """csv or xlsx, by how the file begins. Raises FileRefused for the old format of Excel."""
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise FileRefused("old_excel")
    return "xlsx" if head.startswith(b"PK\x03\x04") else "csv"


class Table:
    """A file as rows: iterate for (number in the file, {column: text}). Blank rows are left out. Raises FileRefused,
    also in the middle."""

    def __init__(self, stream: IO[bytes], *, kind: str, encoding: str = ""):
        self._rows = import_xlsx.rows(stream) if kind == "xlsx" else _csv(stream, encoding)
        first = next(self._filled(), None)
        if first is None:
            raise FileRefused("empty")
        self._places, self.ignored = _columns(first[1])

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        for count, (number, cells) in enumerate(self._filled(), 1):
            if count > MOST_ROWS:
                raise FileRefused("too_many_rows", str(MOST_ROWS))
            yield number, {column: cells[place] if place < len(cells) else "" for column, place in self._places.items()}

    def _filled(self) -> Iterator[tuple[int, list[str]]]:
        for number, cells in self._rows:
            if any(cell.strip() for cell in cells):
                yield number, cells


def _columns(head: list[str]) -> tuple[dict[str, int], list[str]]:
    known = {_folded(name): column for column, names in COLUMNS.items() for name in names}
    places: dict[str, int] = {}
    ignored: list[str] = []
    for place, cell in enumerate(head):
        column = known.get(_folded(cell))
        if column is None:
            if cell.strip():
                ignored.append(cell.strip()[:40])
        elif column in places:
            raise FileRefused("column_twice", column)
        else:
            places[column] = place
    if missing := [column for column in COLUMNS if column not in places and column not in OPTIONAL]:
        raise FileRefused("columns_missing", ", ".join(missing))
    return places, ignored


def _folded(head: str) -> str:
    return "".join(head.split()).replace("_", "").lower()


def _csv(stream: IO[bytes], encoding: str) -> Iterator[tuple[int, list[str]]]:
    begin = stream.read(DETECTED)
    stream.seek(0)
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FileRefused("utf16")
    encoding = encoding or _encoding_of(begin)
    if begin.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    text = io.TextIOWrapper(stream, encoding=encoding, errors="strict", newline="")
    lines = _Lines(text)
    number = 0
    try:
        for number, cells in enumerate(csv.reader(lines, delimiter=_delimiter(begin), strict=True), 1):
            lines.of_record = 0
            yield number, cells
    except UnicodeDecodeError:
        raise FileRefused("not_decodable", encoding.removesuffix("-sig").upper()) from None
    except csv.Error:
        raise FileRefused("malformed_csv", str(number + 1)) from None
    except _TooLong:
        raise FileRefused("line_too_long", str(number + 1)) from None


class _TooLong(Exception):
    """A line or a record without an end."""


class _Lines:
    """The lines of a text, none of them endless, as the csv module reads them."""

    def __init__(self, text: io.TextIOWrapper):
        self.text = text
        self.of_record = 0

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> str:
        line = self.text.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        self.of_record += 1
        if self.of_record > MOST_LINES or (len(line) == LONGEST_LINE and line[-1] not in "\r\n"):
            raise _TooLong
        return line


def _encoding_of(begin: bytes) -> str:
    """UTF-8 if the beginning is (a character may be cut at its end), else GB18030, which reads GBK and GB2312 too."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin, final=len(begin) < DETECTED)
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8"


def _delimiter(begin: bytes) -> str:
    head = begin.split(b"\n", 1)[0]
    return max((",", "\t", ";"), key=lambda mark: head.count(mark.encode()))
