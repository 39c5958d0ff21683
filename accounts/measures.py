"""Measures on accounts (DS-10e): warn, limit functions, suspend, close. The account is as restricted as its strictest
measure in force; ending one re-computes, never "activates" (contract.md ruling 10)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import ladder, notices
from accounts.models import Measure, User
from accounts.states import MEASURE
from core import audit, outbox
from core.calendar import add_working_days
from core.errors import Conflict, Forbidden, NotFound, Refusal, field_error
from core.ids import uuid7
from core.options import option
from core.roles import check
from core.states import transition

_STRICTNESS = {"warn": "active", "limit": "limited", "suspend": "suspended", "close": "closed"}
_CAUSE = re.compile(r"[a-z_]{1,30}:[A-Za-z0-9-]{1,48}\Z")
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
    until_lifted: bool | None = None,
    severity: int | None = None,
    cause: str = "",
    remedy: str = "",
    material: str = "",
    recommended: str = "",
    measure_id: UUID | None = None,
) -> Measure:
    """Put a measure on an account and tell the user (DS-10e, GEN-12).

    `until_lifted` is for people's forms: a suspension then needs an end or this as an explicit choice; code that doesn't
    name it means "until lifted" when it gives no end. `severity` (1 to 4) has the ladder say what it recommends, which is
    kept beside what was chosen, unless the caller showed another recommendation. `cause` is what it came from
    ("submission:<id>"). `measure_id` comes from the form: the same form twice is one measure.

    Refuses (422) without a ground, a limit without functions, a suspension without either end, an end that is over; 403
    without the grant, and for every closure that no person asks for.
    """
    if kind == "close" and isinstance(by, str):
        raise Forbidden("never_automatic", _("Only a person closes an account."), extra={"permission": "measure.close"})
    check(by, "measure.apply")
    if kind == "close":
        check(by, "measure.close")
    _refuse_what_is_wrong(kind, ground, functions, ends_at, until_lifted, severity, cause)
    # A second at a day's turn between this clock and the database's moves the limit by nothing: it is the end of a day.
    limit = add_working_days(timezone.now(), int(option("appeal_days")))
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        if measure_id and (sent := Measure.objects.filter(pk=measure_id).first()):
            return _sent_before(sent, locked)
        if severity and not recommended:
            recommended = ladder.for_severity(user=locked, severity=severity).kind
        measure = Measure.objects.create(
            id=measure_id or uuid7(),
            user=locked,
            kind=kind,
            ground=ground.strip(),
            clause=clause.strip(),
            functions=(functions or []) if kind == "limit" else [],
            ends_at=ends_at,
            severity=severity,
            cause=cause,
            remedy=remedy.strip(),
            material=material.strip(),
            recommended=recommended,
            appeal_until=limit,
            applied_by=by,
        )
        audit.record(
            action="measure.applied",
            subject=f"user:{locked.pk}",
            by=by,
            reason=measure.ground,
            data={"measure": str(measure.pk), "kind": kind, "severity": severity, "recommended": recommended},
        )
        recompute(locked, by=by)
        outbox.emit(
            "measure.applied", subject=str(locked.pk), payload=representation(measure), service_id=locked.service_id
        )
        notices.tell(user=locked, kind="measure_applied", measure=measure)
    user.account_status = locked.account_status
    return measure


def _refuse_what_is_wrong(
    kind: str,
    ground: str,
    functions: list[str] | None,
    ends_at: datetime | None,
    until_lifted: bool | None,
    severity: int | None,
    cause: str,
) -> None:
    if kind not in Measure.KINDS:
        raise _invalid("kind", "unknown", _("A measure is a warning, a limit, a suspension or a closure."))
    if not ground.strip():
        raise _invalid("ground", "required", _("Say why: the user will read it."))
    if kind == "limit" and not functions:
        raise _invalid("functions", "required", _("Say which functions are limited."))
    if kind != "limit" and functions:
        raise _invalid("functions", "not_for_this_kind", _("Only a limit names functions."))
    if ends_at and ends_at <= timezone.now():
        raise _invalid("ends_at", "past", _("The end must lie ahead."))
    if ends_at and until_lifted:
        raise _invalid("until_lifted", "contradicts", _("Either until a day, or until somebody lifts it."))
    if kind == "suspend" and ends_at is None and until_lifted is False:
        raise _invalid("ends_at", "required", _("Say until when, or that it holds until somebody lifts it."))
    if severity is not None and severity not in ladder.STEPS:
        raise _invalid("severity", "range", _("Severity is 1 to 4."))
    if cause and not _CAUSE.match(cause):
        raise _invalid("cause", "invalid", _("The cause is written as kind:id."))


def _sent_before(measure: Measure, user: User) -> Measure:
    if measure.user_id != user.pk:
        raise Conflict("measure_taken", _("This form was already used for another account."))
    return measure


def lift(*, measure_id: UUID, reason: str, by: Any) -> Measure:
    """End a measure at once; the account becomes what its other measures make of it."""
    check(by, "measure.lift")
    if not reason.strip():
        raise _invalid("reason", "required", _("Say why it is lifted."))
    with transaction.atomic():
        measure = locked(measure_id)
        measure.lifted_at, measure.lifted_by, measure.lift_reason = Now(), by, reason.strip()
        transition(MEASURE, measure, "lift", by=by, reason=reason, also=["lifted_at", "lifted_by", "lift_reason"])
        _ended(measure, by)
        notices.tell(user=measure.user, kind="measure_lifted", measure=measure, reason=measure.lift_reason)
    return measure


def overturn(*, measure: Measure, reason: str, by: Any) -> Measure:
    """Undo a measure because an appeal against it succeeded: one in force is lifted at once; one that ended before keeps
    its dates and counts no more. For `accounts.appeals` alone, which asked the grant and holds `locked()`."""
    before = measure.state
    measure.overturned_at = Now()
    changed = ["overturned_at"]
    if before == "in_force":
        measure.lifted_at, measure.lifted_by, measure.lift_reason = Now(), by, reason
        changed += ["lifted_at", "lifted_by", "lift_reason"]
    transition(MEASURE, measure, "overturn", by=by, reason=reason, also=changed)
    if before == "in_force":
        _ended(measure, by)
    else:
        audit.record(action="measure.overturned", subject=f"user:{measure.user_id}", by=by, data={"kind": measure.kind})
    measure.refresh_from_db(fields=["overturned_at"])
    return measure


def expire_due() -> int:
    """End measures whose time is over, by the database's clock; run by beat. Returns how many ended."""
    ids = list(Measure.objects.filter(state="in_force", ends_at__lte=Now()).values_list("pk", flat=True)[:500])
    ended = 0
    for pk in ids:
        with transaction.atomic():
            measure = locked(pk)
            if measure.state == "in_force":
                transition(MEASURE, measure, "expire", by="system:clock")
                _ended(measure, "system:clock")
                ended += 1
    return ended


def locked(measure_id: UUID) -> Measure:
    """The measure with its user, both locked, the user first as everywhere; refuses with 404. Needs a transaction."""
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
    """Set the account status from the strictest measure in force; a frozen account is closed whatever its measures say
    (GEN-09). The caller holds the user's row."""
    kinds = [] if user.frozen_at else [m.kind for m in in_force(user)]
    status = max((_STRICTNESS[kind] for kind in kinds), key=_ORDER.index, default="active")
    if user.frozen_at:
        status = "closed"
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
        "starts_at": _utc(measure.starts_at),
        "ends_at": _utc(measure.ends_at),
        "remedy": measure.remedy,
        "material": measure.material,
        "appeal_until": _utc(measure.appeal_until),
        "lifted_at": _utc(measure.lifted_at),
    }


def _utc(moment: Any) -> str | None:
    return moment.astimezone(UTC).isoformat() if isinstance(moment, datetime) else None


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
