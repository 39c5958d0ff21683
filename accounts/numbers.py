"""Numbers that say who somebody is: one spelling each, check digits, masks, and what an ID number says of its holder.

A number is normalised before anything is derived from it, so that every spelling of one number has one digest
(security.md §4, "Normalise before index").
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from typing import Any

from django.utils.translation import gettext_lazy as _
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError as NumberError

from core.calendar import SHANGHAI
from core.errors import Refusal, field_error

_MOBILE = re.compile(r"1[3-9][0-9]{9}\Z")
# What the border authorities print on these documents. An old residence permit has no published check digit, a new one
# (since 2023-12-01) that of an ID number.
_DOCUMENTS = {
    "passport": re.compile(r"[A-Z0-9]{6,12}\Z"),
    "mainland_travel_permit": re.compile(r"[HM](?:[0-9]{8}|[0-9]{10})\Z"),
    "taiwan_permit": re.compile(r"[0-9]{8}\Z"),
    "residence_permit": re.compile(r"(?:[A-Z]{3}[0-9]{12}|9[0-9]{16}[0-9X])\Z"),
}
_ID_SHAPE = re.compile(r"[1-9][0-9]{16}[0-9X]\Z")
# What keyboards and forms offer in place of the Latin X: multiplication sign, Cyrillic and Greek letter.
_LIKE_X = str.maketrans({"×": "X", "Х": "X", "Χ": "X"})


def normalise(method: str, number: str, document_kind: str = "") -> str:
    """One spelling per number: full-width digits, spaces, dashes and prefixes folded, `x` as `X`, an ID number of 15
    digits as the one of 18. Refuses with 422 a number whose check digit or form is wrong (GB 11643, GB 32100)."""
    folded = fold(number)
    if method == "mobile":
        folded = re.sub(r"^(?:\+|00)?86(?=1)", "", re.sub(r"[().]", "", folded.removeprefix("TEL:")))
        if not _MOBILE.match(folded):
            raise invalid("number", "invalid", _("This is not a mobile number."))
        return folded
    if method == "document":
        return _document(folded, document_kind)
    try:
        if method == "id_number":
            return ric.validate(lengthened(folded.translate(_LIKE_X)))
        if method == "uscc":
            return uscc.validate(folded)
    except (NumberError, KeyError, ValueError) as wrong:  # a county that python-stdnum doesn't list is a KeyError there
        raise invalid(
            "number", "check_digit", _("This number can't be right: its form or check digit is wrong.")
        ) from wrong
    raise invalid("method", "unknown", _("Unknown method."))


def fold(text: str) -> str:
    """Compatibility forms resolved, upper case, without spaces, invisible characters and dashes of any kind."""
    kept = (c for c in unicodedata.normalize("NFKC", text) if not _is_filler(c))
    return "".join(kept).upper()


def _is_filler(character: str) -> bool:
    return character.isspace() or character == "\u2212" or unicodedata.category(character) in ("Pd", "Cf")


def lengthened(number: str) -> str:
    """An ID number of 15 digits (issued until 1999, birth in the 20th century) as the one of 18; others as they are."""
    if not re.fullmatch(r"[1-9][0-9]{14}", number):
        return number
    body = f"{number[:6]}19{number[6:]}"
    return body + ric.calc_check_digit(body + "0")


def _document(folded: str, kind: str) -> str:
    if kind not in _DOCUMENTS:
        raise invalid("document_kind", "unknown", _("Unknown kind of document."))
    folded = folded.translate(_LIKE_X) if kind == "residence_permit" and folded.startswith("9") else folded
    right = bool(_DOCUMENTS[kind].match(folded))
    if right and kind == "residence_permit" and folded.startswith("9"):
        right = folded[-1] == ric.calc_check_digit(folded) and _date(folded[6:14]) is not None
    if not right:
        raise invalid("number", "invalid", _("This number doesn't have the form of such a document."))
    return folded


def for_digest(method: str, normal: str, document_kind: str = "") -> str:
    """What the keyed digest is made of: documents of two kinds may carry the same number."""
    return f"{document_kind}:{normal}" if method == "document" else normal


def invalid(field: str, code: str, detail: Any) -> Refusal:
    """The 422 that names one field."""
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])


def masked(number: str) -> str:
    """First three and last two characters, e.g. 110***********21; less of a short one."""
    if len(number) < 10:
        return number[:1] + "*" * max(4, len(number) - 2) + number[-1:]
    return number[:3] + "*" * max(4, len(number) - 5) + number[-2:]


def masked_name(name: str) -> str:
    """The first character and stars."""
    return name[:1] + "*" * min(3, max(1, len(name) - 1)) if name else ""


def birth_of(method: str, normal: str, document_kind: str = "") -> date | None:
    """The date of birth that a normalised number holds, or None: only ID numbers and new residence permits hold one."""
    is_new_permit = method == "document" and document_kind == "residence_permit" and normal.startswith("9")
    if (method == "id_number" or is_new_permit) and _ID_SHAPE.match(normal):
        return _date(normal[6:14])
    return None


def _date(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


def province_of(number: str) -> str:
    """The province whose authority gave out this ID number, in Chinese; empty where the list doesn't know it."""
    try:
        return str(ric.get_birth_place(number).get("province", ""))
    except (NumberError, KeyError, ValueError):
        return ""


def full_years(born: date, today: date) -> int:
    """Age in completed years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def age(born: date) -> int:
    """Age today, where today is what it is in Shanghai."""
    return full_years(born, datetime.now(SHANGHAI).date())
