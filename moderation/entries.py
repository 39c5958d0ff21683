"""An entry of the feature library as workers hold it, and what a match with one becomes as findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from moderation.policy import Found


@dataclass(frozen=True, slots=True)
class Entry:
    """One approved entry, as a finding names it. `value`, `data` and `options`: see `moderation.models.Feature`."""

    id: int
    version: int
    value: str
    category: str
    severity: int
    kind: str = "term"
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    data: Mapping[str, Any] = field(default_factory=dict, compare=False)
    allow: bool = False
    rollout: int = 100


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that matched: where in the text (or boxes in the picture), how far from it (0: exactly), how sure."""

    entry: Entry
    spans: Sequence[tuple[int, int]] = ()
    distance: float | None = None
    score: float = 1.0
    boxes: Sequence[Sequence[int]] = ()
    detail: str = ""


def acts_on(entry: Entry, item: UUID | None) -> bool:
    """Whether an entry that is being rolled out acts on this item: the same answer for the same item, always; an entry
    that grows from 10 to 20 per cent keeps the items it had."""
    if entry.rollout >= 100 or item is None:
        return True
    return (item.int ^ (entry.id * 0x9E3779B97F4A7C15)) % 100 < entry.rollout


def findings(matches: Iterable[Match], *, check: str, side: str, item: UUID | None, field: str = "text") -> list[Found]:
    """What matches become: one finding an entry. A match inside a match of an allow-list entry is cancelled, in a file
    any match of one cancels all; entries in roll-out act on their share of items only (DS-10b)."""
    acting = [match for match in matches if acts_on(match.entry, item)]
    allowed = [match for match in acting if match.entry.allow]
    found = []
    for match in acting:
        if match.entry.allow:
            continue
        spans, boxes = list(match.spans), list(match.boxes)
        if allowed:
            free = [
                place
                for place, span in enumerate(spans)
                if not any(a <= span[0] and span[1] <= b for one in allowed for a, b in one.spans)
            ]
            if (spans and not free) or (not spans and any(not one.spans for one in allowed)):
                continue
            boxes = [boxes[place] for place in free] if len(boxes) == len(spans) else boxes
            spans = [spans[place] for place in free]
        found.append(
            Found(
                side,
                check,
                match.entry.category,
                match.entry.severity,
                spans=[list(span) for span in spans],
                feature_id=match.entry.id,
                feature_version=match.entry.version,
                score=match.score,
                distance=match.distance,
                boxes=[list(box) for box in boxes],
                detail=match.detail,
                field=field,
            )
        )
    return found
