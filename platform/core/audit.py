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
    data = dict(data or {})
    if emergency := getattr(by, "emergency", None):
        data["emergency"] = str(emergency)  # what was done behind broken glass is found by this afterwards
    return AuditEvent.objects.create(
        action=action, subject=subject, actor=actor(by), reason=reason, data=data, request_id=request_id()
    )


def of(subject: str) -> list[AuditEvent]:
    """Everything the ledger holds about a subject, oldest first."""
    return list(AuditEvent.objects.filter(subject=subject).order_by("id"))


def latest(subject: str, *, most: int, before: int | None = None) -> list[AuditEvent]:
    """The newest events about a subject, newest first; `before` the id of the oldest one that was shown already. Reads
    no more than it answers, however long the history is."""
    events = AuditEvent.objects.filter(subject=subject)
    if before is not None:
        events = events.filter(id__lt=before)
    return list(events.order_by("-id")[:most])
