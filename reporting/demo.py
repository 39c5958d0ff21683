"""This app's part of the demonstration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from core import jobs
from core.calendar import SHANGHAI
from reporting import bundles
from reporting.models import Bundle
from reporting.periods import start_of


def fill(service: Any, people: dict[str, Any]) -> None:
    """A bundle of the decisions of the last seven days, today among them, made at once."""
    if Bundle.objects.filter(scheduled_for=None).exists():
        return
    today = timezone.now().astimezone(SHANGHAI).date()
    bundles.request_bundle(
        name="decisions",
        start=start_of(today - timedelta(days=6)),
        end=start_of(today + timedelta(days=1)),
        by=people["compliance_officer"],
    )
    jobs.work("courier")
