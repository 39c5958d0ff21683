"""Identifiers."""

from __future__ import annotations

import uuid

from uuid_utils.compat import uuid7 as _uuid7


def uuid7() -> uuid.UUID:
    """A time-ordered identifier (RFC 9562), so that new rows land at one end of an index."""
    return _uuid7()


def parse_uuid(text: str) -> uuid.UUID | None:
    """The UUID that a caller wrote, or None when it is not one (a stranger's id is "not found", not an error)."""
    try:
        return uuid.UUID(text)
    except (ValueError, AttributeError, TypeError):
        return None
