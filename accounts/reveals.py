"""Looks at what is guarded: a name and number in the clear, a search by number, all data of a person (security.md §4).

Each is counted in the database before anything is shown, so that no cache that is away or emptied lifts a limit, and the
line in the ledger is committed before the plaintext leaves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import honey
from accounts.models import Look, Staff, User
from core import alarms, audit
from core.calendar import SHANGHAI
from core.errors import Conflict, NotFound, Refusal, field_error
from core.models import Alarm
from core.options import option
from core.roles import actor, check


@dataclass(frozen=True)
class Limit:
    """How often one person may look in a while, and which alarm rings when they reach it."""

    option: str
    span: timedelta
    alarm: str
    code: str
    sentence: Any


_REVEALS = Limit(
    "reveals_per_day",
    timedelta(days=1),
    "reveals_many",
    "reveals_limited",
    _("You have looked at as many people as one may in a day."),
)
_SEARCHES = Limit(
    "number_searches_per_minute",
    timedelta(minutes=1),
    "searches_many",
    "searches_limited",
    _("Too many searches by number: wait a minute."),
)
LIMITS = {"reveal": _REVEALS, "bundle": _REVEALS, "search": _SEARCHES}
ACTIONS = {"reveal": "identity.revealed", "bundle": "person_request.downloaded"}


def note(*, user_id: UUID, reason: str, by: Any, kind: str = "reveal") -> Look:
    """Record that somebody is about to see a person's data, and commit it; only then may it be shown. Refuses without a
    reason, with 409 for a frozen or erased account (GEN-09: kept, not used), with 429 past the day's limit. Reaching the
    limit rings an alarm, and so does a honey record, in the same transaction. Must not be called inside a transaction:
    its line would not be committed before the plaintext leaves."""
    if not reason.strip():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("reason", "required", _("Say why you need to see it."))],
        )
    with transaction.atomic(durable=True):
        user = User.objects.filter(pk=user_id).only("frozen_at").first()
        if user is None:
            raise NotFound("not_found", _("There is no such user."))
        if user.frozen_at:
            raise Conflict("user_frozen", _("This record is only kept until its time is over; nobody may use it."))
        look = _counted(kind=kind, user_id=user_id, reason=reason.strip(), by=by)
        audit.record(action=ACTIONS[kind], subject=f"user:{user_id}", by=by, reason=reason.strip())
        honey.touched(user_ids=[user_id], how=kind, by=by)
    return look


def note_search(*, by: Any) -> None:
    """Count a search by number, and commit it, before it is carried out. Refuses with 429 past the minute's limit."""
    with transaction.atomic(durable=True):
        _counted(kind="search", user_id=None, reason="", by=by)


def _counted(*, kind: str, user_id: UUID | None, reason: str, by: Any) -> Look:
    limit = LIMITS[kind]
    most = int(option(limit.option))
    # Two browsers of one person at once queue up here and count each other.
    Staff.objects.select_for_update(no_key=True).get(pk=by.pk)
    kinds = [name for name, one in LIMITS.items() if one is limit]
    before = Look.objects.filter(staff=by, kind__in=kinds, at__gt=Now() - limit.span).count()
    if before >= most:
        raise Refusal(
            limit.code, limit.sentence, status=429, retry_after=int(limit.span.total_seconds()), extra={"limit": most}
        )
    look = Look.objects.create(kind=kind, staff=by, user_id=user_id, reason=reason)
    if before + 1 == most and not _rang(limit, by):
        alarms.ring(kind=limit.alarm, subject=f"staff:{by.pk}", by=by, detail=f"{most} / {limit.span}")
    return look


def _rang(limit: Limit, by: Any) -> bool:
    # Somebody who stays just below the limit reaches it again and again: once an hour is enough to be looked at.
    since = Now() - max(limit.span, timedelta(hours=1))
    return Alarm.objects.filter(kind=limit.alarm, actor=actor(by), raised_at__gt=since).exists()


def listed(*, staff_id: UUID | None = None, by: Any) -> QuerySet[Look]:
    """Looks at persons, for those who review them; of one colleague or of all."""
    check(by, "reveal.review")
    rows = Look.objects.exclude(kind="search").select_related("staff", "user__service")
    return rows.filter(staff_id=staff_id) if staff_id else rows


def by_week(*, weeks: int = 8, by: Any) -> list[dict[str, Any]]:
    """How many looks each colleague had in each of the last weeks (Monday to Sunday in Shanghai), newest first."""
    check(by, "reveal.review")
    since = Now() - timedelta(weeks=weeks)
    counts: dict[tuple[Any, str], int] = {}
    names: dict[str, str] = {}
    rows = Look.objects.exclude(kind="search").filter(at__gt=since)
    for at, pk, name in rows.values_list("at", "staff_id", "staff__display_name").iterator():
        day = at.astimezone(SHANGHAI).date()
        monday = day - timedelta(days=day.weekday())
        counts[monday, str(pk)] = counts.get((monday, str(pk)), 0) + 1
        names[str(pk)] = name
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], item[1]), reverse=True)
    return [{"week": week, "staff": pk, "name": names[pk], "count": count} for (week, pk), count in ordered]


def as_csv(rows: QuerySet[Look], *, by: Any) -> Iterator[str]:
    """The list as a spreadsheet, line by line; a cell that a spreadsheet would take for a formula is guarded (ASVS
    1.2.10). That it was taken away stands in the ledger."""
    check(by, "reveal.review")
    with transaction.atomic():
        audit.record(action="reveals.exported", subject="house", by=by)
    return _lines(rows)


def _lines(rows: QuerySet[Look]) -> Iterator[str]:
    yield "\ufeff" + _line(["at", "who", "what", "service", "external_id", "why"])
    for look in rows.order_by("-pk").iterator(chunk_size=500):
        user = look.user
        yield _line(
            [
                look.at.astimezone(SHANGHAI).isoformat(timespec="seconds"),
                look.staff.username,
                look.kind,
                user.service.code if user else "",
                user.external_id if user else "",
                look.reason,
            ]
        )


def _line(cells: list[str]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow([f"'{c}" if c[:1] in ("=", "+", "-", "@", "\t", "\r") else c for c in cells])
    return written.getvalue()
