"""How much each key calls: counted in the process, brought together in Valkey, written to the database by the clock.

A process hands its counts over every HAND_OVER seconds, beat writes them once a minute. A process that is killed loses
its last five seconds, a cache that is lost the last minute; an answer of the cache that went missing can count a few
seconds twice. Good for a chart and for "when was it used last", not for a bill.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import Exists, Max, OuterRef, Sum
from django.db.models.functions import Now

from accounts import counters
from accounts.models import KeyUsage
from core.calendar import SHANGHAI
from core.options import option
from core.sql import run

HAND_OVER = 5.0
HOUR = 3600
KEPT = "mj:usage"
# Takes all counts at once, so that none is written twice.
TAKE_ALL = "local all = redis.call('HGETALL', KEYS[1]) redis.call('DEL', KEYS[1]) return all"

_counts: dict[tuple[UUID, int], list[int]] = {}
_lock = threading.Lock()
_timer: threading.Timer | None = None


def count(key_id: UUID | None, *, refused: bool = False) -> None:
    """Count one call of a key, or one that was refused. Costs no query and no question to the cache."""
    global _timer
    if key_id is None:
        return
    place = (key_id, int(time.time()) // HOUR)
    with _lock:
        counted = _counts.get(place)
        if counted is None:
            counted = _counts[place] = [0, 0]
        counted[refused] += 1
        if _timer is None:
            _timer = _later()


def _later() -> threading.Timer:
    timer = threading.Timer(HAND_OVER, hand_over)
    timer.daemon = True
    timer.start()
    return timer


def hand_over() -> None:
    """Give this process's counts to the cache; while that is away they stay here."""
    global _timer
    with _lock:
        taken = dict(_counts)
        _counts.clear()
        _timer = None
    if not taken:
        return
    try:
        counters.ask(lambda client: _add(client, taken))
    except counters.Away:
        _give_back(taken)


def _add(client: Any, taken: dict[tuple[UUID, int], list[int]]) -> None:
    with client.pipeline(transaction=True) as together:
        for (key_id, hour), numbers in taken.items():
            for what, number in zip("cr", numbers, strict=True):
                if number:
                    together.hincrby(KEPT, f"{key_id}:{hour}:{what}", number)
        together.execute()


def _give_back(taken: dict[tuple[UUID, int], list[int]]) -> None:
    global _timer
    with _lock:
        for place, numbers in taken.items():
            counted = _counts.setdefault(place, [0, 0])
            counted[0] += numbers[0]
            counted[1] += numbers[1]
        if _timer is None:
            _timer = _later()


atexit.register(hand_over)


def write() -> int:
    """Write what all processes counted into KeyUsage; run by beat. Answers how many keys and hours there were."""
    try:
        pairs = counters.ask(lambda client: _script()(keys=[KEPT], client=client))
    except counters.Away:
        return 0
    sums: dict[tuple[str, int], list[int]] = {}
    for place, number in zip(pairs[::2], pairs[1::2], strict=True):
        key_id, hour, what = place.decode().split(":")
        sums.setdefault((key_id, int(hour)), [0, 0])["cr".index(what)] += int(number)
    if sums:
        places = sorted(sums)
        run(
            "accounts/write_key_usage",
            {
                "keys": [UUID(key_id) for key_id, _hour in places],
                "hours": [datetime.fromtimestamp(hour * HOUR, UTC) for _key_id, hour in places],
                "calls": [sums[place][0] for place in places],
                "refused": [sums[place][1] for place in places],
            },
        )
    return len(sums)


def forget_old() -> int:
    """Remove counts that are older than `usage_keep_days`, but never a key's last one: by it one sees that nobody needs
    the key any more. Run by beat; returns how many."""
    newer = KeyUsage.objects.filter(key=OuterRef("key"), hour__gt=OuterRef("hour"))
    old = KeyUsage.objects.filter(Exists(newer), hour__lt=Now() - timedelta(days=option("usage_keep_days")))
    gone, _rows = old.delete()
    return gone


@cache
def _script() -> Any:
    return counters.script(TAKE_ALL)


def last_used(key_ids: Iterable[UUID]) -> dict[UUID, datetime]:
    """The hour in which each key was last used, or tried in vain."""
    rows = KeyUsage.objects.filter(key__in=list(key_ids)).values("key").annotate(last=Max("hour"))
    return {row["key"]: row["last"] for row in rows}


def by_hour(key_ids: Iterable[UUID], *, hours: int, now: datetime) -> list[tuple[datetime, int, int]]:
    """Calls and refusals of the last hours, oldest first, empty ones too."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
    found = {
        row["hour"]: (row["calls"], row["refused"])
        for row in _since(key_ids, first).values("hour").annotate(calls=Sum("calls"), refused=Sum("refused"))
    }
    each = [first + timedelta(hours=number) for number in range(hours)]
    return [(hour, *found.get(hour, (0, 0))) for hour in each]


def by_day(key_ids: Iterable[UUID], *, days: int, now: datetime) -> list[tuple[datetime, int, int]]:
    """Calls and refusals of the last days as Shanghai counts them, oldest first, empty ones too."""
    today = now.astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    each = [today - timedelta(days=number) for number in range(days - 1, -1, -1)]
    sums = {day: [0, 0] for day in each}
    for hour, calls, refused in _since(key_ids, each[0]).values_list("hour", "calls", "refused"):
        day = hour.astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
        if day in sums:
            sums[day][0] += calls
            sums[day][1] += refused
    return [(day, calls, refused) for day, (calls, refused) in sums.items()]


def _since(key_ids: Iterable[UUID], first: datetime) -> Any:
    return KeyUsage.objects.filter(key__in=list(key_ids), hour__gte=first)
