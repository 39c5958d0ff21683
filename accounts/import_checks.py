"""One row of an import: what it says, or why it can't be taken. The dry run and the real one ask the same questions, by
the same rules as a registration over the API."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts import display_names, numbers
from accounts.import_rows import Untaken
from accounts.users import LENGTHS
from core.calendar import SHANGHAI
from core.errors import Refusal
from governance.models import Service

KINDS = {
    "person": "person", "个人": "person", "自然人": "person",
    "organization": "organization", "organisation": "organization", "机构": "organization", "组织": "organization",
    "企业": "organization", "单位": "organization",
}  # fmt: skip
METHODS = {
    "mobile": "mobile", "手机": "mobile", "手机号": "mobile", "手机号码": "mobile",
    "id_number": "id_number", "身份证": "id_number", "身份证号": "id_number", "居民身份证": "id_number",
    "uscc": "uscc", "统一社会信用代码": "uscc",
}  # fmt: skip
LONGEST_NAME = 80
LONGEST_NUMBER = 40
EARLIEST = datetime(2000, 1, 1, tzinfo=SHANGHAI)
_UNTAKEN = {
    "formula": _("The cell holds a formula. Paste its value instead."),
    "rounded": _("The cell holds a number of more than 15 digits, of which the last were lost. Format it as text."),
    "error": _("The cell holds an error."),
}


class RowRefused(Exception):
    """A row that can't be taken: the column, a stable code, a sentence. Never the value."""

    def __init__(self, field: str, code: str, sentence: Any):
        super().__init__(code)
        self.field, self.code, self.sentence = field, code, sentence


@dataclass(slots=True)
class Candidate:
    """A row that can be taken. `method` is empty for a user without proof of identity."""

    row: int
    external_id: str
    kind: str
    display_name: str
    region: str
    method: str
    name: str
    number: str
    born: date | None
    verified_at: datetime | None
    verified_by: str


def read(row: int, given: dict[str, str], *, service: Service, now: datetime) -> Candidate:
    """What a row says. Raises RowRefused."""
    for field, cell in given.items():
        if isinstance(cell, Untaken):
            raise RowRefused(field, cell.why, _UNTAKEN[cell.why])
        if "\x00" in cell:
            raise RowRefused(field, "nul_character", _("A text may not hold a NUL character."))
    text = {field: cell.strip() for field, cell in given.items()}
    kind = KINDS.get(text["kind"].lower())
    _check_length("external_id", text["external_id"], 128)
    if kind is None:
        raise RowRefused("kind", "unknown", _("Must be person or organization."))
    _check_length("display_name", text["display_name"], LENGTHS["display_name"])
    _check_length("region", text["region"], LENGTHS["region"], least=0)
    try:
        display_names.refuse_reserved(kind=kind, name=text["display_name"], service=service)
        method, number = _proof(kind, text)
    except Refusal as refusal:
        problem = refusal.errors[0] if refusal.errors else {"field": "", "code": refusal.code, "detail": refusal.detail}
        raise RowRefused(problem["field"], problem["code"], problem["detail"]) from None
    verified_by = text.get("verified_by", "")
    _check_length("verified_by", verified_by, 80, least=0)
    return Candidate(
        row=row,
        external_id=text["external_id"],
        kind=kind,
        display_name=text["display_name"],
        region=text["region"],
        method=method,
        name=text["name"] if method else "",
        number=number,
        born=numbers.birth_of(method, number) if method else None,
        verified_at=_moment(text.get("verified_at", ""), now),
        verified_by=verified_by,
    )


def _check_length(field: str, text: str, most: int, *, least: int = 1) -> None:
    if not least <= len(text) <= most:
        raise RowRefused(field, "length", _("This text is empty or too long."))


def _proof(kind: str, text: dict[str, str]) -> tuple[str, str]:
    """Method and normalised number; both empty for a row without proof of identity."""
    if not (text["method"] or text["number"]):
        return "", ""
    method = METHODS.get(text["method"].lower())
    if method is None:
        raise RowRefused("method", "unknown", _("Must be mobile, id_number or uscc; other proofs can't be imported."))
    _check_length("number", text["number"], LONGEST_NUMBER)
    _check_length("name", text["name"], LONGEST_NAME, least=1 if method == "id_number" else 0)
    if method != "mobile" and (method == "uscc") != (kind == "organization"):
        raise RowRefused("method", "not_for_this_kind", _("This method doesn't fit this kind of user."))
    return method, numbers.normalise(method, text["number"])


def _moment(text: str, now: datetime) -> datetime | None:
    """A date or time as people and programs write it; without a zone it is Shanghai's."""
    if not text:
        return None
    plain = re.sub(r"[年月/.](?=\d)", "-", text, count=2).replace("日", "", 1)
    plain = re.sub(r"^(\d{4})-(\d{1,2})-(\d{1,2})", lambda m: f"{m[1]}-{m[2]:0>2}-{m[3]:0>2}", plain)
    try:
        moment = datetime.fromisoformat(plain.strip())
    except ValueError:
        raise RowRefused(
            "verified_at", "invalid", _("This is no date: write 2024-05-31 or 2024-05-31 14:30.")
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=SHANGHAI)
    if not EARLIEST <= moment <= now:
        raise RowRefused("verified_at", "out_of_range", _("The verification must lie between the year 2000 and now."))
    return moment


class Seen:
    """Which external ids stood in earlier rows: 16 bytes each instead of a hundred, so that a million stay small. Two
    different ids are taken for one with a chance of 1 in 30 million per file of a million."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 16))
        self._count = 0

    def add(self, text: str) -> bool:
        """Remember it; whether it is new."""
        if 2 * self._count >= len(self._slots):
            self._grow()
        if self._put(int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big") or 1):
            self._count += 1
            return True
        return False

    def _put(self, mark: int) -> bool:
        place = mark & (len(self._slots) - 1)
        while found := self._slots[place]:
            if found == mark:
                return False
            place = (place + 1) & (len(self._slots) - 1)
        self._slots[place] = mark
        return True

    def _grow(self) -> None:
        marks, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        for mark in marks:
            if mark:
                self._put(mark)
