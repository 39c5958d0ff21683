"""Words of looks at guarded data."""

from __future__ import annotations

from typing import Any

from django import template

from accounts.models import Look

register = template.Library()


@register.filter
def look_word(kind: str) -> Any:
    """A kind of look in words."""
    return Look.KINDS.get(kind, kind)
