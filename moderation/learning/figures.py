"""Precision, recall, F1 and the confusion table, from what was right and what was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moderation.learning.ngrams import NONE

CURVE = [round(0.05 * step, 2) for step in range(1, 20)]


def ordered(labels: Sequence[str]) -> list[str]:
    """Labels by name, "none" last."""
    return sorted(set(labels), key=lambda label: (label == NONE, label))


def measure(right: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """`accuracy`, `labels` (precision, recall, F1, rows of each) and `confusion` ({right: {said: rows}})."""
    names = ordered([*right, *said])
    confusion = {name: dict.fromkeys(names, 0) for name in names}
    for truth, guess in zip(right, said, strict=True):
        confusion[truth][guess] += 1
    labels = {}
    for name in names:
        hit = confusion[name][name]
        precision, recall = (
            _share(hit, sum(row[name] for row in confusion.values())),
            _share(hit, sum(confusion[name].values())),
        )
        both = (precision or 0) + (recall or 0)
        labels[name] = {
            "precision": precision,
            "recall": recall,
            "f1": round(2 * (precision or 0) * (recall or 0) / both, 4) if both else None if recall is None else 0.0,
            "rows": sum(confusion[name].values()),
        }
    correct = sum(confusion[name][name] for name in names)
    return {"rows": len(right), "accuracy": _share(correct, len(right)), "labels": labels, "confusion": confusion}


def curve(right: Sequence[bool], probabilities: Sequence[float]) -> list[dict[str, Any]]:
    """What each threshold would give for one label: precision, recall and the share of all rows it would find."""
    found = []
    for threshold in CURVE:
        said = [p >= threshold for p in probabilities]
        hit = sum(1 for truth, guess in zip(right, said, strict=True) if truth and guess)
        found.append(
            {
                "threshold": threshold,
                "precision": _share(hit, sum(said)),
                "recall": _share(hit, sum(right)),
                "found": _share(sum(said), len(said)),
            }
        )
    return found


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
