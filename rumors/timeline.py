"""A case's history as people read it: the ledger's lines in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _

from core import audit
from rumors.cases import subject
from rumors.models import RumorCase

WORDS = {
    "rumor_case.opened": _("Case opened"),
    "rumor_case.item_linked": _("Item linked"),
    "rumor_case.evidence": _("Evidence recorded"),
    "rumor_case.verify": _("Verification began"),
    "rumor_case.confirm": _("Confirmed false"),
    "rumor_case.clear": _("Not found false"),
    "rumor_case.refutation_drafted": _("Refutation drafted"),
    "rumor_case.refutation_published": _("Refutation published"),
    "rumor_case.waive": _("Refutation not needed"),
    "rumor_case.report_recorded": _("Report recorded"),
    "rumor_case.report": _("All reports made"),
    "rumor_case.close": _("Case closed"),
    "rumor_case.reopen": _("Case reopened"),
}
# The line of the act beside it says the same.
SILENT = {"rumor_case.refute"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the history."""

    at: datetime
    words: Any
    who: str
    reason: str


def timeline(case: RumorCase) -> list[Line]:
    """What happened, newest first."""
    events = [event for event in audit.of(subject(case)) if event.action not in SILENT]
    names = {event.actor.removeprefix("staff:") for event in events if event.actor.startswith("staff:")}
    people = {person.username: str(person) for person in get_user_model().objects.filter(username__in=names)}
    return [
        Line(
            event.at,
            WORDS.get(event.action, event.action),
            people.get(event.actor.removeprefix("staff:"), event.actor),
            event.reason,
        )
        for event in reversed(events)
    ]
