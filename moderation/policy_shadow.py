"""What a policy in shadow would have done, beside what the live one did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from core.sql import run

MOST = 20_000  # the newest verdicts that are counted
LOOKED_INTO = 2_000  # the newest that differ, by category


@dataclass(frozen=True)
class Differing:
    """Items of one category that the shadow would have treated otherwise, the newest as samples."""

    live: str
    shadow: str
    category: str
    items: int
    samples: list[UUID]


@dataclass
class Figures:
    """The newest verdicts of a policy in shadow."""

    items: int = 0
    same: int = 0
    other_rule: int = 0
    since: datetime | None = None
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)  # (live, shadow) -> items
    differing: list[Differing] = field(default_factory=list)

    @property
    def differ(self) -> int:
        """Items with another disposition."""
        return self.items - self.same


def figures(number: int) -> Figures:
    """The figures of a version, whether it is still in shadow or was. One query, bounded."""
    made = Figures()
    for what, live, shadow, category, items, other_rule, since, samples in run(
        "moderation/shadow_figures", {"policy": number, "most": MOST, "looked_into": LOOKED_INTO}
    ):
        if what == "category":
            made.differing.append(Differing(live, shadow, category, items, _ids(samples)))
            continue
        made.items += items
        made.pairs[live, shadow] = items
        made.since = min(filter(None, (made.since, since)))
        if live == shadow:
            made.same += items
            made.other_rule += other_rule
    return made


def _ids(samples: Any) -> list[UUID]:
    return [one if isinstance(one, UUID) else UUID(one) for one in samples or []]
