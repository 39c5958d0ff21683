"""What became of an entry's hits (DS-10b): how many items it hit, and how often people then blocked (confirmed) or
released (overturned) them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.sql import run

DAYS = 90
MOST = 2_000  # findings of one entry that are counted; a page must not take longer for a wide entry
SAMPLES = 20


@dataclass(frozen=True)
class Figures:
    """Of one entry in the last DAYS days."""

    hits: int = 0
    confirmed: int = 0
    overturned: int = 0

    @property
    def many(self) -> bool:
        """Whether there may be more hits than were counted."""
        return self.hits >= MOST


def figures_of(feature_ids: list[int]) -> dict[int, Figures]:
    """The figures of each of these entries that hit anything; one query, of bounded cost."""
    if not feature_ids:
        return {}
    rows = run("moderation/feature_figures", {"ids": feature_ids, "days": DAYS, "most": MOST})
    return {pk: Figures(*counts) for pk, *counts in rows}


def samples_of(feature_id: int) -> list[dict[str, Any]]:
    """The items that an entry hit last."""
    names = ("id", "external_id", "state", "at", "outcome")
    rows = run("moderation/feature_samples", {"id": feature_id, "most": SAMPLES})
    return [dict(zip(names, row, strict=True)) for row in rows]
