"""A linear model over character n-grams, as it scores at run time.

A text is folded as for matching (width, traditional characters, look-alikes), its digits to 0, and known by which n-grams
of 1 to 4 characters it holds. Each label has a weight for each n-gram; their sum over the root of how many known ones
the text holds, put through the label's own curve, is a probability. A text much longer than those the model learned from
is scored by windows of their usual length: a fraud of one sentence must not drown in a long conversation. Of a text that
shares too few n-grams with all it learned from, a model has no opinion: it was never shown the like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moderation.normalisation import Normalised, normalise

LONGEST = 4  # characters in an n-gram
TOP_WINDOWS = 3  # a long text's score is the mean of this many of its highest windows
MAX_WINDOWS = 400  # of a text; past that they stand further apart
EXPLAINED = 5  # spans that a finding shows
NONE = "none"  # the label of what is nothing
_DIGITS = dict.fromkeys(range(ord("0"), ord("9") + 1), "0")

Floats = NDArray[np.float32]


def view(folded: Normalised) -> str:
    """What the model sees of a folded text; one character for each of the folded text."""
    return folded.text.translate(_DIGITS)


def grams(seen: str) -> list[str]:
    """Every n-gram of a view, as often as it stands there."""
    found = list(seen)
    for size in range(2, LONGEST + 1):
        found += map("".join, zip(*(seen[start:] for start in range(size)), strict=False))
    return found


@dataclass(frozen=True)
class Opinion:
    """What a model says of a text: the label that is furthest over its threshold ("none" where none is), the probability
    of every label, and whether the label's is over the mark from which it is held (`sure`)."""

    label: str
    probabilities: dict[str, float]
    sure: bool = False
    familiar: bool = True
    window: tuple[int, int] | None = None  # of the view, where only a part of the text spoke

    @property
    def score(self) -> float:
        """The probability of the label."""
        return self.probabilities.get(self.label, 0.0)


@dataclass
class Model:
    """A trained model. `weights` has a row an n-gram and a column a label; `slope` and `intercept` make of a label's sum
    a probability; from `thresholds` on it is that label, from `sure` on it is held for a person."""

    labels: list[str]
    vocabulary: dict[str, int]
    weights: Floats
    bias: Floats
    slope: Floats
    intercept: Floats
    thresholds: Floats
    sure: Floats
    familiar: float  # the share of a text's n-grams (of two and more) that must be known
    whole: int  # texts up to this many characters are scored in one piece
    window: int
    about: dict[str, Any] = field(default_factory=dict)

    def opinion(self, text: str | Normalised) -> Opinion:
        """What the model says of a text."""
        seen = view(normalise(text) if isinstance(text, str) else text)
        sums, window, familiar = self._piece(seen) if len(seen) <= self.whole else self._pieces(seen)
        logits = sums * self.slope + self.intercept
        over = logits - _logit(self.thresholds)
        best = int(over.argmax())
        probabilities = dict(zip(self.labels, (1 / (1 + np.exp(-logits))).tolist(), strict=True))
        if over[best] < 0 or not familiar:
            return Opinion(NONE, probabilities, familiar=familiar, window=window)
        label = self.labels[best]
        return Opinion(label, probabilities, probabilities[label] >= float(self.sure[best]), window=window)

    def _piece(self, seen: str) -> tuple[Floats, tuple[int, int] | None, bool]:
        sums, share = self.sums(seen)
        return sums, None, share >= self.familiar

    def _pieces(self, seen: str) -> tuple[Floats, tuple[int, int] | None, bool]:
        step = max(self.window // 2, -(-len(seen) // MAX_WINDOWS))
        starts = range(0, max(1, len(seen) - self.window + step), step)
        scored = [self.sums(seen[start : start + self.window]) for start in starts]
        known = [at for at, (_sums, share) in enumerate(scored) if share >= self.familiar]
        weighed = known or list(range(len(scored)))
        each = np.stack([scored[at][0] for at in weighed])
        top = np.sort(each, axis=0)[-TOP_WINDOWS:].mean(axis=0)
        best = int((top * self.slope + self.intercept - _logit(self.thresholds)).argmax())
        first = starts[weighed[int(each[:, best].argmax())]]
        return top, (first, min(len(seen), first + self.window)), bool(known)

    def sums(self, seen: str) -> tuple[Floats, float]:
        """The labels' sums of one piece of a view, and how many different n-grams of two and more are known, as a
        share of the places where one could stand."""
        known, longer = self._known(seen)
        length = len(seen)
        possible = sum(max(0, length - size + 1) for size in range(2, LONGEST + 1))
        share = len(longer) / possible if possible else 1.0
        if not known:
            return self.bias, share
        known |= longer
        rows = np.fromiter(known, np.intp, len(known))
        return self.weights.take(rows, axis=0).sum(axis=0) / math.sqrt(len(known)) + self.bias, share

    def _known(self, seen: str) -> tuple[set[int], set[int]]:
        # With an n-gram its beginning is known too (training keeps them so), so most places end after a look or two.
        place, length = self.vocabulary.get, len(seen)
        known: set[int] = set()
        longer: set[int] = set()
        for start in range(length):
            at = place(seen[start])
            if at is None:
                continue
            known.add(at)
            for end in range(start + 2, min(start + LONGEST, length) + 1):
                at = place(seen[start:end])
                if at is None:
                    break
                longer.add(at)
        return known, longer

    def explain(self, folded: Normalised, opinion: Opinion) -> list[list[int]]:
        """The places in the original text whose n-grams spoke most for the opinion's label, in order."""
        if opinion.label not in self.labels:
            return []
        column = self.weights[:, self.labels.index(opinion.label)]
        seen = view(folded)
        start, end = opinion.window or (0, len(seen))
        spoke = np.zeros(end - start, dtype=np.float32)
        for size in range(1, LONGEST + 1):
            for at in range(start, end - size + 1):
                gram = self.vocabulary.get(seen[at : at + size])
                if gram is not None:
                    spoke[at - start : at - start + size] += column[gram] / size
        return [list(folded.original_span(start + a, start + b)) for a, b in _peaks(spoke)]


def _logit(p: Floats) -> Floats:
    return np.log(p / (1 - p))


def _peaks(spoke: Floats) -> list[tuple[int, int]]:
    # Runs of characters that speak for the label about as loudly as its loudest do. A run of one character shows
    # nothing that a person could recognise, so it is shown only where there is no other.
    if not len(spoke) or spoke.max() <= 0:
        return []
    least = max(float(np.quantile(spoke, 0.9)) / 2, float(spoke.max()) / 8)
    loud = np.flatnonzero(spoke >= least)
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > 2) + 1)
    runs = [(float(spoke[part].sum()), int(part[0]), int(part[-1]) + 1) for part in parts]
    longer = [run for run in runs if run[2] - run[1] > 1] or runs
    return sorted((start, end) for _sum, start, end in sorted(longer, reverse=True)[:EXPLAINED])


def windows(lengths: Sequence[int]) -> tuple[int, int]:
    """Up to which length a text is scored whole, and how long a window is, for a model of texts of these lengths."""
    if not lengths:
        return 200, 60
    usual, longest = np.quantile(lengths, [0.5, 0.99])
    window = int(min(max(usual, 40), 1000))
    return int(max(longest, 2 * window)), window
