"""Name and number of an identity under lock: sealed with the key of their user, bound to their row and column."""

from __future__ import annotations

import os
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from accounts import numbers
from accounts.models import Identity
from core import vault


class Opened(NamedTuple):
    """What an identity holds in the clear; empty where nothing was given. Never to be logged or kept."""

    number: str
    name: str


def subject_of(user_id: UUID) -> str:
    """Whose data key seals the data of this user."""
    return f"user:{user_id}"


def key_for(user_id: UUID) -> bytes:
    """The user's data key, made on first use: one statement for a new user, two for a known one. Raises Shredded for
    a user who was erased."""
    subject, fresh = subject_of(user_id), os.urandom(32)
    row = vault.wrapped(subject, fresh)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_datakey (subject, wrapped, key_id) VALUES (%s, %s, %s) ON CONFLICT (subject) DO NOTHING",
            [row.subject, bytes(row.wrapped or b""), row.key_id],
        )
        if cursor.rowcount == 1:
            return fresh
    return vault.data_key(subject)


def seal_into(identity: Identity, *, number: str = "", name: str = "", shown: bool = True) -> None:
    """Put number and name into an unsaved identity, sealed and (unless not `shown`) masked; costs no query where both
    are empty."""
    if not (number or name):
        return
    key, subject = key_for(identity.user_id), subject_of(identity.user_id)
    if number:
        identity.number_sealed = vault.seal_under(key, number, subject=subject, context=_context(identity, "number"))
        identity.number_masked = numbers.masked(number) if shown else ""
    if name:
        identity.name_sealed = vault.seal_under(key, name, subject=subject, context=_context(identity, "name"))
        identity.name_masked = numbers.masked_name(name) if shown else ""


def opened(identity: Identity) -> Opened:
    """Number and name in the clear. Of a national network identity nothing is ever opened here (GEN-11). Raises
    core.crypto.Unreadable, never answers an empty value for what doesn't open."""
    if identity.method == "network_identity":
        return Opened("", "")
    sealed = {column: bytes(getattr(identity, f"{column}_sealed") or b"") for column in ("number", "name")}
    if not all(value.startswith(vault.VERSION) for value in sealed.values()):
        return Opened(*(_unsealed(identity, column, value) for column, value in sealed.items()))
    # Both under the user's data key: it is fetched once.
    subject = subject_of(identity.user_id)
    key = vault.data_key(subject)
    return Opened(
        *(
            vault.unseal_under(key, value, subject=subject, context=_context(identity, column))
            for column, value in sealed.items()
        )
    )


def number_of(identity: Identity) -> str:
    """The number alone, for what needs no name; as `opened`."""
    return "" if identity.method == "network_identity" else _unsealed(identity, "number", identity.number_sealed)


def token_of(identity: Identity) -> str:
    """The national service's token while its confirmation is under way; empty afterwards."""
    return _unsealed(identity, "number", identity.number_sealed) if identity.method == "network_identity" else ""


def _unsealed(identity: Identity, column: str, sealed: bytes | memoryview | None) -> str:
    if not sealed:
        return ""
    return vault.unseal(bytes(sealed), subject=subject_of(identity.user_id), context=_context(identity, column))


def _context(identity: Identity, column: str) -> str:
    return f"identity:{identity.pk}:{column}"
