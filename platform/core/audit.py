"""The ledger: who did what to what, and why. Append-only; written in the transaction of what it records."""

from __future__ import annotations

from typing import Any

from django.db import connection

from core.models import AuditEvent
from core.requests import request_id
from core.roles import actor


class OutsideTransaction(RuntimeError):
    """A ledger line outside the transaction of its act could survive an act that never happened."""


def record(*, action: str, subject: str, by: Any, reason: str = "", data: dict[str, Any] | None = None) -> AuditEvent:
    """Append one event. `subject` is `kind:id`; `data` must hold nothing personal. Raises OutsideTransaction when the
    caller has no transaction open (security.md P21)."""
    if not connection.in_atomic_block:
        raise OutsideTransaction(action)
    return AuditEvent.objects.create(
        action=action, subject=subject, actor=actor(by), reason=reason, data=data or {}, request_id=request_id()
    )


def of(subject: str) -> list[AuditEvent]:
    """Everything the ledger holds about a subject, oldest first."""
    return list(AuditEvent.objects.filter(subject=subject).order_by("id"))
