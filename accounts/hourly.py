"""Alarms that a machine can set off a thousand times a second: rung at most once an hour for one thing."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from core import alarms
from core.models import Alarm

HOUR = timedelta(hours=1)
_rung: dict[tuple[str, str], float] = {}


def ring(*, kind: str, subject: str, by: Any, detail: str = "") -> bool:
    """Raise an alarm unless one of this kind about this subject was raised within the hour, by whichever process;
    answers whether it did. Costs no query where this process knows already."""
    now = time.monotonic()
    if _rung.get((kind, subject), 0.0) > now:
        return False
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Two processes at once would both find no alarm yet.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"alarm:{kind}:{subject}"])
        fresh = not Alarm.objects.filter(kind=kind, subject=subject, raised_at__gt=Now() - HOUR).exists()
        if fresh:
            alarms.ring(kind=kind, subject=subject, by=by, detail=detail)
    if len(_rung) > 10_000:
        _rung.clear()
    # Within the minute after the hour another process may ring again; this one asks the database then.
    _rung[kind, subject] = now + (HOUR.total_seconds() if fresh else 60.0)
    return fresh


def forget() -> None:
    """Ask the database again."""
    _rung.clear()
