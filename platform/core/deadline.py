"""A hard end for one HTTP exchange. Time-outs of a client count from byte to byte, so a server that sends one byte every
few seconds could hold a worker for ever."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from types import TracebackType
from typing import Any

_OPENED = ("connection.connect_tcp.complete", "connection.start_tls.complete")


class Deadline:
    """`with Deadline(5) as deadline:` and `extensions={"trace": deadline.trace}` on the request: when the time is up,
    its connection is shut down under it, and whoever reads from it gets an error at once. `over` says that it was."""

    def __init__(self, seconds: float):
        self.over = False
        self._lock = threading.Lock()
        self._twin: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            if self._twin:
                self._twin.close()
                self._twin = None

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Told by the HTTP client of everything it does; the connection is what matters."""
        if event not in _OPENED:
            return
        opened = info["return_value"].get_extra_info("socket")
        with self._lock:
            if self._twin is None:
                # A descriptor of our own: the client's may be closed, and its number reused, at any moment.
                self._twin = socket.socket(fileno=os.dup(opened.fileno()))
        if self.over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.over = True
            if self._twin:
                with contextlib.suppress(OSError):  # the other side was faster
                    self._twin.shutdown(socket.SHUT_RDWR)
