"""Alarms: what people must look at now. Shown on every staff page until somebody says that they saw it, and told by
e-mail where the installation has a mail server."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import audit, outbox
from core.errors import NotFound
from core.models import Alarm
from core.roles import actor, check

log = structlog.get_logger("alarms")

KINDS = {
    "honey_touched": _("A honey record was touched"),
    "glass_broken": _("Somebody took emergency rights"),
    "verifier_lies": _("The verification service gave an answer that can't be true"),
    "reveals_many": _("Somebody reached the day's limit of reveals"),
    "searches_many": _("Somebody searched for numbers faster than a person does"),
    "key_exposed": _("An API key was used from a network that isn't its own"),
    "guessing": _("Somebody is guessing passwords or keys"),
    "feature_braked": _("The brake stopped a new entry of the feature library"),
    "library_stuck": _("A worker can't take the newest version of the feature library"),
}


def ring(*, kind: str, subject: str, by: Any, detail: str = "") -> Alarm:
    """Raise an alarm in the caller's transaction, with its line in the ledger. `detail` holds nothing personal. Raises
    KeyError for an unknown kind."""
    KINDS[kind]
    with transaction.atomic():
        alarm = Alarm.objects.create(kind=kind, subject=subject, actor=actor(by), detail=detail[:300])
        audit.record(action=f"alarm.{kind}", subject=subject or "house", by=by, data={"detail": detail[:300]})
        outbox.emit("internal.alarm", subject=str(alarm.pk), payload={})
    log.error("alarm", kind=kind, subject=subject)
    return alarm


def saw(*, alarm_id: UUID, by: Any) -> Alarm:
    """Somebody looked: the alarm leaves the pages and keeps who and when."""
    check(by, "alarm.see")
    with transaction.atomic():
        alarm = Alarm.objects.select_for_update().filter(pk=alarm_id).first()
        if alarm is None:
            raise NotFound("not_found", _("There is no such alarm."))
        if alarm.seen_at is None:
            alarm.seen_by, alarm.seen_at = actor(by), Now()
            alarm.save(update_fields=["seen_by", "seen_at"])
            audit.record(action="alarm.seen", subject=alarm.subject or "house", by=by, data={"kind": alarm.kind})
    return alarm


def unseen() -> list[Alarm]:
    """Alarms that nobody has looked at, newest first (20 at most)."""
    return list(Alarm.objects.filter(seen_at=None).order_by("-raised_at")[:20])
