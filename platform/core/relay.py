"""The relay: passes the outbox on and wakes workers for due jobs.

It polls, since a notification is only a hint and takes a global lock at every commit (security.md P3); the pause grows
while there is nothing to do. It never sends more wake-ups than are useful: if some already wait at the broker, or the
broker was emptied, the next look decides anew from the rows.
"""

from __future__ import annotations

import time

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from redis import Redis
from redis.exceptions import RedisError

from core import jobs, outbox, tasks

log = structlog.get_logger("relay")
SHORTEST, LONGEST = 0.004, 0.1
CANARY_EVERY = 5.0
WAITING_AT_MOST = 2  # wake-ups at the broker per queue; a woken worker goes on until nothing is due


class Relay:
    """One round of looking and waking; `run()` repeats it until told to stop."""

    def __init__(self, broker_url: str):
        self.broker = Redis.from_url(broker_url, socket_timeout=1.0, socket_connect_timeout=1.0)
        self.canary_due = 0.0
        self.stopping = False

    def round(self) -> bool:
        """Relay events, wake for due jobs, send canaries; True if there was anything to do."""
        moved = outbox.relay()
        due = jobs.due_by_queue()
        canary = time.monotonic() >= self.canary_due
        woken = False
        for queue, count in due.items():
            if count or canary:
                woken |= self.wake(queue, 1 if count <= 32 else WAITING_AT_MOST, canary=canary)
        if canary:
            self.canary_due = time.monotonic() + CANARY_EVERY
        return bool(moved) or any(due.values())

    def wake(self, queue: str, wanted: int, *, canary: bool) -> bool:
        """Send wake-ups unless enough already wait. A broker that is away costs nothing but time: the rows stay due."""
        try:
            waiting = int(self.broker.llen(queue))  # type: ignore[arg-type]
            for _ in range(max(0, wanted - waiting)):
                tasks.work.apply_async(args=[queue], queue=queue, retry=False)
            if canary and waiting < WAITING_AT_MOST:
                tasks.canary.apply_async(args=[queue], queue=queue, retry=False)
        except (RedisError, OSError, tasks.BrokerError) as exc:
            log.warning("broker_away", queue=queue, error=type(exc).__name__)
            time.sleep(0.2)  # not a cure, a pause: the next round looks again
            return False
        return waiting < wanted

    def run(self) -> None:
        """Until `stopping`; a database that is away is waited for."""
        pause = SHORTEST
        while not self.stopping:
            try:
                busy = self.round()
            except (OperationalError, InterfaceError) as exc:
                log.warning("database_away", error=type(exc).__name__)
                connection.close()
                busy, pause = False, LONGEST * 5
            pause = SHORTEST if busy else min(LONGEST, pause * 1.5)
            time.sleep(pause)
        close_old_connections()
