"""The feature library as workers hold it (DS-10b): all that is in force at one version, ready to be matched, and how a
process takes a new version without stopping for it.

What was approved is in `moderation.features`, whose commands this module offers too. A process asks once a second
whether the version moved. It then reads what changed and adds it to what it has, in a thread of its own; the old version
goes on matching meanwhile, and what is large in it is shared by the new one. A version that can't be built changes
nothing: the old one stays, and an alarm calls people.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
import structlog
from django.db import DatabaseError, connection, transaction

from core import alarms
from core.models import Alarm
from core.sql import load as sql
from moderation.audio_index import AudioIndex
from moderation.entries import Entry
from moderation.exact import Exact
from moderation.features import (  # noqa: F401  (the commands' other address)
    STARTER,
    STARTER_SOURCE,
    approve,
    approve_all,
    bump,
    digest_of,
    edit,
    let_go,
    propose,
    propose_starter,
    refuse,
    retire,
    revise,
    withdraw,
)
from moderation.image_index import ImageIndex
from moderation.links import Links
from moderation.models import Feature, Library
from moderation.near_text import Texts
from moderation.patterns import Patterns
from moderation.term_layers import MOST_ABOVE, TermLayers
from moderation.video_index import VideoIndex

log = structlog.get_logger("library")
LOOK_AGAIN = 1.0  # seconds
AT_ONCE = 0.02  # seconds that a process waits for a new version: a small change is there by then
TRY_AGAIN = 30.0  # seconds after a version that could not be built
ROWS = 2_000  # fetched at a time
_ATTRIBUTE = {
    "term": "matcher",
    "pattern": "patterns",
    "link": "links",
    "sha256": "exact",
    "image": "images",
    "video": "videos",
    "audio": "audios",
    "text": "texts",
}
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Loaded:
    """One version of the library, ready to match. Never changes."""

    version: int
    matcher: TermLayers = field(default_factory=TermLayers)
    patterns: Patterns = field(default_factory=lambda: Patterns(()))
    links: Links = field(default_factory=lambda: Links(()))
    exact: Exact = field(default_factory=Exact)
    images: ImageIndex = field(default_factory=ImageIndex)
    videos: VideoIndex = field(default_factory=VideoIndex)
    audios: AudioIndex = field(default_factory=AudioIndex)
    texts: Texts = field(default_factory=Texts)
    # Of the kinds whose index is built anew for every change: there are few entries of them.
    listed: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)


_loaded: Loaded | None = None
_look_at = 0.0
_thread: threading.Thread | None = None
_lock = threading.Lock()


def current() -> Loaded:
    """The library that is in force, as of a second ago. Only the first call in a process waits until it is read."""
    global _loaded, _look_at
    loaded = _loaded
    if loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = load()
                _look_at = time.monotonic() + LOOK_AGAIN
            return _loaded
    if time.monotonic() >= _look_at:
        _look_at = time.monotonic() + LOOK_AGAIN
        if (Library.objects.values_list("version", flat=True).filter(pk=1).first() or 0) != loaded.version:
            _renew(loaded)
    return _loaded or loaded


def preload() -> None:
    """Read the library before a worker forks, so that its children share it and no item waits for it. Where the database
    is away, the children read it themselves."""
    try:
        with _uncollected():
            current()
    except DatabaseError as away:
        log.warning("library_not_preloaded", error=type(away).__name__)
    finally:
        connection.close()  # the children must not share it


def _renew(loaded: Loaded) -> None:
    global _loaded, _thread
    if connection.in_atomic_block:
        # What this transaction changed is seen by no other connection.
        _loaded = load(loaded)
        return
    with _lock:
        if _thread is not None and _thread.is_alive():
            return
        _thread = thread = threading.Thread(target=_take, args=(loaded,), name="library", daemon=True)
        thread.start()
    thread.join(AT_ONCE)


def _take(loaded: Loaded) -> None:
    """Read the version in force and put it in place of the one that is held."""
    global _loaded, _look_at
    try:
        fresh = load(loaded)
        if _loaded is loaded:  # not forgotten meanwhile
            _loaded = fresh
        log.info("library_taken", version=fresh.version)
    except Exception as exc:
        _look_at = time.monotonic() + TRY_AGAIN
        log.error("library_not_built", held=loaded.version, error=type(exc).__name__, exc_info=exc)
        _call_people(loaded.version)
    finally:
        connection.close()


def _call_people(held: int) -> None:
    # Every process of every worker stumbles over the same version: one alarm is enough.
    subject = f"library:{held}"
    try:
        with transaction.atomic():
            if not Alarm.objects.filter(kind="library_stuck", subject=subject, seen_at=None).exists():
                alarms.ring(kind="library_stuck", subject=subject, by="system:worker", detail=f"held: {held}")
    except Exception as exc:
        log.error("alarm_failed", kind="library_stuck", error=type(exc).__name__)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Build something large without the garbage collector. It would look through all of the new objects, many times, and
    stops every thread for as long as it looks. What was built has no cycles; it is set apart (`gc.freeze`), and goes when
    nobody refers to it any more."""
    if not gc.isenabled():
        yield
        return
    gc.collect(1)  # the young ones, so that next to no garbage is set apart with the rest
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _forget_thread() -> None:
    global _thread, _lock
    _thread, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_thread)


# Reading


def load(have: Loaded | None = None) -> Loaded:
    """The version in force, read from the database: whole, or what changed since the one that is given."""
    with transaction.atomic():
        if not _inside_another():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        row = Library.objects.filter(pk=1).values_list("version", "clock_at", "whole_since").first()
        version, clock_at, whole_since = row or (0, None, 0)
        if have is None or not whole_since <= have.version <= version:
            return _whole(version, clock_at)
        return _changed(have, version, clock_at)


def _inside_another() -> bool:
    return len(connection.savepoint_ids) > 0


def _whole(version: int, clock_at: datetime | None) -> Loaded:
    with _uncollected():
        return build(version, (entry for entry, _in_force in _rows("library_whole", {"at": clock_at})))


def _changed(have: Loaded, version: int, clock_at: datetime | None) -> Loaded:
    params = {"at": clock_at, "since": have.version}
    with nullcontext() if _few(have.version) else _uncollected():
        fresh: list[Entry] = []
        gone: list[Entry] = []
        for entry, in_force in _rows("library_changed", params):
            (fresh if in_force else gone).append(entry)
        return replace(_with(have, fresh, gone), version=version)


def _few(since: int) -> bool:
    changed = Feature.objects.filter(changed_in__gt=since).order_by("pk")
    return not changed[MOST_ABOVE : MOST_ABOVE + 1].exists()


def _rows(name: str, params: dict[str, Any]) -> Iterator[tuple[Entry, bool]]:
    options: dict[str, Mapping[str, Any]] = {"{}": _NOTHING}  # most entries share theirs with many others
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql(f"moderation/{name}"), params)
        while rows := cursor.fetchmany(ROWS):
            for pk, version, value, category, severity, kind, given, data, allow, rollout, in_force in rows:
                if given not in options:
                    options[given] = msgspec.json.decode(given)
                worked_out = _NOTHING if data == "{}" else msgspec.json.decode(data)
                yield (
                    Entry(pk, version, value, category, severity, kind, options[given], worked_out, allow, rollout),
                    in_force,
                )


# Building


def build(version: int, entries: Iterable[Entry]) -> Loaded:
    """A library of these entries. Raises ValueError where one of them can't be matched."""
    by_kind: dict[str, list[Entry]] = {}
    for entry in entries:
        by_kind.setdefault(entry.kind, []).append(entry)
    return _with(Loaded(version), [entry for of_kind in by_kind.values() for entry in of_kind], ())


def with_entry(loaded: Loaded, entry: Entry, *, instead_of: Sequence[int] = ()) -> Loaded:
    """The same library with one entry more, e.g. for a back-test; `instead_of` are ids of entries that it replaces."""
    return without_entries(_with(loaded, [entry], ()), [pk for pk in instead_of if pk != entry.id])


def without_entries(loaded: Loaded, ids: Sequence[int]) -> Loaded:
    """The same library without the entries of these ids."""
    changes: dict[str, Any] = {}
    listed = dict(loaded.listed)
    for kind, attribute in _ATTRIBUTE.items():
        changes[attribute], listed[kind] = _of_kind(loaded, kind, (), ids)
    return replace(loaded, **changes, listed={kind: entries for kind, entries in listed.items() if entries})


def _with(loaded: Loaded, fresh: Sequence[Entry], gone: Sequence[Entry]) -> Loaded:
    changes: dict[str, Any] = {}
    listed = dict(loaded.listed)
    for kind in {entry.kind for entry in (*fresh, *gone)} & _ATTRIBUTE.keys():
        come = [entry for entry in fresh if entry.kind == kind]
        leave = [entry.id for entry in gone if entry.kind == kind]
        changes[_ATTRIBUTE[kind]], listed[kind] = _of_kind(loaded, kind, come, leave)
    return replace(loaded, **changes, listed={kind: entries for kind, entries in listed.items() if entries})


def _of_kind(loaded: Loaded, kind: str, come: Sequence[Entry], leave: Sequence[int]) -> tuple[Any, tuple[Entry, ...]]:
    """The index of a kind with and without some entries, and its entries where the index is built anew."""
    index = getattr(loaded, _ATTRIBUTE[kind])
    if hasattr(index, "added"):
        index = index.without(leave) if leave else index
        return (index.added(come) if come else index), ()
    kept = {entry.id: entry for entry in loaded.listed.get(kind, ()) if entry.id not in set(leave)}
    kept |= {entry.id: entry for entry in come}
    entries = tuple(kept.values())
    return (type(index)(entries) if entries != loaded.listed.get(kind, ()) else index), entries
