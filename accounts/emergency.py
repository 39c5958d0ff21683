"""Breaking the glass: rights beyond one's role, taken in an emergency by oneself, with a reason and for a while. All are
told at once, everything done with them is marked in the ledger, and somebody else looks at it afterwards.

What the rights are stands in `core.roles.EMERGENCY`; that they hold is found with every request (accounts/presence.py),
so they begin and end at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Least, Now
from django.utils.translation import gettext_lazy as _

from accounts.models import BreakGlass, Staff
from core import alarms, audit
from core.errors import Conflict, NotFound, Refusal, field_error
from core.models import AuditEvent
from core.options import option
from core.roles import check

SHORTEST_REASON = 10


def take(*, reason: str, by: Any) -> BreakGlass:
    """Take emergency rights for option("glass_open") seconds. Rings everybody. Refuses a reason that says nothing and a
    second emergency while one is open."""
    check(by, "glass.break")
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise _invalid(
            "reason", "too_short", _("Say what happened, in ten characters at least: everybody will read it.")
        )
    with transaction.atomic():
        _locked_person(by.pk)
        _end_overdue(BreakGlass.objects.filter(staff_id=by.pk))
        if BreakGlass.objects.filter(staff_id=by.pk, ended_at=None).exists():
            raise Conflict("already_open", _("You have emergency rights already."))
        glass = BreakGlass.objects.create(
            staff_id=by.pk, reason=reason, until=Now() + timedelta(seconds=option("glass_open"))
        )
        by.emergency = glass.pk
        audit.record(action="glass.broken", subject=f"emergency:{glass.pk}", by=by, reason=reason)
        alarms.ring(kind="glass_broken", subject=f"emergency:{glass.pk}", by=by)
    glass.refresh_from_db()
    return glass


def end(*, emergency_id: UUID, by: Any) -> BreakGlass:
    """End an emergency before its time: one's own, or a colleague's. Ending it again changes nothing."""
    check(by, "glass.view")
    with transaction.atomic():
        glass = _locked(emergency_id)
        if glass.ended_at is None:
            _end(glass, by)
        if getattr(by, "emergency", None) == glass.pk:
            by.emergency = None
    return glass


def end_of(*, staff_id: UUID, by: Any) -> None:
    """End what a person has open, inside of the command that makes it necessary."""
    for glass in BreakGlass.objects.select_for_update().filter(staff_id=staff_id, ended_at=None):
        _end(glass, by)


def review(*, emergency_id: UUID, text: str, by: Any) -> BreakGlass:
    """Somebody else writes what they found when they looked at what was done (never their own emergency: also a
    constraint). Refuses while it is open and when it was reviewed already."""
    check(by, "glass.review")
    if not text.strip():
        raise _invalid("text", "required", _("Say what you found."))
    with transaction.atomic():
        glass = _locked(emergency_id)
        if glass.staff_id == by.pk:
            raise Refusal("own_emergency", _("Nobody reviews their own emergency."), status=403)
        _end_overdue(BreakGlass.objects.filter(pk=glass.pk))
        glass.refresh_from_db()
        if glass.ended_at is None:
            raise Conflict("still_open", _("This emergency is still open. Review it when it has ended."))
        if glass.reviewed_at is not None:
            raise Conflict("already_reviewed", _("This emergency was reviewed already."))
        glass.review, glass.reviewed_by_id, glass.reviewed_at = text.strip(), by.pk, Now()
        glass.save(update_fields=["review", "reviewed_by", "reviewed_at"])
        audit.record(action="glass.reviewed", subject=f"emergency:{glass.pk}", by=by, reason=text.strip())
    return glass


def opened() -> QuerySet[BreakGlass]:
    """Emergencies that are open now, oldest first."""
    return BreakGlass.objects.filter(ended_at=None, until__gt=Now()).select_related("staff").order_by("started_at")


def unreviewed() -> QuerySet[BreakGlass]:
    """Emergencies that are over and that nobody has looked at, oldest first."""
    over = Q(ended_at__isnull=False) | Q(until__lte=Now())
    return BreakGlass.objects.filter(over, reviewed_at=None).select_related("staff").order_by("started_at")


def acts(glass: BreakGlass) -> QuerySet[AuditEvent]:
    """What was done with an emergency, by its mark in the ledger, in order. The lines about its beginning and its end
    bound the search: the ledger is long."""
    bounds = dict(
        AuditEvent.objects.filter(subject=f"emergency:{glass.pk}", action__in=["glass.broken", "glass.closed"])
        .order_by("-id")
        .values_list("action", "id")
    )
    marked = AuditEvent.objects.filter(id__gte=bounds.get("glass.broken", 0), data__emergency=str(glass.pk))
    if "glass.closed" in bounds:
        marked = marked.filter(id__lte=bounds["glass.closed"])
    return marked.exclude(subject=f"emergency:{glass.pk}").order_by("id")


def expire_due() -> int:
    """Write down the end of emergencies whose time is over, by the database's clock; run by beat. Returns how many."""
    with transaction.atomic():
        return _end_overdue(BreakGlass.objects.all())


def _end_overdue(rows: QuerySet[BreakGlass]) -> int:
    overdue = rows.select_for_update().filter(ended_at=None, until__lte=Now())
    ended = 0
    for glass in overdue:
        BreakGlass.objects.filter(pk=glass.pk).update(ended_at=F("until"))
        audit.record(action="glass.closed", subject=f"emergency:{glass.pk}", by="system:clock")
        ended += 1
    return ended


def _end(glass: BreakGlass, by: Any) -> None:
    # One that ran out before anybody wrote it down ended then and not now.
    BreakGlass.objects.filter(pk=glass.pk).update(ended_at=Least(F("until"), Now()))
    glass.refresh_from_db()
    audit.record(action="glass.closed", subject=f"emergency:{glass.pk}", by=by)


def _locked_person(staff_id: UUID) -> None:
    # Two requests of one person queue up here; the constraint would stop the second less politely.
    if Staff.objects.select_for_update().filter(pk=staff_id, is_active=True).first() is None:
        raise NotFound("not_found", _("There is no such person."))


def _locked(emergency_id: UUID) -> BreakGlass:
    glass = BreakGlass.objects.select_for_update().filter(pk=emergency_id).first()
    if glass is None:
        raise NotFound("not_found", _("There is no such emergency."))
    return glass


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
