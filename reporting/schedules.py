"""The daily bundles: one per name and day, at 02:00 in Shanghai, missed days made up in order."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.db import connection, transaction

from core.calendar import SHANGHAI
from reporting import bundles, chains
from reporting.definitions import DEFINITIONS
from reporting.models import Bundle

HOUR = 2
AT_MOST = 31  # days made up by one look; the next look goes on
SCHEDULE = "system:schedule"


def due_bundles(now: datetime | None = None) -> list[Bundle]:
    """Create what is due and not there yet, and set each chain going. Any number of beats, or a clock that jumps, may
    call it: a period is made once (`a_period_is_made_once`). Returns what was created."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Two beats at once would only collide on the constraint; one after the other finds nothing to do.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('reporting.due_bundles'))")
        created = [bundle for name in DEFINITIONS for bundle in _create_due(name, now or chains.now())]
    for name in DEFINITIONS:
        bundles.start_next(name)
    return created


def latest_hour(now: datetime) -> datetime:
    """The last 02:00 of Shanghai that has passed."""
    there = now.astimezone(SHANGHAI)
    hour = datetime.combine(there.date(), time(HOUR), tzinfo=SHANGHAI)
    return hour if hour <= there else hour - timedelta(days=1)


def _create_due(name: str, now: datetime) -> list[Bundle]:
    last = (
        Bundle.objects.filter(name=name, scheduled_for__isnull=False)
        .order_by("-scheduled_for")
        .values_list("scheduled_for", flat=True)
        .first()
    )
    latest = latest_hour(now)
    # The first bundle of all reaches back to the beginning; days before it have none of their own.
    hours = [latest] if last is None else []
    hour = last.astimezone(SHANGHAI) if last else latest
    while len(hours) < AT_MOST and (hour := hour + timedelta(days=1)) <= latest:
        hours.append(hour)
    created = []
    for hour in hours:
        bundle = Bundle.objects.create(
            name=name, scheduled_for=hour, period_from=last, period_to=hour, requested_by=SCHEDULE
        )
        bundles.record_request(bundle, by=SCHEDULE)
        created.append(bundle)
        last = hour
    return created
