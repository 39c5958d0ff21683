"""API clients and their keys: shown once, stored hashed, scoped, known by a prefix."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission

from accounts.models import ApiClient, ApiKey
from core import audit, crypto
from core.errors import Forbidden, NotFound, Refusal, field_error
from core.roles import check
from governance.models import Service

SCOPES = {
    "users:read": _("Read users"),
    "users:write": _("Register users and hand in identities"),
    "submissions:read": _("Read submissions and released content"),
    "submissions:write": _("Submit content"),
    "webhooks": _("Manage its own webhook endpoints"),
}
# How long a process may believe what it last read of a key: a revoked key works at most this much longer (ASVS 8.3.2).
REMEMBERED = 5.0


@dataclass(frozen=True, slots=True)
class Caller:
    """The program behind a request."""

    client_id: UUID
    name: str
    service: Service
    scopes: frozenset[str]
    prefix: str

    is_authenticated = True
    is_active = True

    def __str__(self) -> str:
        return self.prefix


_known: dict[bytes, tuple[float, Caller | None]] = {}


def authenticate(key: str) -> Caller | None:
    """The caller with this key, or None. Answers from memory for REMEMBERED seconds, so that a request costs no query."""
    hashed = crypto.key_hash(key)
    now = time.monotonic()
    remembered = _known.get(hashed)
    if remembered and remembered[0] > now:
        return remembered[1]
    caller = _read(key, hashed)
    if len(_known) > 10_000:
        _known.clear()  # a flood of wrong keys must not fill the memory
    _known[hashed] = (now + REMEMBERED, caller)
    return caller


def _read(key: str, hashed: bytes) -> Caller | None:
    parts = key.split("_", 2)
    if len(parts) != 3 or parts[0] != "mj" or not parts[1].isalnum():
        return None
    row = ApiKey.objects.select_related("client__service__provider").filter(prefix=parts[1]).first()
    if row is None or not hmac.compare_digest(bytes(row.hash), hashed):
        return None
    if row.revoked_at or (row.expires_at and row.expires_at <= timezone.now()):
        return None
    client = row.client
    return Caller(client.pk, client.name, client.service, frozenset(row.scopes), row.prefix)


def forget() -> None:
    """Drop what this process remembers of keys."""
    _known.clear()


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer mj_<prefix>_<secret>`; a cookie is never enough (ASVS 3.5.1)."""

    def authenticate(self, request: Any) -> tuple[Caller, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header.startswith("Bearer "):
            return None
        caller = authenticate(header[7:].strip())
        if caller is None:
            raise AuthenticationFailed()
        return caller, None

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


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


def create_client(*, service: Service, name: str, by: Any) -> ApiClient:
    """Make a client known for a service."""
    _may(by)
    if not name.strip():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("name", "required", _("A name is needed."))],
        )
    with transaction.atomic():
        client, _created = ApiClient.objects.get_or_create(service=service, name=name.strip())
        audit.record(action="client.created", subject=f"client:{client.pk}", by=by)
    return client


def issue_key(
    *, client: ApiClient, scopes: list[str], by: Any, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Issue a key; the second value is shown once and kept nowhere. Refuses an unknown scope."""
    _may(by)
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("scopes", "unknown", ", ".join(unknown))],
        )
    prefix = secrets.token_hex(5)
    secret = f"mj_{prefix}_{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        key = ApiKey.objects.create(
            client=client, prefix=prefix, hash=crypto.key_hash(secret), scopes=sorted(scopes), expires_at=expires_at
        )
        audit.record(
            action="key.issued", subject=f"client:{client.pk}", by=by, data={"prefix": prefix, "scopes": sorted(scopes)}
        )
    return key, secret


def revoke_key(*, key_id: UUID, by: Any, reason: str) -> ApiKey:
    """End a key; every process forgets it within REMEMBERED seconds."""
    _may(by)
    with transaction.atomic():
        key = ApiKey.objects.select_for_update().filter(pk=key_id).first()
        if key is None:
            raise NotFound("not_found", _("There is no such key."))
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


def _may(by: Any) -> None:
    if not (isinstance(by, str) and by.startswith("system:")):
        check(by, "client.manage")
