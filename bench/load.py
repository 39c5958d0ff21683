"""A small HTTP load generator: keep-alive connections on one event loop, raw requests in, status and latency out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Result:
    """What a run saw. Latencies in seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One HTTP/1.1 POST as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Connection(asyncio.Protocol):
    def __init__(self, make: Callable[[], bytes | None], result: Result, done: asyncio.Future[None], pace: float):
        self.make, self.result, self.done, self.pace = make, result, done, pace
        self.buffer = b""
        self.due = time.perf_counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        if self.pace and (left := self.due - time.perf_counter()) > 0:
            asyncio.get_running_loop().call_later(left, self.send)
            return
        raw = self.make()
        if raw is None:
            if not self.done.done():
                self.done.set_result(None)
            self.transport.close()
            return
        self.started = self.due if self.pace else time.perf_counter()
        self.due += self.pace
        self.transport.write(raw)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        status = int(self.buffer[9:12])
        self.buffer = b""
        self.result.latencies.append(time.perf_counter() - self.started)
        self.result.statuses[status] = self.result.statuses.get(status, 0) + 1
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


def run(port: int, make: Callable[[int], bytes], *, connections: int, seconds: float, rate: float = 0.0) -> Result:
    """Drive the server for so many seconds; `make(n)` answers the n-th request. With `rate` the load is paced (open
    loop: a late answer counts from when it was due)."""
    result = Result()
    number = 0

    async def main() -> None:
        nonlocal number
        loop = asyncio.get_running_loop()
        until = time.perf_counter() + seconds

        def following() -> bytes | None:
            nonlocal number
            if time.perf_counter() >= until:
                return None
            number += 1
            return make(number)

        waits = []
        for _ in range(connections):
            done: asyncio.Future[None] = loop.create_future()
            waits.append(done)
            await loop.create_connection(
                lambda d=done: _Connection(following, result, d, connections / rate if rate else 0.0),
                "127.0.0.1",
                port,
            )
        await asyncio.gather(*waits)

    started = time.perf_counter()
    asyncio.run(main())
    result.seconds = time.perf_counter() - started
    return result
