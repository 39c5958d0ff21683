"""Measures on accounts (DS-10e): warn, limit functions, suspend, close. The account is as restricted as its strictest
measure in force; ending one re-computes, never "activates" (contract.md ruling 10)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Measure, User
from accounts.states import MEASURE
from core import audit, outbox
from core.errors import NotFound, Refusal, field_error
from core.roles import check
from core.states import transition

_STRICTNESS = {"warn": "active", "limit": "limited", "suspend": "suspended", "close": "closed"}
_ORDER = ("active", "limited", "suspended", "closed")


def in_force(user: User) -> QuerySet[Measure]:
    """The user's measures that hold now."""
    return user.measures.filter(state="in_force").filter(Q(ends_at=None) | Q(ends_at__gt=Now())).order_by("-starts_at")


def apply(
    *,
    user: User,
    kind: str,
    ground: str,
    by: Any,
    clause: str = "",
    functions: list[str] | None = None,
    ends_at: datetime | None = None,
) -> Measure:
    """Put a measure on an account. Refuses without a ground, a limit without the functions it limits, and an
    end that is over already."""
    check(by, "measure.apply")
    if kind not in Measure.KINDS:
        raise _invalid("kind", "unknown", _("A measure is a warning, a limit, a suspension or a closure."))
    if not ground.strip():
        raise _invalid("ground", "required", _("Say why: the user will read it."))
    if kind == "limit" and not functions:
        raise _invalid("functions", "required", _("Say which functions are limited."))
    if ends_at and ends_at <= timezone.now():
        raise _invalid("ends_at", "past", _("The end must lie ahead."))
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        measure = Measure.objects.create(
            user=locked,
            kind=kind,
            ground=ground.strip(),
            clause=clause,
            functions=functions or [],
            ends_at=ends_at,
            applied_by=by,
        )
        audit.record(
            action="measure.applied", subject=f"user:{locked.pk}", by=by, reason=ground.strip(), data={"kind": kind}
        )
        recompute(locked, by=by)
        outbox.emit(
            "measure.applied", subject=str(locked.pk), payload=representation(measure), service_id=locked.service_id
        )
    user.account_status = locked.account_status
    return measure


def lift(*, measure_id: UUID, reason: str, by: Any) -> Measure:
    """End a measure at once; the account becomes what its other measures make of it."""
    check(by, "measure.lift")
    if not reason.strip():
        raise _invalid("reason", "required", _("Say why it is lifted."))
    with transaction.atomic():
        measure = _locked(measure_id)
        measure.lifted_at, measure.lifted_by, measure.lift_reason = Now(), by, reason.strip()
        transition(MEASURE, measure, "lift", by=by, reason=reason, also=["lifted_at", "lifted_by", "lift_reason"])
        _ended(measure, by)
    return measure


def expire_due() -> int:
    """End measures whose time is over, by the database's clock; run by beat. Returns how many ended."""
    ids = list(Measure.objects.filter(state="in_force", ends_at__lte=Now()).values_list("pk", flat=True)[:500])
    ended = 0
    for pk in ids:
        with transaction.atomic():
            measure = _locked(pk)
            if measure.state == "in_force":
                transition(MEASURE, measure, "expire", by="system:clock")
                _ended(measure, "system:clock")
                ended += 1
    return ended


def _locked(measure_id: UUID) -> Measure:
    owner = Measure.objects.filter(pk=measure_id).values_list("user_id", flat=True).first()
    if owner is None:
        raise NotFound("not_found", _("There is no such measure."))
    user = User.objects.select_for_update().get(pk=owner)
    measure = Measure.objects.select_for_update(of=("self",)).get(pk=measure_id)
    measure.user = user
    return measure


def _ended(measure: Measure, by: Any) -> None:
    user = measure.user
    audit.record(action=f"measure.{measure.state}", subject=f"user:{user.pk}", by=by, data={"kind": measure.kind})
    recompute(user, by=by)
    measure.refresh_from_db(fields=["lifted_at"])
    outbox.emit("measure.lifted", subject=str(user.pk), payload=representation(measure), service_id=user.service_id)
    if user.may_publish:
        outbox.emit("internal.user_may_publish", subject=str(user.pk), payload={})


def recompute(user: User, *, by: Any) -> None:
    """Set the account status from the strictest measure in force; the caller holds the user's row."""
    status = max((_STRICTNESS[m.kind] for m in in_force(user)), key=_ORDER.index, default="active")
    if status != user.account_status:
        before, user.account_status = user.account_status, status
        user.save(update_fields=["account_status"])
        audit.record(
            action="user.account_status", subject=f"user:{user.pk}", by=by, data={"from": before, "to": status}
        )


def representation(measure: Measure) -> dict[str, Any]:
    """What the API and the webhooks say of a measure."""
    return {
        "id": str(measure.pk),
        "user": measure.user.external_id,
        "kind": measure.kind,
        "functions": list(measure.functions),
        "ground": measure.ground,
        "clause": measure.clause,
        "state": measure.state,
        "starts_at": measure.starts_at.isoformat() if isinstance(measure.starts_at, datetime) else None,
        "ends_at": measure.ends_at.isoformat() if measure.ends_at else None,
        "lifted_at": measure.lifted_at.isoformat() if isinstance(measure.lifted_at, datetime) else None,
    }


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
