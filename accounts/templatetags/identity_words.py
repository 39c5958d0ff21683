"""The codes of identities, their pictures and guardians in words."""

from __future__ import annotations

from typing import Any

from django import template

from accounts import documents, guardians
from accounts.models import Identity

register = template.Library()


@register.filter
def document_word(code: str) -> Any:
    """Which passport or permit, in words."""
    return Identity.DOCUMENT_KINDS.get(code, code)


@register.filter
def picture_word(code: str) -> Any:
    """What a picture shows, in words."""
    return documents.KINDS.get(code, code)


@register.filter
def relation_word(code: str) -> Any:
    """What a guardian is to the child, in words."""
    return guardians.RELATIONS.get(code, code)
