"""The figures of the overview: what waits, what came, what was decided, what was found. All of it read from the database;
kept for a few seconds, so that a wall of screens costs what one does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from core.calendar import SHANGHAI
from core.health import WORKER_SILENT_AFTER
from core.sql import load
from moderation.models import Task

log = structlog.get_logger("statistics")
DAYS = 7
NOW_SECONDS = 5
# Hours that are over don't change any more (decisions and findings only grow, by the database's clock); they are still
# counted again now and then, for a transaction that was open across the hour.
PAST_SECONDS = 600
_BADGE_BOUND = 1000
_SKEW = timedelta(hours=1)  # how far the clock that made an id may be from the database's
_END = datetime(9999, 1, 1, tzinfo=UTC)
WORKERS = ("work", "courier", "media", "bulk")


@dataclass(frozen=True)
class Counts:
    """What happened in a stretch of time."""

    received: Counter[str] = field(default_factory=Counter)  # by Shanghai day
    released: Counter[str] = field(default_factory=Counter)
    blocked: Counter[str] = field(default_factory=Counter)
    by_policy: Counter[str] = field(default_factory=Counter)  # releases that no person decided
    hits: Counter[str] = field(default_factory=Counter)  # by category code

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.received + other.received,
            self.released + other.released,
            self.blocked + other.blocked,
            self.by_policy + other.by_policy,
            self.hits + other.hits,
        )


def last_days(now: datetime) -> list[date]:
    """The Shanghai days that the overview shows, today last."""
    today = now.astimezone(SHANGHAI).date()
    return [today - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]


def start_of(day: date) -> datetime:
    """The first moment of a Shanghai day."""
    return datetime.combine(day, datetime.min.time(), tzinfo=SHANGHAI)


def first_id_at(moment: datetime) -> UUID:
    """The smallest time-ordered id (UUIDv7) of a moment: every later row has a greater one."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def overview() -> dict[str, Any]:
    """Everything the overview shows, at most NOW_SECONDS old: two statements when nothing is kept, three on a new hour."""
    return _kept("now", NOW_SECONDS, _overview)


def _overview() -> dict[str, Any]:
    now = timezone.now()
    days = last_days(now)
    hour = now.replace(minute=0, second=0, microsecond=0)
    past = _kept(f"until-{hour:%Y%m%d%H}", PAST_SECONDS, lambda: counts(start_of(days[0]), hour))
    return {"at": now, "days": days, "counts": past + counts(hour, _END), **_now(start_of(days[0]), start_of(days[-1]))}


def counts(since: datetime, until: datetime) -> Counts:
    """What was received, decided and found in `[since, until)`."""
    found = Counts()
    with connection.cursor() as cursor:
        cursor.execute(
            load("moderation/overview_counts"),
            {
                "since": since,
                "until": until,
                "first_id": first_id_at(since - _SKEW),
            },
        )
        for what, key, by_kind, rows in cursor.fetchall():
            if what == "received":
                found.received[key] += rows
            elif what == "hit":
                found.hits[key] += rows
            elif what == "block":
                found.blocked[key] += rows
            else:
                found.released[key] += rows
                if by_kind == "policy":
                    found.by_policy[key] += rows
    return found


def _now(since: datetime, today: datetime) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(load("moderation/overview_now"), {"since": since, "today": today})
        row = dict(zip([column.name for column in cursor.description], cursor.fetchone(), strict=True))
    row["entered"] = Counter(_json(row["entered"]))
    ages: Mapping[str, float] = _json(row["workers"])
    # A queue that never had a canary has no worker, as far as anybody knows.
    row["workers"] = {name: ages.get(name) for name in WORKERS}
    row["silent"] = [name for name, age in row["workers"].items() if age is None or age > WORKER_SILENT_AFTER]
    return row


def _json(value: Any) -> Any:
    # A raw cursor under Django answers jsonb as text.
    return json.loads(value) if isinstance(value, str | bytes) else value


def waiting() -> int:
    """How many items nobody holds; counted up to 1,000, for the rail."""
    return len(Task.objects.values_list("pk")[:_BADGE_BOUND])


def _kept(name: str, seconds: int, make: Callable[[], Any]) -> Any:
    # Two installations may share a cache; their databases' names tell them apart.
    key = f"overview:{connection.settings_dict['NAME']}:{name}"
    try:
        kept = cache.get(key)
    except Exception as error:  # each cache backend raises its own classes
        log.warning("cache_away", error=type(error).__name__)
        return make()
    if kept is None:
        kept = make()
        try:
            cache.set(key, kept, seconds)
        except Exception as error:
            log.warning("cache_away", error=type(error).__name__)
    return kept
