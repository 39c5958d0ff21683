"""The protocol between Mingjian and a verification service: signed JSON both ways (docs/identity-verifier.md)."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Any

import msgspec

from accounts.verifiers.interface import MATCH, MISMATCH, UNAVAILABLE, Outcome
from core import jsonbody
from core.jsonbody import Malformed

SIGNATURE = "x-signature"
REQUEST, ANSWER = b"mingjian-identity-request\n", b"mingjian-identity-answer\n"
FRESH = timedelta(minutes=5)
RESULTS = (MATCH, MISMATCH, UNAVAILABLE)
_REFERENCE = re.compile(r"[A-Za-z0-9._:-]{1,80}\Z")


def signature(key: str, purpose: bytes, body: bytes) -> str:
    """HMAC-SHA256 over purpose and body, so that a request that is sent back is never a valid answer."""
    return "sha256=" + hmac.new(key.encode(), purpose + body, hashlib.sha256).hexdigest()


def signed_by(key: str, purpose: bytes, body: bytes, given: str) -> bool:
    """Whether the signature is right, compared in constant time."""
    return hmac.compare_digest(signature(key, purpose, body).encode(), given.encode("utf-8", "replace"))


def encode(document: dict[str, Any]) -> bytes:
    """The bytes that are signed and sent."""
    return msgspec.json.encode(document)


class AnswerIn(msgspec.Struct):
    """What a service answers; other members are ignored."""

    request_id: str
    nonce: str
    result: str
    at: str
    reference: str = ""


def read_answer(
    raw: bytes, given: str, *, key: str, request_id: str, nonce: str, now: datetime, personal: tuple[str, ...]
) -> Outcome:
    """What an answer's bytes are worth. Only a signed, fresh answer to this very question counts; everything else is
    `unavailable` with a code that says why. Two of these no honest mistake explains: an answer that the key's holder
    signed for another question, and one that the key's holder didn't sign. `personal` are the texts that were asked
    about: a reference that repeats one is not taken."""
    if not signed_by(key, ANSWER, raw, given):
        return Outcome(UNAVAILABLE, "wrong_signature", lie=True)
    try:
        read, _canonical = jsonbody.load_object(raw)  # also refuses `result` twice
        answer = msgspec.convert(read, AnswerIn)
        at = datetime.fromisoformat(answer.at)
    except (Malformed, msgspec.ValidationError, ValueError):
        return Outcome(UNAVAILABLE, "unreadable_answer")
    if not hmac.compare_digest(answer.request_id.encode("utf-8", "replace"), request_id.encode()):
        return Outcome(UNAVAILABLE, "other_request", lie=True)
    if not hmac.compare_digest(answer.nonce.encode("utf-8", "replace"), nonce.encode()):
        return Outcome(UNAVAILABLE, "other_nonce", lie=True)
    if at.tzinfo is None or abs(at - now) > FRESH:
        return Outcome(UNAVAILABLE, "stale_time")
    if answer.result not in RESULTS:
        return Outcome(UNAVAILABLE, "unknown_result")
    if answer.reference and (
        not _REFERENCE.match(answer.reference) or any(text and text in answer.reference for text in personal)
    ):
        return Outcome(UNAVAILABLE, "unfit_reference")
    if answer.result == UNAVAILABLE:
        return Outcome(UNAVAILABLE, "service_has_no_answer", answer.reference, again=True)
    return Outcome(answer.result, "", answer.reference)
