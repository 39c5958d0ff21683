"""An outside verification service over HTTP, asked whether a name and a number belong together, or whether a token of
the national network identity service is good (docs/identity-verifier.md)."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import httpx
from django.db import connection

from accounts.verifiers import wire
from accounts.verifiers.interface import UNAVAILABLE, Evidence, Outcome
from core.breaker import Breaker
from core.deadline import Deadline
from core.options import option

MOST = 16 * 1024  # bytes of an answer; an honest one has some 300
LONGEST = 25.0  # seconds, whatever the operator set: a job's lease must outlive its request


class Received(NamedTuple):
    """An answer as it came, and when by the database's clock."""

    body: bytes
    signature: str
    at: datetime


class Failed(Exception):
    """No answer; the message is a code without anything personal."""


@dataclass(frozen=True)
class ServiceVerifier:
    """One service at one address, with the key it shares with us."""

    url: str
    key: str

    def verify(self, evidence: Evidence) -> Outcome:
        """One question, one attempt. Every attempt has a nonce of its own; the request id stays the identity's, so that
        a service can answer (and charge) once."""
        seconds = min(option("verifier_timeout"), LONGEST)
        breaker = Breaker(hashlib.sha256(self.url.encode()).hexdigest()[:12])
        if not breaker.lets_through(probe_for=seconds + 5):
            return Outcome(UNAVAILABLE, "circuit_open", again=True)
        request_id, nonce = str(evidence.identity_id), secrets.token_hex(16)
        try:
            received = self._ask(evidence, request_id, nonce, seconds)
        except Failed as failed:
            breaker.failed()
            return Outcome(UNAVAILABLE, str(failed), again=True)
        breaker.succeeded()
        if not received.signature:
            # Most often the page of a proxy on the way; it may be gone at the next try.
            return Outcome(UNAVAILABLE, "unsigned_answer", again=True)
        return wire.read_answer(
            received.body,
            received.signature,
            key=self.key,
            request_id=request_id,
            nonce=nonce,
            now=received.at,
            personal=(evidence.number, evidence.name, evidence.token),
        )

    def _ask(self, evidence: Evidence, request_id: str, nonce: str, seconds: float) -> Received:
        asked_at, started = _database_now(), time.monotonic()
        question = {"request_id": request_id, "nonce": nonce, "method": evidence.method, "at": asked_at.isoformat()}
        if evidence.method == "network_identity":
            question["token"] = evidence.token
        else:
            question |= {"name": evidence.name, "number": evidence.number}
        body = wire.encode(question)
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "Mingjian-Identity/1",
            wire.SIGNATURE: wire.signature(self.key, wire.REQUEST, body),
        }
        with Deadline(seconds) as deadline:
            try:
                # No redirects: nobody may send these numbers elsewhere. The environment's proxies aren't ours either.
                with httpx.Client(follow_redirects=False, timeout=seconds, trust_env=False) as client:
                    with client.stream(
                        "POST", self.url, content=body, headers=headers, extensions={"trace": deadline.trace}
                    ) as answer:
                        if answer.status_code != 200:
                            raise Failed(f"answered_{answer.status_code}")
                        raw = _bounded(answer)
                        given = answer.headers.get(wire.SIGNATURE, "")
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as away:
                late = deadline.over or isinstance(away, httpx.TimeoutException)
                raise Failed("no_answer_in_time" if late else "not_reachable") from None
        return Received(raw, given, asked_at + timedelta(seconds=time.monotonic() - started))


def _bounded(answer: httpx.Response) -> bytes:
    raw = bytearray()
    for chunk in answer.iter_raw():
        raw += chunk
        if len(raw) > MOST:
            raise Failed("answer_too_large")
    return bytes(raw)


def _database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]
