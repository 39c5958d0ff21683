"""Registration of end users and what a service is told about them."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core import audit, gates
from core.errors import NotFound, Refusal, field_error
from core.models import Gate
from governance.models import Service


def register(
    *, service: Service, external_id: str, kind: str, display_name: str, region: str = "", by: Any
) -> tuple[User, bool]:
    """Make a user known; the same external id again answers the same record (created = False). Refuses with 503 while
    registration is closed, and 422 for an unknown kind."""
    existing = User.objects.filter(service=service, external_id=external_id).first()
    if existing:
        return existing, False
    if closure := gates.closed(service.pk, Gate.REGISTRATION):
        raise gates.gate_closed(Gate.REGISTRATION, closure.directive)
    if kind not in User.KINDS:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("kind", "unknown", _("Must be person or organization."))],
        )
    try:
        with transaction.atomic():
            user = User.objects.create(
                service=service, external_id=external_id, kind=kind, display_name=display_name, region=region
            )
            audit.record(action="user.registered", subject=f"user:{user.pk}", by=by, data={"kind": kind})
    except IntegrityError:
        # Two registrations of one external id at once: the other one won, its record is the answer.
        return User.objects.get(service=service, external_id=external_id), False
    return user, True


def find(*, service: Service, external_id: str) -> User:
    """The user of a service; refuses with 404."""
    # PostgreSQL refuses to even look for a NUL character.
    user = None if "\x00" in external_id else User.objects.filter(service=service, external_id=external_id).first()
    if user is None:
        raise NotFound("not_found", _("There is no such user."))
    return user


def representation(user: User) -> dict[str, Any]:
    """What the API says of a user (contract.md)."""
    return {
        "id": str(user.pk),
        "external_id": user.external_id,
        "kind": user.kind,
        "display_name": user.display_name,
        "region": user.region,
        "identity_status": user.identity_status,
        "account_status": user.account_status,
        "may_publish": user.may_publish,
    }
