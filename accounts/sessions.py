"""Where the staff are signed in: one row a session, by which it ends at once wherever it is (ASVS 7.3, 7.4).

Django's session holds the id of its row, not the other way round: this table opens nothing, and a session whose row
ended is worth nothing from its next request on, whatever else it holds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import Staff, StaffSession
from core import audit, crypto
from core.errors import NotFound
from core.options import option
from core.requests import known_address
from core.roles import check
from core.sql import run

KEY = "staff_session"
FRESH = 60  # seconds for which a session's last sign of life is not written anew

ENDED = {
    "signed_out": _("Signed out"),
    "idle": _("Nobody was there for too long"),
    "longest": _("The longest time for one session was over"),
    "ended": _("Ended by the person"),
    "admin": _("Ended by an administrator"),
    "closed": _("The account was closed"),
    "role": _("The role changed"),
    "password": _("The password changed"),
    "replaced": _("Signed in anew in the same browser"),
}


class State(NamedTuple):
    """A session as a request finds it; times are compared by the database."""

    staff_id: UUID
    ended_why: str
    ended: bool
    idle: bool
    too_long: bool
    stale: bool
    emergency: UUID | None
    emergencies: bool
    unreviewed: int
    alarms: int

    @property
    def over(self) -> str:
        """Why this session holds no longer; empty while it does."""
        if self.ended:
            return self.ended_why or "ended"
        return "longest" if self.too_long else "idle" if self.idle else ""


def begin(*, staff: Staff, request: HttpRequest) -> StaffSession:
    """Write down a sign-in. Runs inside of Django's login, after the session got its new key."""
    if request.session.session_key is None:
        request.session.create()
    earlier = request.session.get(KEY)
    if earlier:
        # Django keeps the key when the same person signs in over their own session: a new sign-in is a new session.
        _end(StaffSession.objects.filter(pk=earlier), "replaced")
        request.session.cycle_key()
    row = StaffSession.objects.create(
        staff=staff,
        key_hash=crypto.key_hash(str(request.session.session_key)),
        address=known_address(request),
        agent=request.META.get("HTTP_USER_AGENT", "").replace("\x00", "")[:200],
    )
    request.session[KEY] = str(row.pk)
    return row


def look(session_id: str) -> State | None:
    """The session's state now, with what every page has to say; None when there is no such session."""
    rows = run(
        "accounts/session_state",
        {
            "session": session_id,
            "idle": option("session_idle"),
            "longest": option("session_longest"),
            "fresh": FRESH,
        },
    )
    return State(*rows[0]) if rows else None


def seen(session_id: str) -> None:
    """A sign of life, by the database's clock."""
    StaffSession.objects.filter(pk=session_id, ended_at=None).update(seen_at=Now())


def over(session_id: str, why: str) -> None:
    """Write down that a session was found to be over, or that its person signed out."""
    _end(StaffSession.objects.filter(pk=session_id), why)


def held() -> QuerySet[StaffSession]:
    """Sessions that would still be let in, the latest sign of life first."""
    return StaffSession.objects.filter(
        ended_at=None,
        seen_at__gte=Now() - timedelta(seconds=option("session_idle")),
        created_at__gte=Now() - timedelta(seconds=option("session_longest")),
    ).order_by("-seen_at")


def end(*, session_id: UUID, by: Any) -> bool:
    """End one of one's own sessions; False when there is none like it or it is over already."""
    with transaction.atomic():
        ended = _end(StaffSession.objects.filter(pk=session_id, staff_id=by.pk), "ended")
        if ended:
            audit.record(action="staff.session_ended", subject=f"staff:{by.pk}", by=by)
    return bool(ended)


def end_others(*, keep: str, by: Any, why: str = "ended") -> int:
    """End all of one's own sessions but one; returns how many there were."""
    with transaction.atomic():
        ended = _end(StaffSession.objects.filter(staff_id=by.pk).exclude(pk=keep), why)
        if ended:
            audit.record(action="staff.session_ended", subject=f"staff:{by.pk}", by=by, data={"sessions": ended})
    return ended


def end_all(*, staff_id: UUID, by: Any) -> int:
    """An administrator signs a colleague out everywhere; returns how many sessions there were."""
    check(by, "staff.manage")
    with transaction.atomic():
        if not Staff.objects.select_for_update().filter(pk=staff_id).exists():
            raise NotFound("not_found", _("There is no such person."))
        ended = close(staff_id, "admin")
        if ended:
            audit.record(action="staff.sessions_ended", subject=f"staff:{staff_id}", by=by, data={"sessions": ended})
    return ended


def close(staff_id: UUID, why: str) -> int:
    """End all sessions of a person inside of the command that makes it necessary; returns how many there were."""
    return _end(StaffSession.objects.filter(staff_id=staff_id), why)


def _end(rows: QuerySet[StaffSession], why: str) -> int:
    return rows.filter(ended_at=None).update(ended_at=Now(), ended_why=why)


def tidy() -> int:
    """Write down the end of sessions that ran out, and remove the record of those that ended long ago. Returns how many
    ran out."""
    idle = Q(seen_at__lt=Now() - timedelta(seconds=option("session_idle")))
    longest = Q(created_at__lt=Now() - timedelta(seconds=option("session_longest")))
    ended = _end(StaffSession.objects.filter(longest), "longest") + _end(StaffSession.objects.filter(idle), "idle")
    kept = timedelta(days=option("session_record_days"))
    StaffSession.objects.filter(ended_at__lt=Now() - kept).delete()
    return ended
