"""Buttons by grant: `{% if user|may:"measure.lift" %}`, the same rule that the command asks."""

from __future__ import annotations

from typing import Any

from django import template

from core import roles

register = template.Library()


@register.filter
def may(person: Any, permission: str) -> bool:
    """Whether this person's role carries the permission."""
    return roles.may(person, permission)
