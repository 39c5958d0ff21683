"""A service of somebody else, over a real socket, that answers as told and misbehaves as told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Outside:
    """The server's state; `mode` is one of ok, slow, dripping, error, refused, garbage, list, huge, redirect."""

    answer: Callable[[bytes], Any]
    mode: str = "ok"
    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running(answer: Callable[[bytes], Any]) -> Iterator[Outside]:
    """A server for the time of a test."""
    outside = Outside(answer)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            outside.asked.append(body)
            outside.keys.append(self.headers.get("authorization", ""))
            status, raw = 200, b""
            if outside.mode == "slow":
                outside.stopping.wait(20)
                return
            if outside.mode in ("error", "refused"):
                status = 500 if outside.mode == "error" else 422
            elif outside.mode == "redirect":
                self.send_response(302)
                self.send_header("location", outside.url + "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()
                return
            else:
                raw = {"garbage": b"<html>", "list": b"[]", "huge": b" " * 5_000_000}.get(
                    outside.mode, b""
                ) or json.dumps(outside.answer(body)).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            try:
                if outside.mode == "dripping":
                    for byte in raw:
                        self.wfile.write(bytes([byte]))
                        if outside.stopping.wait(0.3):
                            return
                else:
                    self.wfile.write(raw)
            except OSError:
                pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    outside.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield outside
    finally:
        outside.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def elapsed(since: float) -> float:
    """Seconds since `time.monotonic()` was `since`."""
    return time.monotonic() - since
