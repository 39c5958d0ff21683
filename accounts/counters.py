"""Valkey as the place where all processes count together, and how to live without it.

Its answer is never needed to serve: whoever asks must know what to do when it is away. A cache that is away costs
PATIENCE once per process and PAUSE, not once per request: until PAUSE is over nobody asks, and then only one thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import structlog
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = structlog.get_logger("counters")
PATIENCE = 0.1  # seconds; an answer takes 0.1 ms
PAUSE = 3.0
Answer = TypeVar("Answer")


class Away(Exception):
    """The cache can't be asked now."""


class _State:
    """Until when the cache counts as away; zero while it answers."""

    away_until = 0.0
    lock = threading.Lock()


@cache
def _client() -> Any:
    return Redis.from_url(
        str(settings.CACHES["default"]["LOCATION"]),
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )


def script(source: str) -> Any:
    """A script that is sent by its digest and in full only where the server doesn't know it; called inside `ask`."""
    return _client().register_script(source)


def ask(question: Callable[[Any], Answer]) -> Answer:
    """Ask the cache by a function of its client. Raises Away: at once where it is known to be away."""
    if _State.away_until:
        with _State.lock:
            now = time.monotonic()
            if now < _State.away_until:
                raise Away
            _State.away_until = now + PAUSE  # this thread looks; the others go on without
    try:
        answer = question(_client())
    except (RedisError, OSError) as error:
        if not _State.away_until:
            log.warning("cache_away", error=type(error).__name__)
        _State.away_until = time.monotonic() + PAUSE
        raise Away from None
    _State.away_until = 0.0
    return answer


def forget() -> None:
    """Ask again at once, whatever was found before."""
    _State.away_until = 0.0
