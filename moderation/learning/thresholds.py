"""From sums to decisions: a probability for each label, and from which probability on a text is that label.

All is chosen on cross-validated sums, which no row had a part in that it is chosen with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

SURE_PRECISION = 0.9
_LEAST, _MOST = 0.01, 0.99
_TRIED = 60  # thresholds of a label in a round
_ROUNDS = 3

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Decided:
    """See `moderation.learning.ngrams.Model`."""

    slope: Floats
    intercept: Floats
    thresholds: Floats
    sure: Floats


def choose(sums: Doubles, right: NDArray[np.str_], named: Sequence[str]) -> Decided:
    """The curves (Platt), the thresholds that together give the best mean F1 of the labels, and for each label the mark
    from which SURE_PRECISION of what it is found in is right (the threshold itself where that is so already)."""
    slope, intercept = np.zeros(len(named)), np.zeros(len(named))
    for at, label in enumerate(named):
        curve = LogisticRegression(C=1e4).fit(sums[:, [at]], right == label)
        slope[at], intercept[at] = curve.coef_[0, 0], curve.intercept_[0]
    logits = sums * slope + intercept
    is_label = np.stack([right == label for label in named], axis=1)
    cuts = np.array([best_f1(is_label[:, at], logits[:, at])[1] for at in range(len(named))])
    cuts = _together(logits, is_label, _bounded(cuts))
    sure = [max(cuts[at], _mark(is_label[:, at], logits[:, at])) for at in range(len(named))]
    return Decided(
        slope.astype(np.float32),
        intercept.astype(np.float32),
        _probability(cuts).astype(np.float32),
        _probability(_bounded(np.array(sure))).astype(np.float32),
    )


def _together(logits: Doubles, is_label: Bools, cuts: Doubles) -> Doubles:
    # A text is the label that is furthest over its cut, so that each cut moves what the others find: one after another
    # is moved to where the mean F1 is best, until none moves.
    for _round in range(_ROUNDS):
        before = cuts.copy()
        for at in range(len(cuts)):
            tried = np.unique(np.append(np.quantile(logits[:, at], np.linspace(0, 1, _TRIED)), cuts[at]))
            tried = np.unique(_bounded(np.append(tried, cuts[at] + np.linspace(-2, 2, 41))))
            scores = []
            for cut in tried:
                moved = cuts.copy()
                moved[at] = cut
                scores.append(_mean_f1(logits - moved, is_label))
            best = int(np.argmax(scores))
            if scores[best] > _mean_f1(logits - cuts, is_label) + 1e-9:
                cuts = cuts.copy()
                cuts[at] = tried[best]
        if (cuts == before).all():
            break
    return cuts


def _mean_f1(over: Doubles, is_label: Bools) -> float:
    best = over.argmax(axis=1)
    said = np.zeros_like(is_label)
    said[np.arange(len(best)), best] = over.max(axis=1) >= 0
    hits = (said & is_label).sum(axis=0)
    return float((2 * hits / np.maximum(said.sum(axis=0) + is_label.sum(axis=0), 1)).mean())


def _mark(is_label: Bools, logits: Doubles) -> float:
    order = np.argsort(-logits, kind="stable")
    precision = np.cumsum(is_label[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(precision >= SURE_PRECISION)
    return float(logits[order[enough[-1]]] if len(enough) else logits.max())


def best_f1(is_label: Bools, sums: Doubles) -> tuple[float, float]:
    """The best F1 that any cut gives alone, and the cut: half way between the two sums that it parts."""
    order = np.argsort(-sums, kind="stable")
    hits = np.cumsum(is_label[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + is_label.sum())
    best = int(f1.argmax())
    after = sums[order[min(best + 1, len(order) - 1)]]
    return float(f1[best]), float((sums[order[best]] + after) / 2)


def _probability(logits: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-logits))


def _bounded(logits: Doubles) -> Doubles:
    return np.clip(logits, np.log(_LEAST / (1 - _LEAST)), np.log(_MOST / (1 - _MOST)))
