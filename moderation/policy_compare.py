"""What changed between two versions of a policy: rule by rule, condition by condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

_PARTS = ("name", "name_en", "then", "priority", "queue")
_DEFAULTS: dict[str, Any] = {"priority": 0, "queue": "review", "name_en": ""}


@dataclass(frozen=True)
class Change:
    """One part or condition of a rule: before and after; None where it is not there."""

    name: str
    before: Any
    after: Any


@dataclass
class Compared:
    """A rule in both versions: `same`, `added`, `removed` or `changed`; where it stands, and what is different."""

    id: str
    what: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    place_before: int | None
    place_after: int | None
    moved: bool = False
    parts: list[Change] = field(default_factory=list)
    conditions: list[Change] = field(default_factory=list)


def compare(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Compared]:
    """Every rule of either version in the order of the newer one, removed rules where they stood. A rule is known by its
    id; it has moved when it changed its place among those that both versions have."""
    old = {rule["id"]: (place, rule) for place, rule in enumerate(before, 1)}
    new = {rule["id"]: (place, rule) for place, rule in enumerate(after, 1)}
    common_old = [name for name in old if name in new]
    common_new = [name for name in new if name in old]
    blocks = SequenceMatcher(None, common_old, common_new, autojunk=False).get_matching_blocks()
    kept = {common_new[place] for block in blocks for place in range(block.b, block.b + block.size)}
    rows = [_one(name, old.get(name), new.get(name), moved=name in old and name not in kept) for name in new]
    for name, (place, rule) in old.items():
        if name not in new:
            at = next((i for i, row in enumerate(rows) if (row.place_before or 0) > place), len(rows))
            rows.insert(at, _one(name, (place, rule), None, moved=False))
    return rows


def _one(
    name: str,
    old: tuple[int, Mapping[str, Any]] | None,
    new: tuple[int, Mapping[str, Any]] | None,
    *,
    moved: bool,
) -> Compared:
    row = Compared(
        name,
        "same",
        old[1] if old else None,
        new[1] if new else None,
        old[0] if old else None,
        new[0] if new else None,
        moved,
    )
    if old is None or new is None:
        row.what = "added" if old is None else "removed"
        return row
    for part in _PARTS:
        was, now = (rule[1].get(part, _DEFAULTS.get(part)) for rule in (old, new))
        if was != now:
            row.parts.append(Change(part, was, now))
    was_when, now_when = old[1].get("when", {}), new[1].get("when", {})
    for condition in dict.fromkeys([*was_when, *now_when]):
        if _plain(was_when.get(condition)) != _plain(now_when.get(condition)):
            row.conditions.append(Change(condition, was_when.get(condition), now_when.get(condition)))
    if row.parts or row.conditions:
        row.what = "changed"
    return row


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value
