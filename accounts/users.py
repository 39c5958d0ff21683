"""Registration of end users, changes of what is known of them, and what a service is told about them (DS-09, GEN-10)."""

from __future__ import annotations

import os
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts import acceptances, devices, display_names, regions, reverification
from accounts.models import User
from core import audit, gates, vault
from core.errors import Conflict, NotFound, Refusal, field_error
from core.models import Gate
from core.requests import request_id
from core.roles import actor
from core.sql import run
from governance.models import Service

# The longest that each text may be.
LENGTHS = {
    "display_name": 80,
    "region": 40,
    "profession": 80,
    "institution": 120,
    "contact": 120,
    "device": devices.LONGEST,
    "address": 60,
}
# GEN-10: what must be verified again when it changes.
VERIFIED_AGAIN = ("profession", "institution")


def register(
    *,
    service: Service,
    external_id: str,
    kind: str,
    display_name: str,
    by: Any,
    region: str = "",
    profession: str = "",
    institution: str = "",
    contact: str = "",
    device: str = "",
    address: str = "",
) -> tuple[User, bool]:
    """Make a user known; the same external id again answers the same record (created = False). Of `address` only the
    region is kept, of `device` only a keyed digest; `contact` (e-mail) is sealed. Refuses with 503 while registration is
    closed, and 422 for a field that doesn't fit and for a person's name that would pass for an authority (GEN-10)."""
    if not 1 <= len(external_id) <= 128 or "\x00" in external_id:
        raise _invalid("external_id", "length", _("This text is empty or too long."))
    given = {
        "display_name": display_name,
        "region": region,
        "profession": profession,
        "institution": institution,
        "contact": contact,
        "device": device,
        "address": address,
    }
    problem: Refusal | None = None
    try:
        if kind not in User.KINDS:
            raise _invalid("kind", "unknown", _("Must be person or organization."))
        _refuse_unfit(given)
        display_names.refuse_reserved(kind=kind, name=display_name, service=service)
    except Refusal as refusal:
        # Told only when there is no earlier record to answer and no gate is closed (contract.md ruling 2).
        problem = refusal
    return _registered(service, external_id, kind, given, problem, by)


def _registered(
    service: Service, external_id: str, kind: str, given: dict[str, str], problem: Refusal | None, by: Any
) -> tuple[User, bool]:
    fit = problem is None
    user = User(
        service=service,
        external_id=external_id,
        kind=kind,
        display_name=given["display_name"],
        region=given["region"],
        profession=given["profession"],
        institution=given["institution"],
        address_region=regions.region_of(given["address"]) if fit and given["address"] else "",
    )
    key = os.urandom(32) if fit and given["contact"] else None
    if key:
        user.contact_sealed = vault.seal_under(
            key, given["contact"], subject=f"user:{user.pk}", context=contact_context(user)
        )
        user.contact_masked = masked_contact(given["contact"])
    wrapped = vault.wrapped(f"user:{user.pk}", key) if key else None
    answered = run(
        "accounts/register_user",
        {
            "make": fit,
            "id": user.pk,
            "service": service.pk,
            "external_id": external_id,
            **{
                name: getattr(user, name) if fit else ""
                for name in ("kind", "display_name", "region", "profession", "institution", "address_region")
            },
            "contact_sealed": user.contact_sealed,
            "contact_masked": user.contact_masked,
            "key_wrapped": wrapped.wrapped if wrapped else None,
            "key_id": wrapped.key_id if wrapped else "",
            "device": devices.digest(given["device"]) if fit and given["device"] else None,
            "staff": getattr(by, "pk", None) if getattr(by, "role", "") else None,
            "actor": actor(by),
            "request_id": request_id(),
        },
    )
    found = {row[0]: row for row in answered}
    if "earlier" in found:
        return _found(service, found["earlier"][1]), False
    if "closed" in found:
        raise gates.gate_closed(Gate.REGISTRATION, found["closed"][3])
    if problem:
        raise problem
    if "made" not in found:
        # Two registrations of one external id at once: the other one won, its record is the answer.
        return User.objects.get(service=service, external_id=external_id), False
    user.created_at = found["made"][2]
    user._state.adding, user._state.db = False, "default"
    return user, True


def _found(service: Service, pk: Any) -> User:
    user = User.objects.get(pk=pk)
    user.service = service
    return user


def change(*, user: User, by: Any, **changes: str | None) -> User:
    """Change what is known of a user; None leaves a field as it is. Fields: display_name, region, profession,
    institution, contact, and what the user was seen with: device, address. An identity whose owner's profession or
    institution changes is looked at again before the user may publish (GEN-10). The same values again change nothing.
    Refuses as `register`, and with 409 for an account that is only kept."""
    if unknown := set(changes) - set(LENGTHS):
        raise TypeError(f"unknown fields: {sorted(unknown)}")
    given = {name: value for name, value in changes.items() if value is not None}
    _refuse_unfit(given)
    with transaction.atomic():
        locked = User.objects.select_for_update(of=("self",)).select_related("service__provider").get(pk=user.pk)
        if locked.frozen_at or locked.erased_at:
            raise Conflict("account_frozen", _("This account's data is only kept, not used, until its term is over."))
        changed = _apply(locked, given)
        if "display_name" in changed:
            display_names.refuse_reserved(kind=locked.kind, name=locked.display_name, service=locked.service)
        if given.get("device"):
            devices.seen(user=locked, device=given["device"])
        if changed:
            columns = [name for name in changed if name != "contact"]
            columns += ["contact_sealed", "contact_masked"] if "contact" in changed else []
            locked.save(update_fields=columns)
            audit.record(action="user.changed", subject=f"user:{locked.pk}", by=by, data={"fields": changed})
        if again := [name for name in VERIFIED_AGAIN if name in changed]:
            reverification.because(user=locked, reason=again[0], by=by)
    return User.objects.select_related("service").get(pk=locked.pk)


def _apply(user: User, given: dict[str, str]) -> list[str]:
    changed: list[str] = []
    for name in ("display_name", "region", "profession", "institution"):
        if name in given and getattr(user, name) != given[name]:
            setattr(user, name, given[name])
            changed.append(name)
    if given.get("address"):
        region = regions.region_of(given["address"])
        if region != user.address_region:
            user.address_region = region
            changed.append("address_region")
    if "contact" in given and given["contact"] != contact_of(user):
        user.contact_sealed, user.contact_masked = None, ""
        if given["contact"]:
            subject = f"user:{user.pk}"
            user.contact_sealed = vault.seal(given["contact"], subject=subject, context=contact_context(user))
            user.contact_masked = masked_contact(given["contact"])
        changed.append("contact")
    return changed


def _refuse_unfit(given: dict[str, str]) -> None:
    for name, value in given.items():
        if "\x00" in value:
            raise _invalid(name, "nul_character", _("A text may not hold a NUL character."))
        if len(value) > LENGTHS[name] or (name == "display_name" and not value.strip()):
            raise _invalid(name, "length", _("This text is empty or too long."))
    if given.get("address") and regions.normal_address(given["address"]) is None:
        raise _invalid("address", "invalid", _("This is not an IP address."))
    if given.get("contact"):
        try:
            validate_email(given["contact"])
        except ValidationError:
            raise _invalid("contact", "invalid", _("This is not an e-mail address.")) from None


def contact_context(user: User) -> str:
    """What the contact of a user is bound to when it is sealed."""
    return f"user:{user.pk}:contact"


def contact_of(user: User) -> str:
    """The e-mail address to reach a user at, in the clear; "" where there is none."""
    if user.contact_sealed is None:
        return ""
    return vault.unseal(bytes(user.contact_sealed), subject=f"user:{user.pk}", context=contact_context(user))


def masked_contact(contact: str) -> str:
    """The first character and the domain, e.g. a***@example.cn."""
    local, _at, domain = contact.rpartition("@")
    return f"{local[:1]}***@{domain}"[:80]


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
        "address_region": user.address_region,
        "identity_status": user.identity_status,
        "account_status": user.account_status,
        "may_publish": user.may_publish,
    }


def whole(user: User) -> dict[str, Any]:
    """As `representation`, with what a registration may add to it and what the user must still accept: as long as
    something is wanted, `may_publish` is false."""
    wanted = acceptances.missing(user)
    return {
        **representation(user),
        "may_publish": user.may_publish and not wanted,
        "wanted_acceptances": [one._asdict() for one in wanted],
        "profession": user.profession,
        "institution": user.institution,
        "contact": user.contact_masked,
        "reverify_reason": user.reverify_reason,
        "reverify_by": user.reverify_by.isoformat().replace("+00:00", "Z") if user.reverify_by else None,
        "minor": user.minor,
    }


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
