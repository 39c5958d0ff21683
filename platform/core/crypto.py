"""Encryption of personal fields and keyed digests to find them again (design.md §3.7, security.md §4)."""

from __future__ import annotations

import base64
import hashlib
import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from core import pepper

VERSION = b"v1"


class Unreadable(Exception):
    """A ciphertext that doesn't open: wrong row, wrong field, wrong key or a changed byte. Never an empty value."""


@cache
def _field_key(key_id: str) -> AESGCM:
    encoded = settings.FIELD_KEYS.get(key_id)
    if not encoded:
        raise Unreadable(f"field key {key_id} is not configured")
    key = base64.urlsafe_b64decode(encoded)
    if len(key) != 32:
        raise Unreadable(f"field key {key_id} is not 32 bytes")
    return AESGCM(key)


def seal(plaintext: str, context: str) -> bytes:
    """Encrypt with AES-256-GCM. `context` names the row and field (table, id, column) and is authenticated, so that a
    ciphertext copied elsewhere does not open. Layout: `v1.<key id>.<12-byte nonce><ciphertext and tag>`."""
    key_id = settings.FIELD_KEY_ID
    nonce = os.urandom(12)
    header = VERSION + b"." + key_id.encode() + b"."
    return header + nonce + _field_key(key_id).encrypt(nonce, plaintext.encode("utf-8"), header + context.encode())


def unseal(sealed: bytes, context: str) -> str:
    """Decrypt what `seal` made for the same context; raises Unreadable otherwise."""
    sealed = bytes(sealed)
    try:
        version, key_id, body = sealed.split(b".", 2)
        if version != VERSION:
            raise Unreadable("unknown version")
        header = VERSION + b"." + key_id + b"."
        opened = _field_key(key_id.decode()).decrypt(body[:12], body[12:], header + context.encode())
    except (ValueError, InvalidTag):
        raise Unreadable("the ciphertext does not open") from None
    return opened.decode("utf-8")


def digest(value: str, purpose: str) -> bytes:
    """A keyed digest (HMAC-SHA256, one key per purpose) by which an identifier is found. An unkeyed hash of an ID
    number is as good as the number: there are only 10^11 of them. Raises pepper.Away (503) while the key can't be
    reached."""
    return pepper.digest(value, purpose)


def key_hash(secret: str) -> bytes:
    """Hash of a machine-made secret (256 random bits), for which a slow hash adds nothing."""
    return hashlib.sha256(secret.encode()).digest()
