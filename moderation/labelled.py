"""Labelled texts: lines of a file, or what people decided at the desk; and what a label means in our category tree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from governance.models import Category
from moderation.learning.ngrams import NONE
from moderation.learning.training import Row
from moderation.models import Decision
from moderation.policy_conditions import under

MAX_LINE = 2_000_000  # bytes
MAX_LABEL = 80


@dataclass(frozen=True)
class Meaning:
    """What a label is in our tree: the category and severity of a finding, and which categories' findings say it."""

    category: str
    severity: int
    says: tuple[str, ...]


# The labels of the public sets, beside the categories' own codes. `says` is why a plain finding counts as that label:
MEANINGS = {
    # Everything beneath fraud. Impersonation is a fraud only where something is asked for, so it isn't counted.
    "fraud": Meaning("fraud", 3, ("fraud",)),
    # What is promoted is itself unlawful: gambling, drugs, false papers, sexual services, weapons.
    "illegal_promotion": Meaning(
        "promotion.illegal_goods",
        3,
        ("promotion.illegal_goods", "gambling", "drugs", "documents", "sexual", "violence.weapons"),
    ),
    # A lawful thing promoted by spam.
    "spam_advert": Meaning("promotion.diversion", 2, ("promotion.diversion",)),
    # Insults of persons and of groups.
    "offensive": Meaning("harassment", 2, ("harassment", "public_interest.discrimination")),
}


def label_of(category: str | None, labels: Sequence[str]) -> str | None:
    """Which of these labels a finding of a category says; None where it says none of them. The narrowest wins."""
    if category is None:
        return None
    fitting = [
        (len(root), label)
        for label in labels
        for root in (MEANINGS[label].says if label in MEANINGS else (label,))
        if under(category, root)
    ]
    return max(fitting)[1] if fitting else None


def meaning_of(label: str, categories: Mapping[str, Category]) -> Meaning | None:
    """What a label becomes as a finding: one of MEANINGS, or a category of the tree; None for any other."""
    if label in MEANINGS:
        return MEANINGS[label]
    known = categories.get(label)
    return Meaning(label, max(2, min(3, known.severity)), (label,)) if known else None


@dataclass(frozen=True, slots=True)
class Line:
    """One labelled line: its number in the file, and whatever further fields it has."""

    number: int
    text: str
    label: str
    further: dict[str, Any] = field(default_factory=dict)


@dataclass
class File:
    """What a file holds: its lines, those that can't be used with the reason, and its digest."""

    name: str
    lines: list[Line]
    refused: list[tuple[int, str]]
    digest: str

    def rows(self) -> list[Row]:
        """The lines as rows to learn from. Each line is somebody of its own."""
        return [Row(line.text, line.label) for line in self.lines]


def read(path: Path, renamed: Mapping[str, str] | None = None) -> File:
    """Read {"text", "label"} lines. `renamed` gives labels other names. A line that is not understood is reported with
    its number and stops nothing. Raises OSError where there is no such file."""
    lines: list[Line] = []
    refused: list[tuple[int, str]] = []
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        for number, raw in enumerate(opened, 1):
            digest.update(raw)
            if not raw.strip():
                continue
            try:
                lines.append(_line(number, raw, renamed or {}))
            except ValueError as wrong:
                refused.append((number, str(wrong)))
    return File(path.name, lines, refused, digest.hexdigest())


def _line(number: int, raw: bytes, renamed: Mapping[str, str]) -> Line:
    if len(raw) > MAX_LINE:
        raise ValueError("the line is too long")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(said, dict):
        raise ValueError("not an object")
    text, label = said.pop("text", None), said.pop("label", None)
    if not isinstance(text, str) or not text.strip():
        raise ValueError('no "text"')
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise ValueError('no "label"')
    label = renamed.get(str(label), str(label)).strip()
    if not 0 < len(label) <= MAX_LABEL or not label.isprintable():
        raise ValueError('the "label" is not a name')
    return Line(number, text.replace("\x00", "�").encode("utf-8", "replace").decode(), label, said)


def from_decisions(
    *, since: datetime | None = None, renamed: Mapping[str, str] | None = None, most: int = 200_000
) -> list[Row]:
    """What people decided, newest first: a block is its category's root, a release is "none". Only the last decision of
    a person about an item counts, and only texts that came in as text. The owner is the user, so that no n-gram of few
    people's texts is kept."""
    made = Decision.objects.filter(by_kind="staff").select_related("submission__content").order_by("-decided_at", "-id")
    if since is not None:
        made = made.filter(decided_at__gte=since)
    rows: list[Row] = []
    seen = set()
    for decision in made[:most].iterator(chunk_size=1000):
        item = decision.submission
        text = item.content.output_text
        if item.pk in seen or not text.strip():
            continue
        seen.add(item.pk)
        label = NONE if decision.outcome == "release" else (decision.category_id or "").split(".")[0]
        label = (renamed or {}).get(label, label)
        if label:
            rows.append(Row(text, label, owner=str(item.user_id)))
    return rows
