"""The circuit breaker: an outside service that fails again and again is left alone for a while.

Shared by all processes through the cache. Everything has an end of its own there, so the circuit closes by itself
whatever dies; without a cache it simply stays closed, and the time-outs alone protect us.
"""

from __future__ import annotations

from django.core.cache import cache
from redis.exceptions import RedisError

FAILURES = 5  # in a row
MEMORY = 600.0  # seconds after which failures are forgotten
SHORTEST, LONGEST = 10.0, 120.0  # seconds of rest; doubled by every probe that fails


class Breaker:
    """The circuit to one service."""

    def __init__(self, name: str):
        self._failed, self._open, self._probe = (f"breaker:{name}:{part}" for part in ("failed", "open", "probe"))

    def lets_through(self, probe_for: float) -> bool:
        """Whether to ask now: always while closed; while open never; after its rest one caller at a time, as a probe
        that may take `probe_for` seconds."""
        try:
            if cache.get(self._open):
                return False
            if int(cache.get(self._failed) or 0) < FAILURES:
                return True
            return bool(cache.add(self._probe, 1, timeout=probe_for))
        except (RedisError, OSError):
            return True

    def succeeded(self) -> None:
        """It answered: closed, and forgotten what was."""
        try:
            cache.delete_many([self._failed, self._open, self._probe])
        except (RedisError, OSError):
            return

    def failed(self) -> None:
        """It didn't answer; the fifth time in a row opens the circuit, each failed probe for twice as long."""
        try:
            cache.add(self._failed, 0, timeout=MEMORY)
            count = int(cache.incr(self._failed))
            if count >= FAILURES:
                rest = min(LONGEST, SHORTEST * 2 ** min(count - FAILURES, 10))
                cache.set(self._open, 1, timeout=rest)
                cache.delete(self._probe)
        except (RedisError, OSError, ValueError):  # ValueError: the count ran out between the two calls
            return
