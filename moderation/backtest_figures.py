"""The figures of a back-test: counted item by item, added up over parts, and read as tables.

Everything is kept as sums of small counters, so that a part done again counts the same and parts add up in any order.
Three things are known of each item: what the policy said *then*, what *people* decided ("-": nobody did), and what it
would be *with* the target; beside them what today's policy, library and models say *without* it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import UUID

from moderation.policy import BLOCK, RELEASE, REVIEW

DISPOSITIONS = (RELEASE, REVIEW, BLOCK)
NOBODY = "-"
SAMPLES = 20  # items to open for each kind of outcome
PAIRS = 50  # lines of the table of categories that people and the target gave
# How items stood before the trial: what people decided, else what the policy said.
STANDINGS = ("people_release", "people_block", "policy_release", "waiting", "policy_block")
_STANDING = {RELEASE: "policy_release", REVIEW: "waiting", BLOCK: "policy_block"}
CHANGES = ("held", "blocked", "released")


@dataclass(slots=True)
class Outcome:
    """What is known of one item."""

    id: UUID
    then: str
    people: str
    with_it: str
    without: str
    rule: str = "-"
    category: str = ""  # under which the target would hold it, else it was held
    people_category: str = ""
    hit: bool = False  # by the entry or the model that is tried
    expected: bool = False  # people blocked it under what the entry or the model is for
    places: int = 0
    failed: bool = False
    checks: list[str] = field(default_factory=list)

    def standing(self) -> str:
        """How it stood before the trial."""
        return f"people_{self.people}" if self.people != NOBODY else _STANDING[self.then]


def change(then: str, now: str) -> str:
    """What becomes of an item that was `then` and would be `now`: held, blocked, released, or "" for the same."""
    return "" if then == now else {REVIEW: "held", BLOCK: "blocked", RELEASE: "released"}[now]


def agrees(people: str, now: str) -> bool | None:
    """Whether a disposition is what a person decided; None where nobody did, or where a person would look again."""
    return None if people == NOBODY or now == REVIEW else people == now


def count(outcomes: Sequence[Outcome], *, of_hits: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The figures and samples of some items. `of_hits`: an entry or a model is tried, so hits and misses count."""
    cube: Counter[str] = Counter()
    effect: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    categories: dict[str, Counter[str]] = {}
    samples: dict[str, list[dict[str, Any]]] = {}
    missed = 0
    for one in outcomes:
        cube[f"{one.then}/{one.people}/{one.with_it}"] += 1
        effect[f"{one.without}/{one.with_it}"] += 1
        rules[one.rule] += 1
        cells = _cells(one, of_hits=of_hits)
        for cell in cells:
            samples.setdefault(cell, []).append(_sample(one, cell))
        if one.hit:
            hits[one.standing()] += 1
        elif one.expected:
            missed += 1
        if one.people == BLOCK:
            pairs[f"{one.people_category}/{one.category if one.with_it != RELEASE else ''}"] += 1
        _by_category(categories.setdefault(one.category or one.people_category, Counter()), one)
    figures = {
        "items": len(outcomes),
        "cube": dict(cube),
        "effect": dict(effect),
        "rules": dict(rules),
        "hits": dict(hits),
        "missed": missed,
        "places": sum(one.places for one in outcomes),
        "failed": sum(one.failed for one in outcomes),
        "pairs": dict(pairs),
        "categories": {code: dict(counts) for code, counts in categories.items()},
    }
    return figures, [one for cell in samples.values() for one in _fewest(cell)]


def _cells(one: Outcome, *, of_hits: bool) -> list[str]:
    cells = []
    if one.then != one.with_it:
        cells.append(f"then:{one.then}>{one.with_it}")
    if agrees(one.people, one.with_it) is False:
        cells.append(f"people:{one.people}>{one.with_it}")
    if one.without != one.with_it:
        cells.append(f"effect:{one.without}>{one.with_it}")
    if of_hits and one.hit:
        cells.append(f"hit:{one.standing()}")
    elif of_hits and one.expected:
        cells.append("missed")
    return cells


def _sample(one: Outcome, cell: str) -> dict[str, Any]:
    return {
        "cell": cell,
        "id": str(one.id),
        "then": one.then,
        "people": one.people,
        "with": one.with_it,
        "without": one.without,
        "rule": one.rule,
        "category": one.category,
        "places": one.places,
        "checks": one.checks,
    }


def _by_category(counts: Counter[str], one: Outcome) -> None:
    counts["items"] += 1
    if became := change(one.then, one.with_it):
        counts[became] += 1
    agreed = agrees(one.people, one.with_it)
    if agreed is not None:
        counts["right" if agreed else "wrong"] += 1
    counts["hits"] += one.hit


def _fewest(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # By a digest of the id: a choice from all of them that is the same however the items were divided.
    return sorted(samples, key=lambda one: blake2b(one["id"].encode(), digest_size=8).digest())[:SAMPLES]


def merge(figures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums of figures of several parts."""
    total: dict[str, Any] = {}
    for part in figures:
        _add(total, part)
    return total


def _add(total: dict[str, Any], part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(name, {}), value)
        else:
            total[name] = total.get(name, 0) + value


def merge_samples(parts: Iterable[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """At most SAMPLES items of each kind of outcome, the same ones in whatever order the parts come."""
    cells: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        for one in part:
            cells.setdefault(one["cell"], []).append(one)
    return [one for cell in sorted(cells) for one in _fewest(cells[cell])]


# Reading them


def matrix(figures: Mapping[str, Any], what: str) -> dict[str, dict[str, int]]:
    """Rows × dispositions with the target. `what`: "then" (what the policy said), "standing" (what people decided, else
    what the policy said) or "effect" (what today says without the target)."""
    rows = STANDINGS if what == "standing" else DISPOSITIONS
    table = {row: dict.fromkeys(DISPOSITIONS, 0) for row in rows}
    if what == "effect":
        for key, items in figures.get("effect", {}).items():
            without, with_it = key.split("/")
            table[without][with_it] += items
        return table
    for key, items in figures.get("cube", {}).items():
        then, people, with_it = key.split("/")
        row = then if what == "then" else (f"people_{people}" if people != NOBODY else _STANDING[then])
        table[row][with_it] += items
    return table


def changes(figures: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Newly held, blocked and released items against what the policy said then: how many, and of those that a person
    decided, how many a person would be right about: `right`, `wrong`, and `again` (a person looks again)."""
    found = {name: Counter[str]() for name in CHANGES}
    for key, items in figures.get("cube", {}).items():
        then, people, with_it = key.split("/")
        became = change(then, with_it)
        if not became:
            continue
        found[became]["items"] += items
        if people == NOBODY:
            found[became]["nobody"] += items
        else:
            agreed = agrees(people, with_it)
            found[became]["again" if agreed is None else "right" if agreed else "wrong"] += items
    return found


def against_people(figures: Mapping[str, Any]) -> Counter[str]:
    """Over all items that a person decided: `right`, `wrong`, `again`, and `items`."""
    total: Counter[str] = Counter()
    for key, items in figures.get("cube", {}).items():
        _then, people, with_it = key.split("/")
        if people != NOBODY:
            agreed = agrees(people, with_it)
            total["again" if agreed is None else "right" if agreed else "wrong"] += items
            total["items"] += items
    return total


def hits(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What an entry or a model found: by how the items stood, its share of all items, and, of the hits that a person
    decided, the share that they blocked (None where nobody decided one)."""
    found = {standing: figures.get("hits", {}).get(standing, 0) for standing in STANDINGS}
    all_hits, items = sum(found.values()), figures.get("items", 0)
    true, false = found["people_block"], found["people_release"]
    missed = figures.get("missed", 0)
    return {
        **found,
        "items": all_hits,
        "share": all_hits / items if items else 0.0,
        "precision": true / (true + false) if true + false else None,
        "missed": missed,
        "recall": true / (true + missed) if true + missed else None,
    }


def pairs(figures: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """What people blocked: the category they gave, the one the target would ("": it would release), how many; the most
    frequent first."""
    split = [(*key.split("/"), items) for key, items in figures.get("pairs", {}).items()]
    return sorted(split, key=lambda one: (-one[2], one[0], one[1]))[:PAIRS]  # type: ignore[return-value]
