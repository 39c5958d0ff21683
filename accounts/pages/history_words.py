"""The ledger's actions about users in words, for the history line of a user."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

from accounts.models import Identity, Measure
from accounts.states import ACCOUNT_WORDS
from core.models import AuditEvent

WORDS = {
    "user.registered": _("Registered"),
    "identity.submitted": _("Handed in an identity"),
    "user.identity_verified": _("Identity verified"),
    "user.identity_rejected": _("Identity rejected"),
    "identity.revealed": _("Number shown in the clear"),
    "measure.applied": _("Measure applied"),
    "measure.lifted": _("Measure lifted"),
    "measure.expired": _("Measure ended"),
    "user.account_status": _("Account is now"),
}


class Line(NamedTuple):
    """One line of a history: the event, what happened in words, and about what."""

    event: AuditEvent
    what: Any
    about: Any


def line(event: AuditEvent) -> Line:
    """An event of the ledger as people read it; an action without words is shown as it is."""
    data = event.data or {}
    about: Any = ""
    if event.action.startswith("measure."):
        about = Measure.KINDS.get(data.get("kind", ""), "")
    elif event.action == "identity.submitted":
        about = Identity.METHODS.get(data.get("method", ""), "")
    elif event.action == "user.account_status":
        about = ACCOUNT_WORDS.get(data.get("to", ""), "")
    return Line(event, WORDS.get(event.action, event.action), about)
