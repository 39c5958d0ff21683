"""Lists of entries as CSV files: the columns, how a row is read, and the file that is handed out."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext_lazy as _

from core import jsonbody
from core.errors import Refusal
from moderation.feature_kinds import KINDS, Unfit, default_options_of, digest_of, fit
from moderation.features import stand
from moderation.models import Feature

COLUMNS = {
    "kind": _("term where it is empty: %s") % ", ".join(KINDS),
    "value": _("the term, the pattern, the text, the hash, the domain"),
    "category": _("code of a leaf of the category tree"),
    "severity": _("1 to 4"),
    "note": _("why it is in the library"),
    "options": _('JSON, e.g. {"pinyin": true}; empty: as usual for its kind'),
    "allow": _("1: cancels matches instead of making them"),
    "clause": _("the rule it rests on"),
    "source": _("where it comes from; empty: the source of the import"),
    "valid_from": _("first moment, e.g. 2026-01-31 or 2026-01-31T08:00+08:00"),
    "valid_to": _("the moment at which it ends"),
    "rollout": _("1 to 100 per cent of the items"),
    "data": _("JSON: hashes of a video or a sound"),
}
REQUIRED = ("value", "category", "severity")
MOST_ROWS = 200_000
LONGEST_CELL = 2_000_000
_YES, _NO = {"1", "true", "yes", "是"}, {"", "0", "false", "no", "否"}


_FORMULA = re.compile(r"[=+\-@\x00-\x1f]")


class NotAList(ValueError):
    """A file that is no list of entries; `code` is a key of REASONS."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


REASONS = {
    "empty": _("The file is empty."),
    "encoding": _("The file is neither UTF-8 nor GB 18030 text."),
    "columns": _("The first line must name the columns; value, category and severity are needed."),
    "too_many_rows": _("The file has more than 200,000 rows."),
    "unreadable": _("The file can't be read as CSV."),
    "grant_lost": _("Whoever started it may not propose any more."),
    "crashed": _("It failed three times. The administrator finds out why in the list of stopped jobs."),
    "damaged": _("The stored file is damaged."),
}


@dataclass(frozen=True)
class Row:
    """A row that can be taken: the columns of `Feature`, and by what the same entry is known."""

    given: dict[str, Any]
    key: str
    shown: str


def read_rows(stream: IO[bytes]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a file with their line number, as text by column. Raises NotAList. The stream is read twice, never
    kept: first to find its encoding."""
    encoding = _encoding(stream)
    stream.seek(0)
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.TextIOWrapper(stream, encoding=encoding, newline=""))
    try:
        names = [name.strip().lower() for name in next(reader)]
    except StopIteration:
        raise NotAList("empty") from None
    except csv.Error:
        raise NotAList("unreadable") from None
    if not set(REQUIRED) <= set(names) or len(set(names)) < len(names):
        raise NotAList("columns")
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise NotAList("unreadable") from None
        if not any(cell.strip() for cell in cells):
            continue
        number += 1
        if number > MOST_ROWS:
            raise NotAList("too_many_rows")
        yield reader.line_num, {name: unguarded(cell) for name, cell in zip(names, cells, strict=False)}


def _encoding(stream: IO[bytes]) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        stream.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            while piece := stream.read(1 << 18):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    raise NotAList("encoding")


def understand(given: Mapping[str, str], *, leaves: set[str], source: str, now: datetime) -> Row:
    """A row as an entry. Raises Unfit."""
    said = {name: given.get(name, "").strip() for name in COLUMNS}
    kind = said["kind"] or "term"
    if kind not in KINDS:
        raise Unfit("kind", "unknown", _("There is no such kind of entry."))
    options = _json(said, "options") if said["options"] else default_options_of(kind, said["value"])
    taken = fit(kind, said["value"], options, _json(said, "data") if said["data"] else None)
    row: dict[str, Any] = {
        "category_id": said["category"],
        "severity": _number(said, "severity", 0),
        "rollout": _number(said, "rollout", 100),
        "allow": _switch(said, "allow"),
        "clause": said["clause"],
        "note": said["note"],
        "source": said["source"] or source,
        "valid_from": _moment(said, "valid_from"),
        "valid_to": _moment(said, "valid_to"),
    }
    stand(row, leaves, at=now)
    row |= {
        "kind": kind,
        "value": taken.value,
        "digest": taken.digest,
        "data": taken.data,
        "options": taken.options,
    }
    return Row(row, digest_of(f"{kind} {taken.digest} {row['allow']}"), taken.value[:200])


def _json(said: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        return jsonbody.load_object(said[name].encode())[0]
    except Refusal:
        raise Unfit(name, "form", _("This is no JSON object.")) from None


def _number(said: Mapping[str, str], name: str, empty: int) -> int:
    text = said[name].removesuffix("%").strip()
    if not text:
        return empty
    if not (text.isascii() and text.isdecimal() and len(text) < 4):
        raise Unfit(name, "form", _("This is no whole number."))
    return int(text)


def _switch(said: Mapping[str, str], name: str) -> bool:
    text = said[name].lower()
    if text not in _YES | _NO:
        raise Unfit(name, "form", _("This is neither 1 nor 0."))
    return text in _YES


def _moment(said: Mapping[str, str], name: str) -> datetime | None:
    text = said[name]
    if not text:
        return None
    try:
        moment = parse_datetime(f"{text}T00:00" if parse_date(text) else text)
    except ValueError:
        moment = None
    if moment is None:
        raise Unfit(name, "form", _("This is no date."))
    # A date without a time zone is one of Asia/Shanghai (contract, ruling 13).
    return (moment if timezone.is_aware(moment) else timezone.make_aware(moment)).astimezone(UTC)


def write_rows(features: QuerySet[Feature], *, guard: bool) -> Iterator[str]:
    """A file of entries, piece by piece, which can be imported again. With `guard` no cell is taken for a formula by a
    spreadsheet (contract, ruling 14)."""
    names = [*COLUMNS, "state", "id", "version"]
    line = _Line()
    out = csv.writer(line)
    out.writerow(names)
    yield "\ufeff" + line.taken()
    for feature in features.iterator(chunk_size=1_000):
        cells = [_cell(feature, name) for name in names]
        out.writerow([guarded(cell) for cell in cells] if guard else cells)
        yield line.taken()


def _cell(feature: Feature, name: str) -> str:
    value = getattr(feature, "category_id" if name == "category" else name)
    if name == "options":
        return json.dumps(value, ensure_ascii=False)
    if name == "data":
        return json.dumps(value, ensure_ascii=False) if value and feature.kind in ("video", "audio", "image") else ""
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)


def write_report(lines: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """What came of each row, piece by piece."""
    line = _Line()
    out = csv.writer(line)
    out.writerow(["row", "outcome", "value", "field", "code", "why"])
    yield "\ufeff" + line.taken()
    for cells in lines:
        out.writerow([guarded(str(cell)) for cell in cells])
        yield line.taken()


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """A cell as it was before `guarded`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


class _Line:
    """What a CSV writer wrote last."""

    def __init__(self) -> None:
        self._text = ""

    def write(self, text: str) -> int:
        self._text += text
        return len(text)

    def taken(self) -> str:
        text, self._text = self._text, ""
        return text
