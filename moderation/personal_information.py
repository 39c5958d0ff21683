"""Personal information in running text (DS-06a: infringing the lawful rights of others; GA-11): where it stands and of
what kind it is, never what it says.

Numbers are looked for in the folded text, so that full-width digits, circled ones and invisible characters between them
hide nothing, and are led back to the original. What has a check digit must pass it; what has none must look like
nothing else, or stand behind a word that says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import phonenumbers
from django.utils.translation import gettext_lazy as _
from stdnum import luhn
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError as NumberError

from moderation.normalisation import Normalised

VERSION = f"1, phonenumbers {phonenumbers.__version__}"


@dataclass(frozen=True)
class Kind:
    """A kind of personal information: its words, the leaf it belongs to, how grave it is in public (1 to 4)."""

    words: Any
    category: str
    severity: int


KINDS = {
    "id_number": Kind(_("ID number"), "personal_info.identity", 3),
    "bank_card": Kind(_("Bank card number"), "personal_info.identity", 3),
    "passport": Kind(_("Passport or permit number"), "personal_info.identity", 2),
    "mobile": Kind(_("Mobile number"), "personal_info.contact", 2),
    # Lines that organisations publish look the same as anybody's at home: marked, not grave.
    "phone": Kind(_("Telephone number"), "personal_info.contact", 1),
    "plate": Kind(_("Number plate"), "personal_info.contact", 2),
    "email": Kind(_("E-mail address"), "personal_info.contact", 1),
    # An organisation's code is public; it is marked so that nobody takes it for an ID number.
    "uscc": Kind(_("Unified social credit code"), "personal_info.contact", 1),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece: `[start, end)` in code points of the original text."""

    kind: str
    start: int
    end: int


_GAP = r"[ \-.·]?"
_ID = re.compile(rf"(?<![0-9a-z])(?:[0-9]{_GAP}){{17}}[0-9x](?![0-9a-z])")
_OLD_ID = re.compile(r"(?<![0-9a-z])[0-9]{15}(?![0-9a-z])")
_USCC = re.compile(r"(?<![0-9a-z])[0-9a-hj-npqrtuwxy]{2}[0-9]{6}[0-9a-hj-npqrtuwxy]{10}(?![0-9a-z])")
_CARD = re.compile(rf"(?<![0-9a-z])[34569](?:{_GAP}[0-9]){{14,18}}(?![0-9a-z])")
_PASSPORT = re.compile(
    r"(?<![0-9a-z])(?:e[a-hj-np-z][0-9]{7}|[degspkm][0-9]{8}|[hmc][0-9]{8}(?:[0-9]{2})?)(?![0-9a-z])"
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领][a-hj-np-z][ ·.]?"
    r"(?=[a-hj-np-z0-9]{0,5}[0-9])[a-hj-np-z0-9]{4,5}[a-hj-np-z0-9挂学警港澳](?![0-9a-z])"
)
_EMAIL = re.compile(r"(?<![a-z0-9._%+\-])[a-z0-9][a-z0-9._%+\-]{0,63}@(?:[a-z0-9\-]{1,63}\.)+[a-z]{2,24}(?![a-z0-9])")
_MOBILE = re.compile(rf"(?<![0-9a-z])(?:(?:\+|00)?86[ \-]?)?1[3-9](?:{_GAP}[0-9]){{9}}(?![0-9])")
# Seven digits with at most a sign between any two of them: without such a run there is no number to look for.
_ENOUGH_DIGITS = re.compile(r"(?:[0-9][ \-.()·]{0,2}){7}")
_INTERNATIONAL = re.compile(r"(?<![0-9a-z+])\+[0-9](?:[ \-.()]{0,2}[0-9]){6,14}(?![0-9])")
_NATIONAL = re.compile(
    r"(?<![0-9a-z\-+])(?<![0-9][./:,])(?:\(?0[0-9]{1,3}\)?[ \-]?)?[0-9](?:[ \-]?[0-9]){5,10}(?![0-9a-z.:/%]|-[0-9]|,[0-9])"
)
_CALLED = re.compile(r"电话|手机|致电|拨打|来电|热线|座机|传真|联系|call|tel|phone|mobile|whatsapp|微信|短信|客服")
_PAPERS = re.compile(r"护照|通行证|回乡证|台胞证|居留证|passport|permit|证件号")
_CARDS = re.compile(r"身份证|证件号|身份号")
NEAR = 16  # characters before a number in which a word may say what it is


def find(text: Normalised) -> list[Piece]:
    """Every piece of personal information in a text, in order, none overlapping another: what was proved by a check
    digit keeps its place against what only looks like something."""
    folded = text.written.lower()
    if len(folded) != len(text.written):  # never so for a folded text; a span that may lie is worse than none
        folded = text.written
    taken: list[tuple[int, int, str]] = []
    for kind, start, end in _candidates(folded):
        if not any(start < e and s < end for s, e, _kind in taken):
            taken.append((start, end, kind))
    return [Piece(kind, *text.original_span_as_written(start, end)) for start, end, kind in sorted(taken)]


def _candidates(text: str) -> Iterator[tuple[str, int, int]]:
    """Candidates that hold, the surest kinds first."""
    if _ENOUGH_DIGITS.search(text):
        yield from _proved(text)
        yield from _phones(text)
    elif _USCC.search(text):
        yield from _codes(text)
    for match in _PASSPORT.finditer(text):
        if _PAPERS.search(text, max(0, match.start() - NEAR), match.start()):
            yield "passport", *match.span()
    for match in _PLATE.finditer(text):
        yield "plate", *match.span()
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield "email", *match.span()


def _proved(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _ID.finditer(text):
        if is_id_number(re.sub(r"[^0-9x]", "", match[0])):
            yield "id_number", *match.span()
    yield from _codes(text)
    for match in _CARD.finditer(text):
        digits = re.sub(r"[^0-9]", "", match[0])
        if 15 <= len(digits) <= 19 and len(set(digits)) > 3 and luhn.is_valid(digits) and _is_issued(digits):
            yield "bank_card", *match.span()
    for match in _OLD_ID.finditer(text):
        # Fifteen digits carry no check digit: only behind a word that says so.
        if _CARDS.search(text, max(0, match.start() - NEAR), match.start()):
            yield "id_number", *match.span()


def _codes(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _USCC.finditer(text):
        if uscc.is_valid(match[0].upper()):
            yield "uscc", *match.span()


def _is_issued(digits: str) -> bool:
    # UnionPay 62/60/9…, Visa 4, Mastercard 51-55 and 2221-2720, Amex 34/37, JCB 35: by length.
    if digits.startswith(("62", "60", "9")):
        return len(digits) in (16, 17, 18, 19)
    if digits.startswith(("34", "37")):
        return len(digits) == 15
    return digits[0] in "345" and len(digits) == 16


def is_id_number(number: str) -> bool:
    """Whether the 18 characters are a resident's ID number (GB 11643): date of birth, county and check digit."""
    try:
        return bool(ric.is_valid(number.upper()))
    except (NumberError, KeyError):
        return False


def _phones(text: str) -> Iterator[tuple[str, int, int]]:
    for match in _MOBILE.finditer(text):
        yield "mobile", *match.span()
    for match in _INTERNATIONAL.finditer(text):
        if _is_phone(match[0], None):
            yield "phone", *match.span()
    for match in _NATIONAL.finditer(text):
        # A local number looks like any other number: the word before it, or its grouping, has to say what it is.
        number = match[0]
        called = _CALLED.search(text, max(0, match.start() - NEAR), match.start()) is not None
        grouped = re.match(r"\(?0[0-9]{1,3}\)?[ \-]", number) or re.match(
            r"(?:400|800)[ \-]?[0-9]{3}[ \-]?[0-9]{4}\Z", number
        )
        if (called or grouped) and any(_is_phone(number, region) for region in ("CN", "HK", "MO", "TW")):
            yield "phone", *match.span()


def _is_phone(number: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False
