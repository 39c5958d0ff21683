"""Who calls the API: the key in the header, from where, how often, and signed where the key demands it."""

from __future__ import annotations

import hmac
import ipaddress
import math
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db.models import BooleanField, Case, Q, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission

from accounts import hourly, key_format, rates, signatures, usage
from accounts.models import ApiKey
from core import crypto
from core.errors import Forbidden, Refusal
from core.options import option
from core.requests import client_address
from governance.models import Service

log = structlog.get_logger("callers")
# How long a process may believe what it last read of a key: a revoked key works at most this much longer (ASVS 8.3.2).
REMEMBERED = 5.0
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Caller:
    """The program behind a request."""

    client_id: UUID
    name: str
    service: Service
    scopes: frozenset[str]
    prefix: str
    key_id: UUID | None = None
    per_minute: int = 0
    networks: tuple[Network, ...] = ()
    signing: str | None = None  # None: needs no signature; empty: demands one that can't be checked

    is_authenticated = True
    is_active = True

    def __str__(self) -> str:
        return self.prefix


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of a key: the caller, or whether there was such a key once."""

    until: float
    caller: Caller | None
    spent: bool = False  # a real key that was revoked or ran out: not a guess


_known: dict[bytes, _Known] = {}


def authenticate(key: str) -> Caller | None:
    """The caller with this key, or None. Answers from memory for REMEMBERED seconds, so that a request costs no query."""
    return _look_up(key).caller


def _look_up(key: str) -> _Known:
    hashed = crypto.key_hash(key)
    now = time.monotonic()
    remembered = _known.get(hashed)
    if remembered and remembered.until > now:
        return remembered
    caller, spent = _read(key, hashed)
    if len(_known) > 10_000:
        _known.clear()  # a flood of wrong keys must not fill the memory
    known = _known[hashed] = _Known(now + REMEMBERED, caller, spent)
    return known


def _read(key: str, hashed: bytes) -> tuple[Caller | None, bool]:
    prefix = key_format.prefix_of(key)
    if not prefix:
        return None, False
    over = Case(
        When(Q(revoked_at__isnull=False) | Q(expires_at__lte=Now()), then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )
    row = ApiKey.objects.select_related("client__service__provider").annotate(over=over).filter(prefix=prefix).first()
    if row is None or not hmac.compare_digest(bytes(row.hash), hashed):
        return None, False
    if row.over:
        return None, True
    client = row.client
    caller = Caller(
        client_id=client.pk,
        name=client.name,
        service=client.service,
        scopes=frozenset(row.scopes),
        prefix=row.prefix,
        key_id=row.pk,
        per_minute=row.per_minute or int(option("key_per_minute")),
        networks=tuple(ipaddress.ip_network(network) for network in row.networks),
        signing=_signing(row),
    )
    return caller, False


def _signing(row: ApiKey) -> str | None:
    if row.signing_sealed is None:
        return None
    try:
        return signatures.opened(row.pk, bytes(row.signing_sealed))
    except crypto.Unreadable:
        log.error("signing_secret_unreadable", key=row.prefix)
        return ""


def forget() -> None:
    """Drop what this process remembers of keys, of their use and of who tried wrong ones."""
    _known.clear()
    rates.forget()
    signatures.forget()
    hourly.forget()


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer mj_<prefix>_<secret>`; a cookie is never enough (ASVS 3.5.1)."""

    def authenticate(self, request: Any) -> tuple[Caller, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header.startswith("Bearer "):
            return None
        known = _look_up(header[7:].strip())
        caller = known.caller
        if caller is None:
            raise AuthenticationFailed() if known.spent else _guess(request)
        try:
            _let_in(caller, request._request)
        except Refusal:
            usage.count(caller.key_id, refused=True)
            raise
        usage.count(caller.key_id)
        return caller, None

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


def _let_in(caller: Caller, request: Any) -> None:
    if caller.networks and not _is_inside(client_address(request), caller.networks):
        # The address stays out of alarm and ledger; the prefix says which key has to be changed.
        hourly.ring(kind="key_exposed", subject=f"key:{caller.prefix}", by=caller, detail=f"mj_{caller.prefix}_…")
        raise Forbidden("network_not_allowed", _("This key may not be used from this network."))
    if wait := rates.take(str(caller.key_id), caller.per_minute):
        raise _too_many(_("This key has made all the calls it may make in a minute."), wait)
    if caller.signing is not None:
        signatures.check(request, caller.signing)


def _guess(request: Any) -> Exception:
    """What a key that never existed gets. A right key from the same address is let in all the same: a neighbour's noise
    must not lock anybody out, and 256 random bits are not found by trying."""
    if wait := rates.wrong_key(client_address(request)):
        hourly.ring(kind="guessing", subject="keys", by="system:api", detail="wrong API keys from one address")
        return _too_many(_("Too many wrong keys came from this address."), wait)
    return AuthenticationFailed()


def _too_many(detail: Any, wait: float) -> Refusal:
    return Refusal("rate_limited", detail, status=429, retry_after=max(1, math.ceil(wait)))


def _is_inside(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        found: Any = ipaddress.ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks)


class HasScope(BasePermission):
    """The key carries the scope that the view names for the method (`scopes = {"GET": "users:read"}`). A view without
    one is closed to everybody. Methods in `scopes_after_body` are let in with any valid key and must call
    `require_scope` once the body was read: what is wrong with a body is told before the scope (contract.md ruling 2)."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if request.user is None:
            raise NotAuthenticated()
        if (
            request.method in getattr(view, "scopes_after_body", {})
            or request.method.lower() not in view.http_method_names
        ):
            return True  # the body comes first, or the method will be refused with 405
        scope = getattr(view, "scopes", {}).get(request.method)
        return scope is not None and scope in request.user.scopes


def require_scope(request: Any, view: Any) -> Caller:
    """The caller, once the body was read; refuses with 403 without the scope the view names in `scopes_after_body`."""
    scope = view.scopes_after_body[request.method]
    if scope not in request.user.scopes:
        raise Forbidden("scope_missing", _("This key may not do that."), extra={"scope": scope})
    return request.user
