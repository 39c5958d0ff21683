"""Finding users by a number that is never written down: through the keyed digest, with a line in the ledger."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts import identities
from accounts.models import Identity
from core import audit
from core.errors import Refusal, field_error
from core.roles import check

METHODS = ("id_number", "uscc", "mobile")  # what a person can type; the national service's token is no number


def find_by_number(*, number: str, by: Any) -> list[Identity]:
    """Every identity with this ID number, mobile number or unified social credit code, newest first. The search itself
    is recorded, without the number. Refuses what is none of the three."""
    check(by, "user.view")
    found: list[Identity] = []
    read_as = []
    for method in METHODS:
        try:
            rows = identities.with_number(method, number)
        except Refusal:
            continue
        read_as.append(method)
        found += rows.select_related("user")[:100]
    if not read_as:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[
                field_error("number", "invalid", _("This is no ID number, mobile number or credit code: check it."))
            ],
        )
    with transaction.atomic():
        audit.record(
            action="user.searched_by_number", subject="users", by=by, data={"read_as": read_as, "found": len(found)}
        )
    return sorted(found, key=lambda identity: identity.pk, reverse=True)
