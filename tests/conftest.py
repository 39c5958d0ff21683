"""Fixtures: the world, a clean memory of every process cache, an API caller."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client

from tests import world as cast
from tests.installation import stack  # noqa: F401  (a fixture)

_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if _worker:
    # Tests that run beside each other share the servers, but not what they keep there.
    _own = 2 + 2 * int(_worker.removeprefix("gw"))
    settings.CACHES["default"]["LOCATION"] = settings.CACHES["default"]["LOCATION"].replace("db=0", f"db={_own}")
    settings.STORAGES["evidence"]["OPTIONS"]["location"] += f"-{_worker}"
    settings.CELERY_BROKER_URL = settings.CELERY_BROKER_URL.replace("virtual_host=0", f"virtual_host={_own + 1}")
    settings.BROKER_CLIENT_URL = settings.BROKER_CLIENT_URL.replace("db=0", f"db={_own + 1}")

_flush = DatabaseOperations.sql_flush


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start whole installations, browsers or servers run one after another, whatever runs beside them."""
    for item in items:
        if item.path.parent.name in ("stack", "e2e", "fault"):
            item.add_marker(pytest.mark.xdist_group("installations"))


def _flush_past_the_append_only_triggers(self: Any, style: Any, tables: Any, **options: Any) -> list[str]:
    # Emptying the database between transactional tests is what the triggers exist to forbid; only here they step aside.
    sql = _flush(self, style, tables, **options)
    return ["SET session_replication_role = replica", *sql, "SET session_replication_role = DEFAULT"] if sql else sql


DatabaseOperations.sql_flush = _flush_past_the_append_only_triggers  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """What every installation has from its start lies in the test database from its start, instead of being seeded
    anew by every test; transactional tests empty it and seed again."""
    with django_db_blocker.unblock():
        call_command("bootstrap", stdout=StringIO())


@pytest.fixture(autouse=True)
def fast_passwords(settings: Any) -> None:
    """Argon2 is slow on purpose; these passwords guard nothing."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def uncollected_files(settings: Any) -> None:
    """A fresh checkout has collected no static files yet; pages under test name them as they lie in the tree."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def forgetful(request: Any) -> Iterator[None]:
    """Processes remember keys, functions, policies and the library for a while; tests start without memory."""
    from accounts import keys
    from moderation import intake, library, policy, screening

    def forget() -> None:
        keys.forget()
        intake.forget()
        policy.version.cache_clear()
        library._loaded = None
        screening._categories.clear()

    forget()
    yield
    forget()


@pytest.fixture
def world(db: None) -> cast.World:
    """The named cast in a transaction that is rolled back."""
    return cast.build()


@pytest.fixture
def open_world(transactional_db: None) -> cast.World:
    """The named cast, committed: for tests with threads, processes or real commits."""
    return cast.build()


class Api:
    """Calls the API with a key."""

    def __init__(self, key: str):
        self.client = Client(HTTP_AUTHORIZATION=f"Bearer {key}")

    def post(self, path: str, body: Any = None, *, raw: bytes | None = None, **headers: Any) -> Any:
        data = raw if raw is not None else json.dumps(body).encode()
        content_type = headers.pop("content_type", "application/json")
        return self.client.post(f"/api/v1/{path}", data=data, content_type=content_type, **headers)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1/{path}", query)

    def delete(self, path: str) -> Any:
        return self.client.delete(f"/api/v1/{path}")


@pytest.fixture
def api(world: cast.World) -> Api:
    """A caller of the service "tuyan" with every scope."""
    return Api(world.key)


@pytest.fixture
def login(world: cast.World) -> Any:
    """`login("lin")` answers a browser-like client that is signed in as that person."""

    def as_person(name: str) -> Client:
        client = Client()
        client.force_login(world.staff[name], backend="django.contrib.auth.backends.ModelBackend")
        return client

    return as_person
