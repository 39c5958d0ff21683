"""The daemon that holds the digest key: `{"purpose", "value"}` in, `{"digest"}` out, one JSON object a line.

It keeps nothing but counts. A peer is the operating system's user at the other end of the socket: whoever takes over a
process can start as many more as they like, but they all are the same user.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from core import pepper

log = structlog.get_logger("pepper")
TOLD_EVERY = 60.0


@dataclass
class Bucket:
    """What one peer may still ask now."""

    left: float
    at: float


class Daemon:
    """Answers digests to the users in `peers` (by default only the user it runs as), each at most `rate` a second with
    `burst` at once."""

    def __init__(self, root: bytes, *, rate: float, burst: float, peers: frozenset[int] | None = None):
        self.root = root
        self.rate = rate
        self.burst = burst
        self.peers = peers or frozenset({os.geteuid()})
        self.counts: Counter[str] = Counter()
        self._buckets: dict[int, Bucket] = {}

    def may(self, peer: int, now: float) -> bool:
        """Whether this peer may have one more answer; takes it."""
        bucket = self._buckets.setdefault(peer, Bucket(self.burst, now))
        bucket.left = min(self.burst, bucket.left + (now - bucket.at) * self.rate)
        bucket.at = now
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True

    def answer(self, question: bytes, peer: int) -> dict[str, Any]:
        """The answer to one line. What was asked about appears nowhere but in the digest."""
        try:
            asked = json.loads(question)
            purpose, value = asked["purpose"], asked["value"]
            if not (isinstance(purpose, str) and isinstance(value, str) and 0 < len(purpose) <= 80):
                raise ValueError
            value.encode("utf-8")
        except (ValueError, KeyError, TypeError):
            self.counts["malformed"] += 1
            return {"error": "malformed"}
        if not self.may(peer, time.monotonic()):
            self.counts["limited"] += 1
            return {"error": "limited"}
        self.counts[purpose] += 1
        return {"digest": base64.b64encode(pepper.keyed(self.root, value, purpose)).decode()}

    async def serve(self, path: str, stopping: asyncio.Event) -> None:
        """Listen until told to stop. The socket can be reached by the owner's user and group only."""
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
        before = os.umask(0o117)
        try:
            server = await asyncio.start_unix_server(self._peer, path, limit=pepper.LONGEST)
        finally:
            os.umask(before)
        log.info("pepper_ready")
        async with server:
            while not stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), TOLD_EVERY)
                self.tell()
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()

    def tell(self) -> None:
        """Log what was asked since the last time, by purpose."""
        if self.counts:
            log.info("pepper_asked", **{name: count for name, count in self.counts.items() if name != "event"})
            if self.counts["limited"]:
                log.error("pepper_limited", refused=self.counts["limited"])
            self.counts.clear()

    async def _peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            peer = _user_of(writer.get_extra_info("socket"))
            if peer not in self.peers:
                self.counts["strangers"] += 1
                log.error("pepper_stranger", user=peer)
                return
            while question := await reader.readline():
                writer.write(json.dumps(self.answer(question, peer)).encode() + b"\n")
                await writer.drain()


def _user_of(peer: Any) -> int:
    _pid, user, _group = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user
