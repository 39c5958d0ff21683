"""What these tests share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> None:
    """The hashed names of collected files are not what is tested here."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture
def at_once(transactional_db: None) -> Callable[..., list[Any]]:
    """`at_once(call, call, …)` starts all of them at the same moment, each on its own connection; answers what each
    returned or raised, in order."""

    def run(*calls: Callable[[], Any]) -> list[Any]:
        start = threading.Barrier(len(calls))
        results: list[Any] = [None] * len(calls)

        def one(place: int, call: Callable[[], Any]) -> None:
            try:
                start.wait(10)
                results[place] = call()
            except Exception as exc:
                results[place] = exc
            finally:
                connection.close()

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        return results

    return run
