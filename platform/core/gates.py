"""Gates: capabilities that a directive, or the provider itself, can close at once on every path (DS-21b)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import audit, outbox
from core.errors import Conflict, Refusal, field_error
from core.models import Gate
from core.roles import check


def in_force(service_id: UUID | None = None) -> QuerySet[Gate]:
    """Closures in force now by the database's clock: for one service (with those for all), or every one."""
    found = Gate.objects.filter(opened_at=None, since__lte=Now()).filter(Q(until=None) | Q(until__gt=Now()))
    return found if service_id is None else found.filter(Q(service_id=service_id) | Q(service_id=None))


def closed(service_id: UUID, *capabilities: str) -> Gate | None:
    """The closure that stops any of these capabilities for a service; `service` stops all of them."""
    return in_force(service_id).filter(capability__in=[*capabilities, Gate.SERVICE]).order_by("since").first()


def gate_closed(capability: str, directive: str) -> Refusal:
    """The refusal that names the closed gate and its directive (503, contract.md)."""
    return Refusal(
        "gate_closed",
        _("This is closed for now by order %(directive)s.") % {"directive": directive or "-"},
        status=503,
        retry_after=300,
        extra={"capability": capability, "directive": directive},
    )


def close_gate(
    *, capability: str, by: Any, directive: str, service_id: UUID | None = None, until: datetime | None = None
) -> Gate:
    """Close a capability for one service or, without one, for all. Refuses an unknown capability, an end that is
    over already, and a second closure of the same one."""
    check(by, "gate.operate")
    if capability not in Gate.CAPABILITIES:
        raise Refusal(
            "fields_invalid",
            _("Unknown capability."),
            errors=[field_error("capability", "unknown", _("Unknown capability."))],
        )
    if until and until <= timezone.now():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("until", "past", _("The end must lie ahead."))],
        )
    try:
        return _close(capability, service_id, directive, until, by)
    except IntegrityError as taken:
        # Two people closed it at once: neither saw a row to wait for, and the constraint let one of them through.
        raise Conflict("already_closed", _("This gate is closed already.")) from taken


def _close(capability: str, service_id: UUID | None, directive: str, until: datetime | None, by: Any) -> Gate:
    with transaction.atomic():
        earlier = (
            Gate.objects.select_for_update()
            .filter(service_id=service_id, capability=capability, opened_at=None)
            .first()
        )
        if earlier and earlier.until and earlier.until <= timezone.now():
            _open(earlier, action="gate.ended", by="system:clock")
        elif earlier:
            raise Conflict("already_closed", _("This gate is closed already."))
        gate = Gate.objects.create(capability=capability, service_id=service_id, directive=directive, until=until)
        gate.refresh_from_db()
        audit.record(
            action="gate.closed", subject=f"gate:{gate.pk}", by=by, reason=directive, data={"capability": capability}
        )
        outbox.emit("gate.closed", subject=str(gate.pk), payload=_payload(gate), service_id=service_id)
    return gate


def open_gate(*, gate_id: UUID, by: Any, reason: str) -> Gate:
    """Open a closed gate again: a second recorded decision (DS-21b). Held items are evaluated again afterwards."""
    check(by, "gate.operate")
    if not reason.strip():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("reason", "required", _("Say why it is opened."))],
        )
    with transaction.atomic():
        gate = Gate.objects.select_for_update().filter(pk=gate_id, opened_at=None).first()
        if gate is None:
            raise Conflict("already_open", _("This gate is open already."))
        _open(gate, action="gate.opened", by=by, reason=reason)
    return gate


def end_due() -> int:
    """Open the gates whose time is over, by the database's clock; run by beat. They hold nobody back any more, but
    items that wait are only evaluated again when somebody says so. Returns how many there were."""
    ended = 0
    for pk in list(Gate.objects.filter(opened_at=None, until__lte=Now()).values_list("pk", flat=True)[:100]):
        with transaction.atomic():
            gate = Gate.objects.select_for_update().filter(pk=pk, opened_at=None).first()
            if gate is not None:
                _open(gate, action="gate.ended", by="system:clock")
                ended += 1
    return ended


def _open(gate: Gate, *, action: str, by: Any, reason: str = "") -> None:
    gate.opened_at = Now()
    gate.save(update_fields=["opened_at"])
    gate.refresh_from_db()
    audit.record(action=action, subject=f"gate:{gate.pk}", by=by, reason=reason)
    outbox.emit("gate.opened", subject=str(gate.pk), payload=_payload(gate), service_id=gate.service_id)


def _payload(gate: Gate) -> dict[str, Any]:
    return {
        "id": str(gate.pk),
        "capability": gate.capability,
        "directive": gate.directive,
        "since": gate.since.isoformat(),
        "until": gate.until.isoformat() if gate.until else None,
        "opened_at": gate.opened_at.isoformat() if gate.opened_at else None,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def overview(service_id: UUID) -> list[dict[str, Any]]:
    """Every capability with its closure in force, as the API answers it."""
    closures = {gate.capability: gate for gate in in_force(service_id).order_by("-since")}
    return [
        {
            "capability": capability,
            "closed": capability in closures,
            "since": closures[capability].since.isoformat() if capability in closures else None,
            "until": _iso(closures[capability].until) if capability in closures else None,
            "directive": closures[capability].directive if capability in closures else None,
        }
        for capability in Gate.CAPABILITIES
    ]
