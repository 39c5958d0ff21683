"""Personal data under a key of its own per subject (security.md §4, "envelope").

A subject ("user:<id>") has one data key. The data is sealed under it, the data key is wrapped under a field key of the
installation. So rotating the field keys rewraps data keys and touches no data, and destroying one data key makes
everything of that subject unreadable, in every copy and backup that holds no data key of its own.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now

from core import crypto
from core.models import DataKey

VERSION = b"v2."
Row = dict[str, Any]


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed values: what rotation must know to open and seal them again."""

    model: type[models.Model]
    column: str
    context_of: Callable[[Row], str]
    subject_of: Callable[[Row], str] | None = None
    needs: tuple[str, ...] = ()
    fixed: bool = False

    @property
    def name(self) -> str:
        """`app.model.column`, for people."""
        return f"{self.model._meta.label_lower}.{self.column}"


SEALED: dict[str, SealedColumn] = {}


def register_sealed(
    model: type[models.Model],
    column: str,
    context_of: Callable[[Row], str],
    *,
    subject_of: Callable[[Row], str] | None = None,
    needs: tuple[str, ...] = (),
    fixed: bool = False,
) -> None:
    """Make a column of sealed values known to `manage.py rotate_keys`; called when an app is ready, and a test fails
    for a column that nobody registered. Both functions get a row of `pk` and the columns in `needs`.

    Without `subject_of` the values are sealed by `core.crypto.seal` and are sealed anew under the key in use. With it
    they belong under the subject's data key, and values from before are moved there. `fixed`: the table never changes,
    so its values must be under a data key from the start."""
    entry = SealedColumn(model, column, context_of, subject_of, needs, fixed)
    SEALED[entry.name] = entry


class Shredded(crypto.Unreadable):
    """The subject's data key was destroyed: the data is gone for good."""


def seal(plaintext: str, *, subject: str, context: str) -> bytes:
    """Encrypt under the subject's data key, made on first use. `context` names row and column and is authenticated.
    Layout: `v2.<12-byte nonce><ciphertext and tag>`. Raises Shredded once the subject was erased."""
    return seal_under(data_key(subject), plaintext, subject=subject, context=context)


def seal_under(key: bytes, plaintext: str, *, subject: str, context: str) -> bytes:
    """As `seal`, with a data key that the caller already holds."""
    nonce = os.urandom(12)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, plaintext.encode("utf-8"), _bound(subject, context))


def unseal(sealed: bytes | memoryview, *, subject: str, context: str) -> str:
    """Decrypt what `seal` made for the same subject and context; also reads what `core.crypto.seal` made before there
    were data keys. Raises Unreadable, or Shredded after an erasure; never answers an empty value for either."""
    sealed = bytes(sealed)
    if not sealed.startswith(VERSION):
        return crypto.unseal(sealed, context)
    key = _existing(subject)
    if key is None:
        raise crypto.Unreadable("the subject has no data key")
    return unseal_under(key, sealed, subject=subject, context=context)


def unseal_under(key: bytes, sealed: bytes, *, subject: str, context: str) -> str:
    """As `unseal`, of what lies under a data key that the caller already holds. Raises Unreadable for anything else."""
    if not sealed.startswith(VERSION):
        raise crypto.Unreadable("not under a data key")
    body = sealed[len(VERSION) :]
    try:
        return AESGCM(key).decrypt(body[:12], body[12:], _bound(subject, context)).decode("utf-8")
    except (ValueError, InvalidTag):
        raise crypto.Unreadable("the ciphertext does not open") from None


def data_key(subject: str) -> bytes:
    """The subject's data key; made and stored wrapped when there is none. Two at once get the same one."""
    existing = _existing(subject)
    if existing is not None:
        return existing
    fresh = os.urandom(32)
    with transaction.atomic():
        DataKey.objects.bulk_create([wrapped(subject, fresh)], ignore_conflicts=True)
    found = _existing(subject)
    if found is None:
        raise crypto.Unreadable("the data key could not be stored")
    return found


def data_keys(subjects: Iterable[str]) -> dict[str, bytes]:
    """The data keys of many subjects, in a few statements; made where there are none. A subject that was erased is left
    out."""
    wanted = set(subjects)
    found = {row.subject: row for row in DataKey.objects.filter(pk__in=wanted)}
    if missing := sorted(wanted - set(found)):
        with transaction.atomic():
            DataKey.objects.bulk_create([wrapped(one, os.urandom(32)) for one in missing], ignore_conflicts=True)
        found |= {row.subject: row for row in DataKey.objects.filter(pk__in=missing)}
    return {subject: unwrapped(row) for subject, row in found.items() if row.wrapped is not None}


def rewrapped(subject: str, sealed: bytes) -> bytes:
    """A wrapped data key under the field key in use. Raises Unreadable."""
    return crypto.seal(crypto.unseal(sealed, _wrapping(subject)), _wrapping(subject))


def wrapped(subject: str, key: bytes) -> DataKey:
    """An unsaved row for a data key, wrapped under the field key in use."""
    sealed = crypto.seal(base64.b64encode(key).decode(), _wrapping(subject))
    return DataKey(subject=subject, wrapped=sealed, key_id=settings.FIELD_KEY_ID)


def unwrapped(row: DataKey) -> bytes:
    """The data key of a row. Raises Shredded for a destroyed one."""
    if row.wrapped is None:
        raise Shredded("the data key was destroyed")
    return base64.b64decode(crypto.unseal(bytes(row.wrapped), _wrapping(row.subject)))


def shred(subjects: Iterable[str]) -> int:
    """Destroy data keys; the rows stay as proof of when. Returns how many were there."""
    return DataKey.objects.filter(subject__in=list(subjects), destroyed_at=None).update(
        wrapped=None, destroyed_at=Now()
    )


def _existing(subject: str) -> bytes | None:
    row = DataKey.objects.filter(pk=subject).first()
    return unwrapped(row) if row else None


def _bound(subject: str, context: str) -> bytes:
    return VERSION + subject.encode() + b"\x00" + context.encode()


def _wrapping(subject: str) -> str:
    return f"data_key:{subject}"
