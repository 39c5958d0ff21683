"""Learning: NB-SVM (Wang & Manning 2012) over the n-grams of `moderation.learning.ngrams`, one label against the rest.

Each n-gram counts with how much more often the label's texts hold it than the others'; on top of that a linear support
vector machine. How strongly the counts are smoothed, the curve from sums to probabilities and the thresholds are chosen
by cross-validation inside the rows that are learned from, never on those it is measured with. Seeded: the same rows are
the same model, to the byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.svm import LinearSVC

from moderation.learning import figures, groups, thresholds
from moderation.learning.artefact import MAX_GRAMS, MAX_LABELS
from moderation.learning.ngrams import NONE, Model, grams, view, windows
from moderation.normalisation import normalise

RECIPE = "nb-svm 1: folded characters 1-4, binary, C 0.5"
SEED = 20251
FOLDS = 5
HELD_OUT = 5  # one row in five
LEAST_ROWS = 30  # of a label
LEAST_HELD_OUT = 5  # of a label
LEAST_TEXTS = 3  # an n-gram must stand in so many texts, by so many different people, to be kept: nobody's own words
MAX_ROWS = 200_000
LONGEST_TEXT = 4_000  # code points of a text that are learned from
SMOOTHING = (0.1, 1.0)
COST = 0.5
STRANGE = 0.005  # so many of the rows share less with the others than a text must to be judged

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]


class TooFewRows(ValueError):
    """Nothing can be learned from, or measured with, so few rows. `counts` are those of each label."""

    def __init__(self, counts: dict[str, int]) -> None:
        super().__init__(counts)
        self.counts = counts


class TooAlike(ValueError):
    """The rows of these labels are copies of so few texts that none can be held out to measure with."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__(labels)
        self.labels = labels


@dataclass(frozen=True, slots=True)
class Row:
    """A text with its label. `owner` is whose it is (a user, else the row itself)."""

    text: str
    label: str
    owner: str = ""


@dataclass
class Trained:
    """A model, what it was measured at, and on what it was trained."""

    model: Model
    figures: dict[str, Any]
    trained_on: dict[str, Any]
    held_out: list[Row]


def train(rows: Sequence[Row], *, hold_out: bool = True, seed: int = SEED) -> Trained:
    """Learn from rows and measure on one in five of them that were not learned from; without `hold_out` learn from all
    and measure nothing. Raises TooFewRows or TooAlike."""
    rows = _fit_to_learn(rows)
    texts = [view(normalise(row.text[:LONGEST_TEXT])) for row in rows]
    labels = [row.label for row in rows]
    likeness = groups.by_likeness(texts, seed=seed)
    fold = groups.folds(labels, likeness, HELD_OUT)
    learn = [at for at in range(len(rows)) if not hold_out or fold[at] != 0]
    held = [at for at in range(len(rows)) if hold_out and fold[at] == 0]
    if hold_out and (
        alike := [
            label for label in figures.ordered(labels) if sum(labels[at] == label for at in held) < LEAST_HELD_OUT
        ]
    ):
        raise TooAlike(alike)
    model = _learn(
        [texts[at] for at in learn],
        [labels[at] for at in learn],
        [likeness[at] for at in learn],
        [rows[at].owner or f"row {at}" for at in learn],
        seed,
    )
    held_out = [rows[at] for at in held]
    digest = hashlib.sha256()
    for row in sorted((row.label, row.text) for row in rows):
        digest.update("\x1f".join(row).encode() + b"\x1e")
    trained_on = {
        "rows": len(rows),
        "by_label": {label: labels.count(label) for label in figures.ordered(labels)},
        "learned": len(learn),
        "held_out": len(held),
        "groups": len(set(likeness)),
        "digest": digest.hexdigest(),
        "recipe": RECIPE,
        "seed": seed,
        "n_grams": len(model.vocabulary),
    }
    return Trained(model, measure(model, held_out) if held else {}, trained_on, held_out)


def measure(model: Model, rows: Sequence[Row]) -> dict[str, Any]:
    """How a model does on rows: the figures of `figures.measure`, for each label the threshold curve, and what would be
    held (`sure`) of each label's rows."""
    opinions = [model.opinion(row.text[:LONGEST_TEXT]) for row in rows]
    right = [row.label for row in rows]
    found = figures.measure(right, [opinion.label for opinion in opinions])
    found["curves"] = {
        label: figures.curve([r == label for r in right], [o.probabilities[label] for o in opinions])
        for label in model.labels
    }
    found["held"] = {
        label: round(sum(o.sure for o, r in zip(opinions, right, strict=True) if r == label) / right.count(label), 4)
        for label in figures.ordered(right)
    }
    return found


def _fit_to_learn(rows: Sequence[Row]) -> list[Row]:
    fit = [row for row in rows[:MAX_ROWS] if row.text.strip() and row.label]
    counts = dict.fromkeys(figures.ordered([row.label for row in fit]), 0)
    for row in fit:
        counts[row.label] += 1
    named = [label for label in counts if label != NONE]
    if len(counts) < 2 or not named or len(named) > MAX_LABELS or min(counts.values()) < LEAST_ROWS:
        raise TooFewRows(counts)
    return fit


def _learn(
    texts: Sequence[str], labels: Sequence[str], likeness: Sequence[str], owners: Sequence[str], seed: int
) -> Model:
    counter = CountVectorizer(analyzer=grams, dtype=np.float64)
    counts = counter.fit_transform(texts).tocsr()
    names = counter.get_feature_names_out()
    named = [label for label in figures.ordered(labels) if label != NONE]
    right = np.array(labels)
    fold = groups.folds(labels, likeness, FOLDS)
    familiar = _familiar(counts, fold, np.array([len(name) > 1 for name in names]))
    counts.data[:] = 1.0  # from here on only whether a text holds an n-gram
    kept = _kept(counts, owners, names)
    counts, vocabulary = counts[:, kept], names[kept]
    weights, bias, summed = [], [], []
    for label in named:
        is_label = right == label
        tried = [_cross_validated(counts, is_label, fold, smoothing, seed) for smoothing in SMOOTHING]
        best = min(range(len(SMOOTHING)), key=lambda at: (-thresholds.best_f1(is_label, tried[at])[0], at))
        own, own_bias = _fit(counts, is_label, SMOOTHING[best], seed)
        weights.append(own)
        bias.append(own_bias)
        summed.append(tried[best])
    decided = thresholds.choose(np.stack(summed, axis=1), right, named)
    whole, window = windows([len(text) for text in texts])
    return Model(
        labels=named,
        vocabulary={str(gram): at for at, gram in enumerate(vocabulary)},
        weights=np.stack(weights, axis=1).astype(np.float32),
        bias=np.array(bias, dtype=np.float32),
        slope=decided.slope,
        intercept=decided.intercept,
        thresholds=decided.thresholds,
        sure=decided.sure,
        familiar=familiar,
        whole=whole,
        window=window,
        about={"recipe": RECIPE, "seed": seed, "rows": len(texts)},
    )


def _kept(counts: Any, owners: Sequence[str], names: Any) -> NDArray[np.int64]:
    """The n-grams that enough texts of enough different people hold; the most frequent ones where there are too many."""
    number = {owner: at for at, owner in enumerate(dict.fromkeys(owners))}
    whose = sparse.csr_matrix(
        (np.ones(len(owners)), ([number[owner] for owner in owners], range(len(owners)))),
        shape=(len(number), len(owners)),
    )
    people = np.asarray(((whose @ counts) > 0).sum(axis=0)).ravel()
    texts = np.asarray(counts.sum(axis=0)).ravel()
    fit = np.flatnonzero((people >= LEAST_TEXTS) & (texts >= LEAST_TEXTS))
    fit = np.array([at for at in fit if "\x00" not in names[at]], dtype=np.int64)
    if len(fit) > MAX_GRAMS:
        # Of equally frequent ones the shorter first: the beginning of what is kept is kept.
        lengths = np.array([len(names[at]) for at in fit])
        fit = np.sort(fit[np.lexsort((lengths, -texts[fit]))[:MAX_GRAMS]])
    return fit


def _familiar(counts: Any, fold: NDArray[np.int64], longer: Bools) -> float:
    """The share of `ngrams.Model.sums` that all but the strangest rows have with only rows of other folds known."""
    counts = counts[:, longer]
    places = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    held = counts.copy()
    held.data[:] = 1.0
    texts = np.asarray(held.sum(axis=0)).ravel()
    shares = np.ones(counts.shape[0])
    for number in range(FOLDS):
        rows = np.flatnonzero(fold == number)
        known = texts - np.asarray(held[rows].sum(axis=0)).ravel() >= LEAST_TEXTS
        shares[rows] = np.asarray(held[rows][:, known].sum(axis=1)).ravel() / places[rows]
    return round(float(np.quantile(shares, STRANGE)), 4)


def _fit(counts: Any, is_label: Bools, smoothing: float, seed: int) -> tuple[Doubles, float]:
    inside = np.asarray(counts[is_label].sum(axis=0)).ravel() + smoothing
    outside = np.asarray(counts[~is_label].sum(axis=0)).ravel() + smoothing
    ratio = np.log((inside / inside.sum()) / (outside / outside.sum()))
    machine = LinearSVC(C=COST, random_state=seed, dual=True, max_iter=5000)
    machine.fit(_normalised(counts) @ sparse.diags(ratio), is_label)
    return machine.coef_[0] * ratio, float(machine.intercept_[0])


def _normalised(counts: Any) -> Any:
    known = np.sqrt(np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0))
    return sparse.diags(1.0 / known) @ counts


def _cross_validated(counts: Any, is_label: Bools, fold: Any, smoothing: float, seed: int) -> Doubles:
    sums = np.zeros(len(is_label))
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not len(outside) or is_label[inside].all() or not is_label[inside].any():
            continue
        weights, bias = _fit(counts[inside], is_label[inside], smoothing, seed)
        sums[outside] = _normalised(counts[outside]) @ weights + bias
    return sums
