"""The ladder of measures (DS-10e, GEN-12): what is recommended for a severity and a history, and why. Advice only: a
person decides, and closing an account is never recommended without saying that a person must decide.

The steps are this table, on purpose not a setting: whoever changes them changes a rule of the house, with a review. How
long the past counts is the option `ladder_memory`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import Measure, User
from core.calendar import SHANGHAI
from core.options import option

SEVERITIES = {
    1: gettext_lazy("1 · slight"),
    2: gettext_lazy("2 · moderate"),
    3: gettext_lazy("3 · serious"),
    4: gettext_lazy("4 · grave"),
}


class Step(NamedTuple):
    """A kind of measure and for how many days; None: it has no end of its own."""

    kind: str
    days: int | None = None


# severity -> the step for none, one, two, three and more earlier measures that count
STEPS: dict[int, tuple[Step, Step, Step, Step]] = {
    1: (Step("warn"), Step("warn"), Step("limit", 7), Step("limit", 30)),
    2: (Step("warn"), Step("limit", 7), Step("suspend", 7), Step("suspend", 30)),
    3: (Step("limit", 7), Step("suspend", 7), Step("suspend", 30), Step("close")),
    4: (Step("suspend", 7), Step("suspend", 30), Step("close"), Step("close")),
}


class Past(NamedTuple):
    """An earlier measure, as the ladder sees it."""

    kind: str
    started_at: datetime
    in_force: bool
    overturned: bool  # an appeal against it succeeded: it never counts


@dataclass(frozen=True)
class Recommendation:
    """What the ladder proposes, and the sentence that says why."""

    severity: int
    kind: str
    days: int | None
    counted: int
    reason: str

    @property
    def severity_word(self) -> Any:
        """The severity as the form names it."""
        return SEVERITIES[self.severity]

    @property
    def a_person_must_decide(self) -> bool:
        """Closing an account never follows from a table."""
        return self.kind == "close"

    @property
    def end_for_form(self) -> str:
        """When it would end if it were put in force now, as a form's field in Beijing time takes it; empty: no end."""
        end = timezone.now().astimezone(SHANGHAI) + timedelta(days=self.days or 0)
        return f"{end:%Y-%m-%dT%H:%M}" if self.days else ""

    @property
    def measure_words(self) -> str:
        """The measure in words, with its duration."""
        kind = str(Measure.KINDS[self.kind])
        if self.days is None:
            return kind
        days = ngettext("%(n)s day", "%(n)s days", self.days) % {"n": self.days}
        return _("%(measure)s, %(days)s") % {"measure": kind, "days": days}


def counts(past: Past, *, now: datetime, memory_days: float) -> bool:
    """Whether an earlier measure still counts: not one that an appeal undid; one of the last `memory_days` days; an older
    one only while it still restricts (a warning restricts nothing and is forgotten)."""
    if past.overturned:
        return False
    recent = past.started_at > now - timedelta(days=memory_days)
    return recent or (past.in_force and past.kind != "warn")


def recommend(*, severity: int, past: Iterable[Past], now: datetime, memory_days: float) -> Recommendation:
    """The step for this severity (1 to 4) and history. Raises KeyError for another severity."""
    counted = sum(counts(one, now=now, memory_days=memory_days) for one in past)
    step = STEPS[severity][min(counted, 3)]
    return Recommendation(severity, step.kind, step.days, counted, _reason(severity, counted, step.kind, memory_days))


def history_of(user: User) -> list[Past]:
    """Every measure that was ever put on this account, oldest first."""
    rows = user.measures.order_by("starts_at").values_list("kind", "starts_at", "state", "overturned_at")
    return [Past(kind, at, state == "in_force", overturned is not None) for kind, at, state, overturned in rows]


def for_severity(*, user: User, severity: int) -> Recommendation:
    """What the ladder proposes for this user and severity now. Raises KeyError for another severity than 1 to 4."""
    return recommend(severity=severity, past=history_of(user), now=timezone.now(), memory_days=option("ladder_memory"))


def for_user(user: User) -> tuple[Recommendation, ...]:
    """What the ladder proposes for this user now, one recommendation per severity; one query."""
    past, now, memory = history_of(user), timezone.now(), option("ladder_memory")
    return tuple(recommend(severity=s, past=past, now=now, memory_days=memory) for s in STEPS)


def _reason(severity: int, counted: int, kind: str, memory_days: float) -> str:
    if counted == 0:
        said = _("severity %(severity)s and no earlier measure in %(days)s days") % {
            "severity": severity,
            "days": f"{memory_days:g}",
        }
    else:
        said = ngettext(
            "severity %(severity)s and %(n)s earlier measure in %(days)s days",
            "severity %(severity)s and %(n)s earlier measures in %(days)s days",
            counted,
        ) % {"severity": severity, "n": counted, "days": f"{memory_days:g}"}
    return _("%(why)s; a person must decide") % {"why": said} if kind == "close" else said
