"""Tries at public forms, counted in the database: per link and per address, in the last hour. Neither is stored, only
keyed digests of them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import PublicAttempt
from core import crypto
from core.errors import Refusal
from core.options import option

HOUR = 3600


def count(*, purpose: str, value: str, most: str) -> None:
    """Count one try and refuse with 429 when it is one too many within an hour; `most` names the option. The try is
    written before it is judged, so that two at once can't both be the last that passes."""
    digest = crypto.digest(value, f"attempt.{purpose}")
    PublicAttempt.objects.create(digest=digest)
    recent = PublicAttempt.objects.filter(digest=digest, at__gt=Now() - timedelta(seconds=HOUR))
    if recent.count() > option(most):
        raise Refusal(
            "too_many_tries", _("That was tried too often. Please come back in an hour."), status=429, retry_after=HOUR
        )


def for_appeal(*, address: str, measure_id: UUID) -> None:
    """Count a try at an appeal, for the address and for the measure whatever link led to it; refuses with 429."""
    count(purpose="appeal.address", value=address, most="appeal_tries_per_address")
    count(purpose="appeal.measure", value=str(measure_id), most="appeal_tries")


def forget_old() -> int:
    """Remove tries that count no more; run by beat. Returns how many."""
    gone, _rows = PublicAttempt.objects.filter(at__lt=Now() - timedelta(days=1)).delete()
    return gone
