"""Where a scheduled bundle begins and ends (contract.md ruling 13: a row belongs to the period in which it was committed).

A row carries the transaction that inserted it, a bundle the snapshot it was made with. The rows of a bundle are those its
snapshot sees and the one before it did not see: a transaction that was open across a snapshot falls, whole, into the next
bundle. `behind` a bundle lies everything its `base` snapshot saw, and of what its `snapshot` saw the rows before `cut_at`.

A bundle that is made late, because nobody was there at its hour, is cut at its hour: of the rows committed since the last
bundle it takes those whose own time lies before the cut, and leaves the rest to the next. It then keeps the base it began
with; a bundle made in time is its own base.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from core import audit
from reporting.definitions import Definition
from reporting.models import Bundle

FIRST, SNAPSHOT, TIME, PERIOD = "first", "snapshot", "time", "period"
LATE = timedelta(minutes=10)
OVERLAP = timedelta(seconds=60)
NOTHING_SEEN = "1:1:"  # the snapshot of before the first transaction


@dataclass(frozen=True)
class Position:
    """A moment of the database: its snapshot, its clock, and whose transaction numbers these are."""

    snapshot: str
    taken_at: datetime
    cluster: str


@dataclass(frozen=True)
class Selection:
    """Which rows a bundle holds: the condition's name with its parameters, and what follows for the next bundle."""

    which: str
    params: dict[str, Any]
    continuity: str
    base: str = ""
    cut_at: datetime | None = None


def now() -> datetime:
    """The database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]


@contextmanager
def reading() -> Iterator[tuple[Any, Position]]:
    """A connection of its own in one read-only snapshot, for as long as the reading takes; the caller's connection
    stays free to report progress. Gives a cursor and the position."""
    side = connection.copy()
    try:
        with side.cursor() as cursor:
            # The stock timeouts guard requests; an export is as long as its rows are many.
            cursor.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(
                "SELECT pg_current_snapshot()::text, statement_timestamp(),"
                " (SELECT system_identifier::text FROM pg_control_system())"
            )
            yield cursor, Position(*cursor.fetchone())
            cursor.execute("ROLLBACK")
    finally:
        side.close()


def select(bundle: Bundle, previous: Bundle | None, position: Position) -> Selection:
    """Which rows belong to this bundle, seen from this position."""
    if bundle.scheduled_for is None:
        return Selection("within_time", {"from": bundle.period_from, "to": bundle.period_to}, PERIOD)
    if previous is not None and previous.cluster != position.cluster:
        since = (previous.cut_at or previous.taken_at) - OVERLAP  # type: ignore[operator]
        return Selection("since_restore", {"since": since}, TIME, base=position.snapshot)
    late = position.taken_at > bundle.scheduled_for + LATE
    base = (previous.base if previous else "") or NOTHING_SEEN
    params = {
        "base": base,
        "now": position.snapshot,
        "previous": previous.snapshot if previous else NOTHING_SEEN,
        "previous_cut": previous.cut_at if previous and previous.cut_at else "-infinity",
        "cut": bundle.scheduled_for if late else "infinity",
    }
    return Selection(
        "committed_between",
        params,
        SNAPSHOT if previous else FIRST,
        base=base if late else position.snapshot,
        cut_at=bundle.scheduled_for if late else None,
    )


def stamp_anew_after_restore(definition: Definition, *, by: Any) -> bool:
    """Give all rows the number of a transaction of this cluster, if theirs are those of another (a dump was restored).
    Without it, old numbers would be reached again and their rows exported a second time."""
    with transaction.atomic(), connection.cursor() as cursor:
        if _stamped_here(cursor, definition.table):
            return False
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(f"LOCK TABLE {definition.table} IN ACCESS EXCLUSIVE MODE")
        if _stamped_here(cursor, definition.table):  # another worker was faster
            return False
        cursor.execute("SELECT reporting_commit_stamp_v1(%s::regclass)", [definition.table])
        audit.record(action="export.stamped_anew", subject=f"table:{definition.table}", by=by)
    return True


def _stamped_here(cursor: Any, table: str) -> bool:
    cursor.execute(
        "SELECT col_description(attrelid, attnum) = (SELECT system_identifier::text FROM pg_control_system())"
        " FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'xact' AND NOT attisdropped",
        [table],
    )
    return bool(cursor.fetchone()[0])
