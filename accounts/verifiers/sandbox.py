"""A verification service to try things against: it speaks the protocol of docs/identity-verifier.md over a real socket,
knows nobody, and judges by the number alone. On demand it misbehaves in every way that we must survive.

`manage.py identity_sandbox` runs one; tests run theirs with `running()`. It remembers what it was asked without any
number, name or token.
"""

from __future__ import annotations

import json
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from accounts.verifiers import wire

MODES = {
    "ok": "answers as it should",
    "slow": "answers after a while",
    "drip": "sends one byte of its answer a second",
    "down": "closes the connection without a word",
    "500": "answers 500",
    "redirect": "sends the caller elsewhere",
    "endless": "never stops answering",
    "garbage": "answers 200 with a page and no signature",
    "wrong": "signs with another key",
    "lying": "says match of everything, as its answer to another question",
    "elsewhere": "says match of everything, signed for another request",
    "contradictory": "says match at first and mismatch from then on",
    "stale": "answers with a time of yesterday",
    "unknown": "answers with a result that doesn't exist",
    "twice": "answers with two results in one object",
    "leaky": "repeats the number in its reference",
    "busy": "says that it has no answer now",
}
MOST = 64 * 1024


def judged(identifier: str) -> str:
    """What it says in mode `ok`: by the last character but one, so that it is known beforehand. 4: mismatch; 9: no
    answer now; everything else: match."""
    return {"4": "mismatch", "9": "unavailable"}.get(identifier[-2:-1], "match")


@dataclass
class Asked:
    """One question, without what it was about."""

    request_id: str
    nonce: str
    method: str


@dataclass
class Sandbox:
    """The state of one server. `mode` may be changed while it runs."""

    key: str
    mode: str = "ok"
    slow_for: float = 30.0
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def charged(self) -> int:
        """How many questions a service that charges once a request id would have charged."""
        return len({question.request_id for question in self.asked})


class Handler(BaseHTTPRequestHandler):
    """Answers one POST."""

    server_version = "identity-sandbox"
    protocol_version = "HTTP/1.1"
    box: Sandbox

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: a request line holds nothing worth telling."""

    def do_POST(self) -> None:
        """Read, check the signature, and misbehave as the mode says."""
        self.close_connection = True
        with suppress(ConnectionError, TimeoutError):
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(min(length, MOST))
            question = self._accepted(body)
            if question is not None:
                self._misbehave(question)

    def _accepted(self, body: bytes) -> dict[str, Any] | None:
        status = self._fault(body)
        if status:
            self.box.refused.append(status)
            self._send(status, b'{"error": "refused"}')
            return None
        question = json.loads(body)
        self.box.asked.append(Asked(question["request_id"], question["nonce"], question["method"]))
        return question

    def _fault(self, body: bytes) -> int:
        if not wire.signed_by(self.box.key, wire.REQUEST, body, self.headers.get(wire.SIGNATURE, "")):
            return 401
        try:
            question = json.loads(body)
            at = datetime.fromisoformat(question["at"])
            # Question for question: another member, or a missing one, is a caller of another protocol.
            about = {"token"} if question["method"] == "network_identity" else {"name", "number"}
            fits = set(question) == {"request_id", "nonce", "method", "at"} | about
        except (ValueError, KeyError, TypeError):
            return 400
        if not fits or abs(datetime.now(UTC) - at) > wire.FRESH:
            return 400
        return 409 if any(question["nonce"] == earlier.nonce for earlier in self.box.asked) else 0

    def _misbehave(self, question: dict[str, Any]) -> None:
        mode = self.box.mode
        if mode == "down":
            # A reset, not an end: linger zero.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif mode == "500":
            self._send(500, b"")
        elif mode == "redirect":
            self._send(307, b"", location=self.box.url)
        elif mode == "garbage":
            self._send(200, b"<html>\xff</html>")
        elif mode == "endless":
            self._endless()
        else:
            if mode == "slow":
                self.box.stopping.wait(self.box.slow_for)
            self._answer(question, mode)

    def _answer(self, question: dict[str, Any], mode: str) -> None:
        about = question.get("number") or question.get("token", "")
        answer = {
            "request_id": question["request_id"],
            "nonce": question["nonce"],
            "result": judged(about),
            "reference": f"sandbox-{secrets.token_hex(4)}",
            "at": datetime.now(UTC).isoformat(),
        }
        if mode == "lying":
            answer |= {"result": "match", "nonce": secrets.token_hex(16)}
        elif mode == "elsewhere":
            answer |= {"result": "match", "request_id": secrets.token_hex(16)}
        elif mode == "contradictory":
            before = sum(1 for one in self.box.asked if one.request_id == question["request_id"])
            answer["result"] = "match" if before == 1 else "mismatch"
        elif mode == "stale":
            answer |= {"result": "match", "at": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
        elif mode == "unknown":
            answer["result"] = "MATCH"
        elif mode == "leaky":
            answer |= {"result": "match", "reference": f"of-{about}"}
        elif mode == "busy":
            answer["result"] = "unavailable"
        body = json.dumps(answer).encode()
        if mode == "twice":
            body = body[:-1] + b', "result": "mismatch", "result": "match"}'
        key = "k" * 32 if mode == "wrong" else self.box.key
        given = wire.signature(key, wire.ANSWER, body)
        if mode == "drip":
            self._drip(body, given)
        else:
            self._send(200, body, **{wire.SIGNATURE: given})

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, body: bytes, given: str) -> None:
        head = f"HTTP/1.1 200 OK\r\n{wire.SIGNATURE}: {given}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        for byte in head + body:
            self.wfile.write(bytes([byte]))
            if self.box.stopping.wait(1.0):
                return

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("connection", "close")
        self.end_headers()
        while not self.box.stopping.is_set():
            self.wfile.write(b" " * 4096)
            time.sleep(0)


class Server(ThreadingHTTPServer):
    """One thread a connection; none outlives the process."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is nothing to report."""


def make(sandbox: Sandbox, port: int = 0) -> Server:
    """A server on loopback; port 0 takes a free one. The sandbox learns its address."""
    handler = type("BoundHandler", (Handler,), {"box": sandbox})
    server = Server(("127.0.0.1", port), handler)
    sandbox.url = f"http://127.0.0.1:{server.server_address[1]}/"
    return server


@contextmanager
def running(key: str, mode: str = "ok") -> Iterator[Sandbox]:
    """A server in threads of this process, gone afterwards."""
    sandbox = Sandbox(key, mode)
    server = make(sandbox)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield sandbox
    finally:
        sandbox.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
