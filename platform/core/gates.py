"""Gates: capabilities that a directive, or the provider itself, can close at once on every path (DS-21b)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
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
    """Close a capability for one service or, without one, for all. Refuses an unknown capability and a second closure
    of the same one."""
    check(by, "gate.operate")
    if capability not in Gate.CAPABILITIES:
        raise Refusal(
            "fields_invalid",
            _("Unknown capability."),
            errors=[field_error("capability", "unknown", _("Unknown capability."))],
        )
    with transaction.atomic():
        # Serialises two people closing the same gate: the second sees the first one's row.
        if (
            Gate.objects.select_for_update()
            .filter(service_id=service_id, capability=capability, opened_at=None)
            .exists()
        ):
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
    with transaction.atomic():
        gate = Gate.objects.select_for_update().filter(pk=gate_id, opened_at=None).first()
        if gate is None:
            raise Conflict("already_open", _("This gate is open already."))
        gate.opened_at = Now()
        gate.save(update_fields=["opened_at"])
        gate.refresh_from_db()
        audit.record(action="gate.opened", subject=f"gate:{gate.pk}", by=by, reason=reason)
        outbox.emit("gate.opened", subject=str(gate.pk), payload=_payload(gate), service_id=gate.service_id)
    return gate


def _payload(gate: Gate) -> dict[str, Any]:
    return {
        "id": str(gate.pk),
        "capability": gate.capability,
        "directive": gate.directive,
        "since": gate.since.isoformat(),
        "until": gate.until.isoformat() if gate.until else None,
        "opened_at": gate.opened_at.isoformat() if gate.opened_at else None,
    }


def overview(service_id: UUID) -> list[dict[str, Any]]:
    """Every capability with its closure in force, as the API answers it."""
    closures = {gate.capability: gate for gate in in_force(service_id).order_by("-since")}
    return [
        {
            "capability": capability,
            "closed": capability in closures,
            "since": closures[capability].since.isoformat() if capability in closures else None,
            "until": closures[capability].until.isoformat()
            if capability in closures and closures[capability].until
            else None,
            "directive": closures[capability].directive if capability in closures else None,
        }
        for capability in Gate.CAPABILITIES
    ]
