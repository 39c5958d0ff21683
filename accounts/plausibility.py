"""What a machine can say of a pending identity without showing it: conclusions only, never a part of the number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts import numbers, sealing
from accounts.models import Identity
from accounts.numbers import full_years as full_years
from core import crypto
from core.errors import Refusal
from core.options import option

GOOD, ODD, WRONG = "ok", "warn", "bad"
_HAN_NAME = re.compile(r"[\u3400-\u9fff\U00020000-\U000323af]+(?:[·•][\u3400-\u9fff\U00020000-\U000323af]+)*\Z")
OLDEST = 120  # years; beyond, a date of birth is a slip of the pen or invented


@dataclass(frozen=True)
class Finding:
    """One conclusion about one field: `number` or `name`."""

    field: str
    tone: str
    sentence: Any


def findings(identity: Identity) -> list[Finding]:
    """The conclusions about an identity, in the order in which they are read. What can't be opened is said, not
    skipped: nobody should verify what nobody can read."""
    try:
        number, name = sealing.opened(identity)
    except crypto.Unreadable:
        return [Finding("number", WRONG, _("What is stored can't be opened. Don't verify it; tell the administrator."))]
    if identity.method == "network_identity":
        return [Finding("number", ODD, _("Only a digest of the national service's token is kept: nothing to compare."))]
    return [*_of_number(identity, number), *_of_name(identity.method, name)]


def _of_number(identity: Identity, number: str) -> list[Finding]:
    method = identity.method
    try:
        numbers.normalise(method, number, identity.document_kind)
    except Refusal:
        return [Finding("number", WRONG, _("Form or check digit is wrong."))]
    if method == "mobile":
        if identity.check_detail == "one_time_code":
            return [Finding("number", GOOD, _("The user typed the code that was sent to it."))]
        return [Finding("number", GOOD, _("Has the form of a mobile number; the operator wasn't asked."))]
    if method == "document":
        has_check_digit = numbers.birth_of(method, number, identity.document_kind) is not None
        sentence = (
            _("Check digit is right.") if has_check_digit else _("Has the form of such a number; no check digit.")
        )
        return [Finding("number", GOOD, sentence), *_of_birth(identity, number)]
    return [Finding("number", GOOD, _("Check digit is right.")), *_of_birth(identity, number)]


def _of_birth(identity: Identity, number: str) -> list[Finding]:
    born = numbers.birth_of(identity.method, number, identity.document_kind)
    if born is None:
        if identity.method == "id_number":
            return [Finding("number", WRONG, _("Holds no real date of birth."))]
        return []
    age = numbers.age(born)
    if not 0 <= age <= OLDEST:
        return [Finding("number", WRONG, _("The date of birth in it isn't plausible."))]
    return [Finding("number", GOOD, _place(identity, number)), _of_age(age)]


def _place(identity: Identity, number: str) -> Any:
    province = numbers.province_of(number) if identity.method == "id_number" else ""
    if not province:
        return _("Date of birth is plausible.")
    return _("County and date of birth are plausible; first registered in %(province)s.") % {"province": province}


def _of_age(age: int) -> Finding:
    if age >= 18:
        return Finding("number", GOOD, _("18 or older."))
    if age >= option("guardian_age"):
        return Finding("number", ODD, _("A minor: under 18."))
    needed = _("A child under %(age)d: a guardian's consent is needed.") % {"age": int(option("guardian_age"))}
    return Finding("number", ODD, needed)


def _of_name(method: str, name: str) -> list[Finding]:
    if not name:
        missing = _("No name was given.")
        return [Finding("name", WRONG if method in ("id_number", "document") else ODD, missing)]
    if method == "id_number" and not (_HAN_NAME.match(name) and len(name) >= 2):
        return [Finding("name", ODD, _("Unusual for a name on an ID card."))]
    return [Finding("name", GOOD, _("Looks like a name."))]
