"""A store of its own for every test, and decisions by the thousand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from core.ids import uuid7
from reporting import bundles
from reporting.models import Bundle
from reporting.periods import start_of
from tests.world import work

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
INSERT = (
    "INSERT INTO moderation_decision (id, submission_id, outcome, by_kind, policy_version, rule, category_id, clause,"
    " reason, decided_at) VALUES (%s, %s, 'release', 'policy', 1, 'clean', NULL, '', %s,"
    " coalesce(%s::timestamptz, statement_timestamp()))"
)


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Path) -> None:
    """Evidence and working files lie in the test's folder."""
    settings.DATA_DIR = tmp_path / "data"
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path / "ev")}}
    settings.STORAGES = {**settings.STORAGES, "evidence": storage}


@pytest.fixture
def decide(open_world: Any) -> Callable[..., str]:
    """`decide(cursor=…, at=…, reason=…)` inserts a decision and answers its id."""
    item = open_world.submit()

    def insert(*, cursor: Any = None, at: datetime | None = None, reason: str = "") -> str:
        pk = uuid7()
        if cursor is not None:
            cursor.execute(INSERT, [pk, item.pk, reason, at])
        else:
            with connection.cursor() as own:
                own.execute(INSERT, [pk, item.pk, reason, at])
        return str(pk)

    insert.item = item  # type: ignore[attr-defined]
    return insert


@pytest.fixture
def other() -> Iterator[Any]:
    """A second connection to the test's database, for transactions that stay open."""
    side = connection.copy()
    yield side
    side.close()


def made(bundle: Bundle) -> Bundle:
    """Let a worker do what is due; the bundle as it is then."""
    work()
    return Bundle.objects.get(pk=bundle.pk)


def whole(chen: Any, *, name: str = "decisions", guard: bool = True) -> Bundle:
    """A ready bundle of everything until tomorrow."""
    end = start_of(datetime(2100, 1, 1, tzinfo=UTC).date())
    return made(bundles.request_bundle(name=name, start=BEGINNING, end=end, guard_csv=guard, by=chen))
