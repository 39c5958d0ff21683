"""The codes of accounts in words, and a question about time that templates can't ask."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone

from accounts.models import Identity, Measure
from core.models import Gate

register = template.Library()


@register.filter
def method_word(code: str | None) -> Any:
    """How an identity is proved, in words; an unknown code as it is."""
    return Identity.METHODS.get(code or "", code or "")


@register.filter
def measure_word(code: str) -> Any:
    """A measure in words."""
    return Measure.KINDS.get(code, code)


@register.filter
def capability_word(code: str) -> Any:
    """What a gate closes, in words."""
    return Gate.CAPABILITIES.get(code, code)


@register.filter
def is_past(moment: datetime | None) -> bool:
    """Whether a moment has come; one that was never set has not."""
    return moment is not None and moment <= timezone.now()
