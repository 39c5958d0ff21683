"""What a machine can say of a pending identity without showing it: conclusions only, never a part of the number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.utils.translation import gettext_lazy as _
from stdnum.cn import ric
from stdnum.exceptions import ValidationError as NumberError

from accounts import identities
from accounts.models import Identity
from core import crypto
from core.calendar import SHANGHAI
from core.errors import Refusal

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
        number = _opened(identity, "number", identity.number_sealed)
        name = _opened(identity, "name", identity.name_sealed)
    except crypto.Unreadable:
        return [Finding("number", WRONG, _("What is stored can't be opened. Don't verify it; tell the administrator."))]
    if identity.method == "network_identity":
        return [Finding("number", ODD, _("Only a digest of the national service's token is kept: nothing to compare."))]
    return [*_of_number(identity.method, number), *_of_name(identity.method, name)]


def _opened(identity: Identity, column: str, sealed: Any) -> str:
    return crypto.unseal(bytes(sealed), f"identity:{identity.pk}:{column}") if sealed else ""


def _of_number(method: str, number: str) -> list[Finding]:
    try:
        identities.normalise_number(method, number)
    except Refusal:
        return [Finding("number", WRONG, _("Form or check digit is wrong."))]
    if method == "mobile":
        return [Finding("number", GOOD, _("Has the form of a mobile number; the operator wasn't asked."))]
    found = [Finding("number", GOOD, _("Check digit is right."))]
    if method == "id_number":
        found += _of_birth(number)
    return found


def _of_birth(number: str) -> list[Finding]:
    try:
        born = ric.get_birth_date(number)
    except NumberError:
        return [Finding("number", WRONG, _("Holds no real date of birth."))]
    today = datetime.now(SHANGHAI).date()
    age = full_years(born, today)
    if born > today or age > OLDEST:
        return [Finding("number", WRONG, _("The date of birth in it isn't plausible."))]
    return [
        Finding("number", GOOD, _("County and date of birth are plausible.")),
        Finding("number", GOOD, _("18 or older.")) if age >= 18 else Finding("number", ODD, _("A minor: under 18.")),
    ]


def full_years(born: date, today: date) -> int:
    """Age in completed years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def _of_name(method: str, name: str) -> list[Finding]:
    if not name:
        missing = _("No name was given.")
        return [Finding("name", WRONG if method == "id_number" else ODD, missing)]
    if method == "id_number" and not (_HAN_NAME.match(name) and len(name) >= 2):
        return [Finding("name", ODD, _("Unusual for a name on an ID card."))]
    return [Finding("name", GOOD, _("Looks like a name."))]
