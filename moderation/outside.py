"""Services of others that look for us: a classifier, a speech recogniser. Asked over HTTP with a hard end, an answer of
bounded size, no redirects, a circuit breaker and a budget per day (DS-10a: technical means; docs/checks.md).

What does not answer never releases anything: the check that asked fails, and a person looks.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from django.core.cache import cache
from redis.exceptions import RedisError

from core.breaker import Breaker
from core.deadline import Deadline

TRIES = 2


class Away(Exception):
    """No usable answer; the message is a code without anything of the content."""


@dataclass(frozen=True)
class Service:
    """One service at one address. `per_day` bounds how many questions it is asked in a Shanghai day (0: no bound)."""

    name: str
    url: str
    key: str = ""
    seconds: float = 3.0
    most: int = 4 * 1024 * 1024  # bytes of an answer
    per_day: int = 0

    def ask(self, body: bytes, *, content_type: str = "application/json", questions: int = 1) -> dict[str, Any]:
        """Its answer to one request that holds `questions` questions, as a JSON object. Raises Away: after two tries
        without a usable answer, while the circuit is open, and when the day's budget is spent."""
        until = time.monotonic() + self.seconds
        breaker = Breaker(f"{self.name}:{hashlib.sha256(self.url.encode()).hexdigest()[:12]}")
        if not breaker.lets_through(probe_for=self.seconds + 5):
            raise Away("circuit_open")
        self._spend(questions)
        said = "no_answer_in_time"
        for _try in range(TRIES):
            left = until - time.monotonic()
            if left <= 0.05:
                break
            try:
                answer = self._once(body, content_type, left)
            except Away as away:
                said = str(away)
                if said.startswith("answered_4"):
                    break  # our fault: the same question gets the same answer
                continue
            breaker.succeeded()
            return answer
        breaker.failed()
        raise Away(said)

    def _once(self, body: bytes, content_type: str, seconds: float) -> dict[str, Any]:
        headers = {"content-type": content_type, "accept-encoding": "identity", "user-agent": "Mingjian-Checks/1"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        with Deadline(seconds) as deadline:
            try:
                # No redirects: nobody may send users' content elsewhere. The environment's proxies aren't ours either.
                with httpx.Client(follow_redirects=False, timeout=seconds, trust_env=False) as client:
                    extensions = {"trace": deadline.trace}
                    with client.stream("POST", self.url, content=body, headers=headers, extensions=extensions) as got:
                        if got.status_code != 200:
                            raise Away(f"answered_{got.status_code}")
                        raw = bytearray()
                        for chunk in got.iter_raw():
                            raw += chunk
                            if len(raw) > self.most:
                                raise Away("answer_too_large")
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as away:
                late = deadline.over or isinstance(away, httpx.TimeoutException)
                raise Away("no_answer_in_time" if late else "not_reachable") from None
        try:
            answer = msgspec.json.decode(bytes(raw))
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Away("not_json") from None
        if not isinstance(answer, dict):
            raise Away("not_an_object")
        return answer

    def _spend(self, questions: int) -> None:
        if not self.per_day:
            return
        # The day's count lies in the cache; when that is away or emptied, the budget begins anew: it guards a bill, and
        # the content is looked at all the same.
        day = int((time.time() + 8 * 3600) // 86400)
        key = f"outside:{self.name}:{day}"
        try:
            cache.add(key, 0, timeout=2 * 86400)
            if int(cache.incr(key, questions)) > self.per_day:
                raise Away("budget_spent")
        except (RedisError, OSError, ValueError):
            return
