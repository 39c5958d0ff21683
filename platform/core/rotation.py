"""Rotation of the field keys: everything that names an old key is brought under the one in use, while people work.

Work is found by the key id that a value names, never by a cursor that is kept somewhere, so a killed run is resumed by
starting another. A batch takes only rows that nobody holds (SKIP LOCKED), so that it never waits and can't be part of a
deadlock, and writes a row only if it still has the bytes that were read: a change of somebody else is never overwritten.
Rows that were passed over are found by the next pass; the end is a pass that finds none.
"""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _
from psycopg import sql

from core import audit, crypto, vault
from core.errors import Conflict
from core.models import DataKey
from core.vault import SEALED, SealedColumn

log = structlog.get_logger("rotation")
BATCH = 1000
PATIENCE = 30.0  # seconds without any progress after which rows that others hold are left to the next run
DATA_KEYS = "core.datakey.wrapped"
JOBS = "core.job.payload"  # for minutes, until the job is done: counted, never rewritten
V1 = crypto.VERSION + b"."
_IN_JSON = base64.b64encode(V1).decode()


@dataclass
class Outcome:
    """What a run did: rows moved, rows that don't open (by place), rows that others held to the end."""

    moved: int = 0
    passes: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    held: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing names an old key any more."""
        return not self.unreadable and not self.held


Progress = Callable[[str, int], None]


def plan() -> dict[str, dict[str, int]]:
    """How many values name which field key, by place. Values under a data key name none."""
    counts: dict[str, dict[str, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT key_id, count(*) FROM core_datakey WHERE wrapped IS NOT NULL GROUP BY 1")
        counts[DATA_KEYS] = dict(cursor.fetchall())
        for column in SEALED.values():
            cursor.execute(
                _sql(
                    "SELECT encode(substr({col}, 4, greatest(position('\\x2e'::bytea IN substr({col}, 4)) - 1, 0)),"
                    " 'escape') AS key_id, count(*) FROM {table} WHERE substr({col}, 1, 3) = '\\x76312e' GROUP BY 1",
                    column,
                )
            )
            if found := dict(cursor.fetchall()):
                counts[column.name] = found
        cursor.execute("SELECT payload FROM core_job WHERE payload::text LIKE %s", [f"%{_IN_JSON}%"])
        waiting = Counter(key for (payload,) in cursor.fetchall() for key in _keys_in(payload))
    if waiting:
        counts[JOBS] = dict(waiting)
    return counts


def _keys_in(payload: Any) -> list[str]:
    """The keys that sealed texts in a job's payload name."""
    values = (json.loads(payload) if isinstance(payload, str) else payload).values()
    sealed = [value for value in values if isinstance(value, str) and value.startswith(_IN_JSON)]
    return [base64.b64decode(value + "==").split(b".", 2)[1].decode("ascii", "replace") for value in sealed]


def used(key_id: str) -> dict[str, int]:
    """Where a field key is still named, with how many values."""
    return {place: found[key_id] for place, found in plan().items() if found.get(key_id)}


def retire(*, key_id: str, by: Any) -> None:
    """Record that a key may leave the configuration. Refuses the key in use and one that anything still names: without
    it those values would be lost."""
    if key_id == settings.FIELD_KEY_ID:
        raise Conflict("key_in_use", _("This key is the one in use: name another in FIELD_KEY_ID first."))
    if left := used(key_id):
        raise Conflict("key_named", _("Something still needs this key: rotate first."), extra={"left": left})
    with transaction.atomic():
        audit.record(action="keys.retired", subject="house", by=by, data={"key": key_id})


def rotate(*, by: Any, batch: int = BATCH, progress: Progress | None = None) -> Outcome:
    """Bring everything under the key in use. Safe beside running intake and beside another rotation; each batch is a
    transaction of its own. Rows that don't open are counted and left as they are."""
    outcome = Outcome()
    broken: dict[str, set[Any]] = {}
    quiet_since = time.monotonic()
    while True:
        outcome.passes += 1
        moved = 0
        for place in (None, *SEALED.values()):
            moved += _pass(place, batch, broken, progress)
        outcome.moved += moved
        outcome.unreadable = {place: len(rows) for place, rows in broken.items() if rows}
        outcome.held = max(0, _left() - sum(outcome.unreadable.values()))
        if not outcome.held:
            break
        if moved:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > PATIENCE:
            break
        else:
            time.sleep(0.1)  # somebody holds the last rows; their transaction ends before our patience does
    if outcome.moved:
        with transaction.atomic():
            audit.record(
                action="keys.rotated",
                subject="house",
                by=by,
                data={"to": settings.FIELD_KEY_ID, "values": outcome.moved, "unreadable": outcome.unreadable},
            )
    return outcome


def _left() -> int:
    """Values that this program would still have to move."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM core_datakey WHERE wrapped IS NOT NULL AND key_id <> %s", [settings.FIELD_KEY_ID]
        )
        left = cursor.fetchone()[0]
        for column in SEALED.values():
            cursor.execute(_sql("SELECT count(*) FROM {table} WHERE ", column) + _old(column), _old_values(column))
            left += cursor.fetchone()[0]
    return left


def _pass(column: SealedColumn | None, batch: int, broken: dict[str, set[Any]], progress: Progress | None) -> int:
    """Go once through a place, by primary key; returns how many rows were moved."""
    name = column.name if column else DATA_KEYS
    moved, last = 0, None
    while True:
        with transaction.atomic():
            rows = _taken(column, last, batch)
            if not rows:
                return moved
            last = rows[-1]["pk"]
            anew, bad = _sealed_anew(column, rows)
            broken.setdefault(name, set()).update(bad)
            done = _write(column, anew) if anew else 0
        moved += done
        if progress:
            progress(name, done)


def _taken(column: SealedColumn | None, last: Any, batch: int) -> list[dict[str, Any]]:
    """The next rows that name an old key and that nobody holds, locked."""
    model: Any = column.model if column else DataKey
    value = column.column if column else "wrapped"
    needs = ("pk", *(column.needs if column else ()))
    condition: sql.Composable = sql.SQL("wrapped IS NOT NULL AND key_id <> %s")
    values: list[Any] = [settings.FIELD_KEY_ID]
    if column:
        condition, values = _old(column), _old_values(column)
    key = sql.Identifier(model._meta.pk.column)
    if last is not None:
        condition, values = condition + sql.SQL(" AND ") + key + sql.SQL(" > %s"), [*values, last]
    names = [key if name == "pk" else sql.Identifier(model._meta.get_field(name).column) for name in needs]
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT {}, {} FROM {} WHERE {} ORDER BY {} LIMIT {} FOR UPDATE SKIP LOCKED").format(
                sql.SQL(", ").join(names),
                sql.Identifier(value),
                sql.Identifier(model._meta.db_table),
                condition,
                key,
                batch,
            ),
            values,
        )
        return [{**dict(zip(needs, row[:-1], strict=True)), "sealed": bytes(row[-1])} for row in cursor.fetchall()]


def _sealed_anew(
    column: SealedColumn | None, rows: list[dict[str, Any]]
) -> tuple[list[tuple[Any, bytes, bytes]], list[Any]]:
    """(pk, old bytes, new bytes) of the rows that open, and the keys of those that don't."""
    anew: list[tuple[Any, bytes, bytes]] = []
    bad: list[Any] = []
    keys: dict[str, bytes] = {}
    if column is not None and column.subject_of is not None:
        keys = vault.data_keys(column.subject_of(row) for row in rows)
    for row in rows:
        try:
            anew.append((row["pk"], row["sealed"], _one(column, row, keys)))
        except (crypto.Unreadable, KeyError) as exc:
            log.error("unreadable", place=column.name if column else DATA_KEYS, row=str(row["pk"]), why=str(exc))
            bad.append(row["pk"])
    return anew, bad


def _one(column: SealedColumn | None, row: dict[str, Any], keys: dict[str, bytes]) -> bytes:
    if column is None:
        return vault.rewrapped(row["pk"], row["sealed"])
    context = column.context_of(row)
    opened = crypto.unseal(row["sealed"], context)
    if column.subject_of is None:
        return crypto.seal(opened, context)
    subject = column.subject_of(row)
    return vault.seal_under(keys[subject], opened, subject=subject, context=context)


def _write(column: SealedColumn | None, anew: list[tuple[Any, bytes, bytes]]) -> int:
    model: Any = column.model if column else DataKey
    value = sql.Identifier(column.column if column else "wrapped")
    also = sql.SQL("") if column else sql.SQL(", key_id = {}").format(settings.FIELD_KEY_ID)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "UPDATE {table} AS t SET {value} = n.new{also}"
                " FROM unnest(%s::{kind}[], %s::bytea[], %s::bytea[]) AS n(pk, old, new)"
                " WHERE t.{key} = n.pk AND t.{value} = n.old"
            ).format(
                table=sql.Identifier(model._meta.db_table),
                value=value,
                also=also,
                kind=sql.SQL(model._meta.pk.rel_db_type(connection)),
                key=sql.Identifier(model._meta.pk.column),
            ),
            [list(part) for part in zip(*anew, strict=True)],
        )
        return cursor.rowcount


def _old(column: SealedColumn) -> sql.Composable:
    """Values that `core.crypto.seal` made: those under another key, or all of them where they belong in the vault."""
    if column.fixed:
        return sql.SQL("false")
    name = sql.Identifier(column.column)
    old = sql.SQL("substr({}, 1, 3) = %s").format(name)
    return old if column.subject_of else old + sql.SQL(" AND substr({}, 1, %s) <> %s").format(name)


def _old_values(column: SealedColumn) -> list[Any]:
    if column.fixed:
        return []
    in_use = V1 + settings.FIELD_KEY_ID.encode() + b"."
    return [V1] if column.subject_of else [V1, len(in_use), in_use]


def _sql(text: str, column: SealedColumn) -> sql.Composed:
    return sql.SQL(text).format(  # type: ignore[arg-type]
        col=sql.Identifier(column.column), table=sql.Identifier(column.model._meta.db_table)
    )
