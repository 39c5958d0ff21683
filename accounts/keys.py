"""API clients and their keys: shown once, stored hashed, scoped, known by a prefix; rotated, limited and revoked here.
Who calls with them is asked in `accounts.callers`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import key_format, signatures
from accounts.callers import (
    REMEMBERED,
    Caller,
    HasScope,
    KeyAuthentication,
    authenticate,
    forget,
    require_scope,
)
from accounts.models import ApiClient, ApiKey
from core import audit, crypto
from core.errors import Conflict, NotFound, Refusal, field_error
from core.ids import uuid7
from core.options import option
from core.roles import check
from governance.models import Service

__all__ = [
    "REMEMBERED",
    "SCOPES",
    "Caller",
    "HasScope",
    "KeyAuthentication",
    "Rotated",
    "authenticate",
    "create_client",
    "demand_signatures",
    "forget",
    "issue_key",
    "limit_key",
    "require_scope",
    "revoke_key",
    "rotate_key",
    "state_of",
    "with_prefix",
]

SCOPES = {
    "users:read": _("Read users"),
    "users:write": _("Register users and hand in identities"),
    "submissions:read": _("Read submissions and released content"),
    "submissions:write": _("Submit content"),
    "webhooks": _("Manage its own webhook endpoints"),
}
STATES = {
    "valid": _("Valid"),
    "expiring": _("Ends soon"),
    "replaced": _("Replaced, still works"),
    "expired": _("Expired"),
    "revoked": _("Revoked"),
}
WARNED = timedelta(days=14)  # before the end of a key its state says so
MOST_NETWORKS = 50


def create_client(*, service: Service, name: str, by: Any) -> ApiClient:
    """Make a client known for a service."""
    _may(by)
    if not name.strip():
        raise _invalid("name", "required", _("A name is needed."))
    with transaction.atomic():
        client, _created = ApiClient.objects.get_or_create(service=service, name=name.strip())
        audit.record(action="client.created", subject=f"client:{client.pk}", by=by)
    return client


def issue_key(
    *, client: ApiClient, scopes: list[str], by: Any, expires_at: datetime | None = None, key_id: UUID | None = None
) -> tuple[ApiKey, str]:
    """Issue a key; the second value is shown once and kept nowhere. Refuses an unknown scope and an end that is over.
    With `key_id`, chosen when the form was shown, the same form sent twice is one key: refused with 409 then."""
    _may(by)
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise _invalid("scopes", "unknown", ", ".join(unknown))
    try:
        with transaction.atomic():
            if expires_at is not None and expires_at <= _now():
                raise _invalid("expires_at", "past", _("The end must lie ahead."))
            key, secret = _new_key(key_id, client=client, scopes=sorted(scopes), expires_at=expires_at)
            audit.record(
                action="key.issued",
                subject=f"client:{client.pk}",
                by=by,
                data={"prefix": key.prefix, "scopes": key.scopes},
            )
    except IntegrityError as taken:
        if key_id is None or not ApiKey.objects.filter(pk=key_id).exists():
            raise
        raise Conflict(
            "already_issued", _("This key was issued already. It is shown only once: if it got lost, revoke it.")
        ) from taken
    return key, secret


def _new_key(key_id: UUID | None, **given: Any) -> tuple[ApiKey, str]:
    prefix, secret = key_format.new_key()
    key = ApiKey(pk=key_id or uuid7(), prefix=prefix, hash=crypto.key_hash(secret), **given)
    key.save(force_insert=True)
    return key, secret


class Rotated(NamedTuple):
    """The successor of a key; `secret` and (where requests are signed) `signing` are shown once."""

    key: ApiKey
    secret: str
    signing: str


def rotate_key(*, key_id: UUID, by: Any, overlap: float | None = None) -> Rotated:
    """Issue a successor with the same scopes, networks and limit; the old key still works for `overlap` seconds (option
    `key_overlap`), so that a service changes over without a pause. A key that would end gives its successor as long a
    life as it had itself. Refuses a key that is over, or that has a successor."""
    _may(by)
    with transaction.atomic():
        old = _locked(key_id)
        now = _now()
        if old.replaced_by_id is not None:
            raise Conflict(
                "already_rotated", _("This key has a successor already. It was shown once; revoke it if lost.")
            )
        _refuse_ended(old, now)
        new, secret = _new_key(
            None,
            client=old.client,
            scopes=old.scopes,
            networks=old.networks,
            per_minute=old.per_minute,
            expires_at=now + (old.expires_at - old.created_at) if old.expires_at else None,
        )
        signing = _seal_signing(new) if old.signing_sealed is not None else ""
        end = now + timedelta(seconds=option("key_overlap") if overlap is None else max(0.0, overlap))
        old.expires_at = min(end, old.expires_at) if old.expires_at else end
        old.replaced_by = new
        old.save(update_fields=["expires_at", "replaced_by"])
        audit.record(
            action="key.rotated",
            subject=f"client:{old.client_id}",
            by=by,
            data={"prefix": old.prefix, "successor": new.prefix, "until": old.expires_at.isoformat()},
        )
    return Rotated(new, secret, signing)


def limit_key(*, key_id: UUID, networks: Iterable[str], per_minute: int | None, by: Any) -> ApiKey:
    """Say from which networks (CIDR; none: from everywhere) and how often in a minute (None: the general limit) a key
    may call. Refuses what is no network, and a key that is over."""
    _may(by)
    wanted = _networks(networks)
    if per_minute is not None and not 0 < per_minute < 2**31:
        raise _invalid("per_minute", "not_positive", _("The limit must be a positive number."))
    with transaction.atomic():
        key = _locked(key_id)
        _refuse_ended(key, _now())
        if (list(key.networks), key.per_minute) != (wanted, per_minute):
            key.networks, key.per_minute = wanted, per_minute
            key.save(update_fields=["networks", "per_minute"])
            audit.record(
                action="key.limited",
                subject=f"client:{key.client_id}",
                by=by,
                data={"prefix": key.prefix, "networks": len(wanted), "per_minute": per_minute},
            )
    return key


def demand_signatures(*, key_id: UUID, by: Any) -> tuple[ApiKey, str]:
    """From now on requests with this key must be signed (accounts.signatures); the second value is shown once. There is
    no way back but another key. Refuses with 409 where they must be already."""
    _may(by)
    with transaction.atomic():
        key = _locked(key_id)
        _refuse_ended(key, _now())
        if key.signing_sealed is not None:
            raise Conflict(
                "already_signed", _("Requests with this key must be signed already. Its secret was shown once.")
            )
        secret = _seal_signing(key)
        audit.record(
            action="key.signatures_demanded", subject=f"client:{key.client_id}", by=by, data={"prefix": key.prefix}
        )
    return key, secret


def _seal_signing(key: ApiKey) -> str:
    secret = f"mjsig_{key_format.random_text(key_format.SECRET)}"
    key.signing_sealed = crypto.seal(secret, signatures.context(key.pk))
    key.save(update_fields=["signing_sealed"])
    return secret


def revoke_key(*, key_id: UUID, by: Any, reason: str) -> ApiKey:
    """End a key; every process forgets it within REMEMBERED seconds."""
    _may(by)
    with transaction.atomic():
        key = _locked(key_id)
        if key.revoked_at is None:
            key.revoked_at = Now()
            key.save(update_fields=["revoked_at"])
            audit.record(
                action="key.revoked",
                subject=f"client:{key.client_id}",
                by=by,
                reason=reason,
                data={"prefix": key.prefix},
            )
    return key


def with_prefix(typed: str) -> ApiKey | None:
    """The key whose prefix somebody typed; of a whole key that was pasted only the prefix is looked at."""
    prefix = key_format.named_prefix(typed)
    return ApiKey.objects.select_related("client").filter(prefix=prefix).first() if prefix else None


def state_of(key: ApiKey, now: datetime) -> str:
    """What a key is now: one of STATES."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    if key.expires_at <= now:
        return "expired"
    if key.replaced_by_id is not None:
        return "replaced"
    return "expiring" if key.expires_at <= now + WARNED else "valid"


def _networks(given: Iterable[str]) -> list[str]:
    read: list[str] = []
    for text in given:
        try:
            network = str(ipaddress.ip_network(text.strip()))
        except ValueError as wrong:
            raise _invalid(
                "networks",
                "invalid",
                _("“%(text)s” is no network: write an address, or a network like 203.0.113.0/24 or 2001:db8::/32.")
                % {"text": text.strip()[:60]},
            ) from wrong
        if network not in read:
            read.append(network)
    if len(read) > MOST_NETWORKS:
        raise _invalid("networks", "too_many", _("Fifty networks at most."))
    return read


def _refuse_ended(key: ApiKey, now: datetime) -> None:
    if state_of(key, now) in ("revoked", "expired"):
        raise Conflict("key_ended", _("This key doesn't work any more."))


def _locked(key_id: UUID) -> ApiKey:
    key = ApiKey.objects.select_for_update(of=("self",)).select_related("client").filter(pk=key_id).first()
    if key is None:
        raise NotFound("not_found", _("There is no such key."))
    return key


def _now() -> datetime:
    # The database's clock: `expires_at` is compared with it when somebody calls.
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])


def _may(by: Any) -> None:
    if not (isinstance(by, str) and by.startswith("system:")):
        check(by, "client.manage")
