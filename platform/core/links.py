"""Addresses that only their holder knows: a status page, an appeal, for people who have no account here.

The token is the record's id with an HMAC over purpose and id: 128 bits that nobody can guess, nothing stored that a
stolen dump could give away, and the same record has the same address however often it is told.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from uuid import UUID

from django.conf import settings

_TAG = 20


def make(purpose: str, record: UUID) -> str:
    """The token of a record for one purpose ("request", "notice"); 48 characters, safe in an address."""
    return base64.urlsafe_b64encode(record.bytes + _tag(settings.SECRET_KEY, purpose, record)).decode()


def read(purpose: str, token: str) -> UUID | None:
    """The record of a token, or None for one that was not made here for this purpose. Compared in constant time; the
    keys of `SECRET_KEY_FALLBACKS` open older addresses still."""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        return None
    if len(raw) != 16 + _TAG:
        return None
    record = UUID(bytes=raw[:16])
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    good = [hmac.compare_digest(raw[16:], _tag(key, purpose, record)) for key in keys]
    return record if any(good) else None


def _tag(key: str, purpose: str, record: UUID) -> bytes:
    own = hmac.digest(key.encode(), b"mingjian.links\x00" + purpose.encode(), "sha256")
    return hmac.new(own, record.bytes, hashlib.sha256).digest()[:_TAG]
