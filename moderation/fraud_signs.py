"""Signs of fraud that need no trained model (DS-07a): who the writer claims to be, what is promised or threatened, what
is asked for, and how one is hurried.

One sign says little: a bank asks for a card number, a shop says hurry. A fraud has a lure or a threat, a demand and
some pressure close together, and that is what is weighed. Words of warning against fraud weigh the other way. The words
and weights are set by hand from what is commonly published about the kinds of fraud; no collection of texts taught them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ahocorasick_rs import AhoCorasick, Implementation

from moderation.normalisation import Normalised

VERSION = "signs 1"
NEARBY = 300  # characters within which signs belong together
_PRIOR = -4.5  # a text of which nothing is known; 0 is as likely as not
_TOGETHER = 1.0  # on top, where a lure or threat, a demand and pressure stand together
_MOST_OF_A_KIND = 3  # words of one sign that count


@dataclass(frozen=True)
class Sign:
    """One kind of sign (data/fraud_signs.json): its part in a fraud, what its first word weighs (each further one half of
    that), and the leaf of the category tree that it speaks for."""

    part: str
    weight: float
    words: tuple[str, ...]
    category: str = ""


LURE, DEMAND, PRESSURE = "lure", "demand", "pressure"
SIGNS = {
    name: Sign(said["part"], said["weight"], tuple(said["words"].split()), said["category"])
    for name, said in json.loads(
        (Path(__file__).parent / "data" / "fraud_signs.json").read_text(encoding="utf-8")
    ).items()
}
_WORDS = [(word, name) for name, sign in SIGNS.items() for word in sign.words]
_AUTOMATON = AhoCorasick([word for word, _name in _WORDS], implementation=Implementation.ContiguousNFA)
_MATCHES = _AUTOMATON.find_matches_as_indexes


@dataclass(frozen=True)
class Suspicion:
    """How much a text looks like fraud by its signs: log odds, whether a demand stands with a lure or threat, the signs,
    where they stand in the original, and the leaf they speak for."""

    logit: float
    together: bool
    signs: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    category: str = "fraud"


NOTHING = Suspicion(_PRIOR, False)


def look(folded: Normalised) -> Suspicion:
    """The most suspicious stretch of a text."""
    found = _MATCHES(folded.text, overlapping=True)
    if not found:
        return NOTHING
    places = [(start, end, _WORDS[word][1], word) for word, start, end in found]
    best, best_logit = places[:0], _PRIOR
    first = 0
    for last in range(len(places)):
        while places[last][1] - places[first][0] > NEARBY:
            first += 1
        if last + 1 < len(places) and places[last + 1][1] - places[first][0] <= NEARBY:
            continue  # the stretch is still growing
        logit = _weigh(places[first : last + 1])[0]
        if logit > best_logit:
            best, best_logit = places[first : last + 1], logit
    if not best:
        return NOTHING
    logit, together = _weigh(best)
    kinds = [name for _start, _end, name, _word in best]
    lures = {name: kinds.count(name) * SIGNS[name].weight for name in kinds if SIGNS[name].category}
    return Suspicion(
        logit,
        together,
        tuple(sorted(set(kinds))),
        tuple(_merged([folded.original_span(start, end) for start, end, *_rest in best])),
        SIGNS[max(sorted(lures), key=lures.__getitem__)].category if lures else "fraud",
    )


def _weigh(places: Sequence[tuple[int, int, str, int]]) -> tuple[float, bool]:
    words: dict[str, set[int]] = {}
    for _start, _end, name, word in places:
        words.setdefault(name, set()).add(word)
    logit = _PRIOR
    parts = set()
    for name, seen in words.items():
        sign = SIGNS[name]
        parts.add(sign.part)
        logit += sign.weight * (1 + (min(len(seen), _MOST_OF_A_KIND) - 1) / 2)
    together = DEMAND in parts and (LURE in parts or "threat" in words)
    if together and PRESSURE in parts and LURE in parts:
        logit += _TOGETHER
    return logit, together


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
