"""Finding users by a number that is never written down: through the keyed digest, with a line in the ledger."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts import honey, numbers, reveals
from core import audit, crypto
from core.errors import Refusal, field_error
from core.roles import check
from core.sql import run

METHODS = ("id_number", "uscc", "mobile")  # what a person can type; the national service's token is no number


class Holder(NamedTuple):
    """An identity with a number that was looked for, and whose it is."""

    pk: UUID
    user_id: UUID


def holders(method: str, number: str) -> list[Holder]:
    """Who handed in this number by this method, newest first and 100 at most: one prepared statement, for the many
    look-ups of an installation with a million identities. Refuses with 422 what can't be such a number."""
    digest = crypto.digest(numbers.normalise(method, number), f"identity.{method}")
    return [Holder(*row) for row in run("accounts/identities_by_number", {"digest": digest})]


def find_by_number(*, number: str, by: Any) -> list[Holder]:
    """Every identity with this ID number, mobile number or unified social credit code, newest first. The search itself
    is recorded, without the number, and a honey record among what it finds rings. Refuses what is none of the three, with
    429 more searches than a person makes, with 503 while the digest key is away."""
    check(by, "user.view")
    read_as = [method for method in METHODS if _is_a(method, number)]
    if not read_as:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[
                field_error("number", "invalid", _("This is no ID number, mobile number or credit code: check it."))
            ],
        )
    reveals.note_search(by=by)
    found: list[Holder] = []
    for method in read_as:
        found += holders(method, number)
    with transaction.atomic():
        audit.record(
            action="user.searched_by_number", subject="users", by=by, data={"read_as": read_as, "found": len(found)}
        )
        honey.touched(user_ids={identity.user_id for identity in found}, how="search", by=by)
    return sorted(found, key=lambda identity: identity.pk, reverse=True)


def _is_a(method: str, number: str) -> bool:
    try:
        numbers.normalise(method, number)
    except Refusal:
        return False
    return True
