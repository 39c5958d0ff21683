"""Finds the terms of the feature library in folded text, all at once, with spans in the original.

A `Matcher` does not change once built: threads and forked workers may share it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from moderation.automaton import Numbers as _Terms
from moderation.automaton import finder, numbers_of, with_number
from moderation.characters import LOOK_ALIKES
from moderation.disguises import Disguises
from moderation.entries import Entry
from moderation.normalisation import Normalised, fold_all, normalise
from moderation.spelling import disguise_of

MAX_HITS = 200
MAX_DISTINCT = 2000  # patterns of one text that are looked at closely

# Letters of scripts that part their words (Latin, Greek, Cyrillic, Armenian; folded, so small) and digits.
_BOUNDED = "0-9a-z\u00df-\u00f6\u00f8-\u02af\u0370-\u0373\u0376-\u058f\u1e00-\u1fff"
_in_word = re.compile(f"[{_BOUNDED}]").match
_letter_of_other_script = re.compile(rf"[^\W_](?<![{_BOUNDED}])").search
_separator = re.compile(r"[\W_]").search
# Separators that the folding leaves in any text: spaces between words longer than a letter.
_words = re.compile(f"[{_BOUNDED}]{{2,}}(?: [{_BOUNDED}]{{2,}})*").fullmatch
_plain = re.compile(r"[^\W_]+").fullmatch
_only_han = re.compile("[\u4e00-\u9fff]+").fullmatch
_plain_part = re.compile(r"[^\W_]+").findall
_look_alike = re.compile(f"[{''.join(map(chr, LOOK_ALIKES))}]").search
# What a pattern is bared of at its ends: white space, and the sign for characters that mean nothing.
_NOTHING = " \n\ufffd"


Term = Entry


@dataclass(frozen=True, slots=True)
class Hit:
    """A term in `[start, end)`, Unicode code points of the original text (contract, ruling 5)."""

    term: Term
    start: int
    end: int


class Hits(list[Hit]):
    """Hits by position, the longest first where several begin."""

    truncated = False  # were there more than the limit?


class EmptyTermError(ValueError):
    """A term of which folding leaves nothing to look for."""

    def __init__(self, term: Term) -> None:
        super().__init__(term)  # the arguments are what a worker pickles to its parent
        self.term = term

    def __str__(self) -> str:
        return f"term {self.term.id} ({self.term.value!r}) is empty once folded"


class _Pattern:
    """A folded term, in one of its two forms, with the terms (by index) that fold to it."""

    __slots__ = ("value", "as_written", "bounded", "terms")

    def __init__(self, value: str, as_written: bool, bounded: bool, terms: Sequence[int]) -> None:
        self.value = value
        self.as_written = as_written
        self.bounded = bounded
        self.terms = terms

    @classmethod
    def file(cls, patterns: dict[tuple[str, bool], _Pattern], value: str, as_written: bool, term: int) -> None:
        """Adds a term to those of its pattern."""
        known = patterns.get((value, as_written))
        if known is None:
            known = cls(value, as_written, _letter_of_other_script(value) is None, ())
            patterns[value, as_written] = known
        known.terms = (*known.terms, term)

    def places(self, text: Normalised) -> Iterator[tuple[int, int]]:
        """Where it stands in the original."""
        folded = text.written if self.as_written else text.text
        span = text.original_span_as_written if self.as_written else text.original_span
        is_parted = _never_parted if self.as_written else text.is_parted
        start, length = folded.find(self.value), len(self.value)
        while start >= 0:
            if not self.bounded or _is_whole_word(folded, start, start + length, is_parted):
                yield span(start, start + length)
            start = folded.find(self.value, start + 1)


def _is_whole_word(text: str, start: int, end: int, is_parted: Callable[[int], bool]) -> bool:
    """Do word boundaries stand at both ends?

    Beside the plain boundary there are two: a separator that the folding took out (the vx in `a.vx.b`), and where
    digits follow on letters, for an account is written straight after its kind (vx10086).
    """
    if start > 0 and _in_word(text[start - 1]) and _in_word(text[start]):
        number_after_letters = text[start:end].isdigit() and not text[start - 1].isdigit()
        if not number_after_letters and not is_parted(start):
            return False
    if end < len(text) and _in_word(text[end]) and _in_word(text[end - 1]):
        letters_before_number = text[start:end].isalpha() and text[end].isdigit()
        if not letters_before_number and not is_parted(end):
            return False
    return True


def _never_parted(index: int) -> bool:
    return False


_Place = tuple[int, int, int]  # start and end in the original, number of the term


class Matcher:
    """All terms at once.

    Chinese terms, and all of scripts that do not part words, are found as plain substrings; terms of Latin, Greek or
    Cyrillic letters and digits only as whole words. A term that itself holds separators (c++, 💊, an address) is also
    looked for as it is written, because in running text the folding may take its separators out. Terms whose entries
    allow more (`Entry.options`) are found in those disguises, too.

    One automaton holds of every pattern the longest part without separators, which must stand in the scan of a text
    (`Normalised.scan`) where the pattern stands in the text.

    Raises EmptyTermError (a ValueError) for a term of which folding leaves nothing.
    """

    def __init__(self, terms: Iterable[Term] = (), *, max_hits: int = MAX_HITS) -> None:
        self._max_hits = max_hits
        self._terms = tuple(terms)
        # Patterns of Chinese characters only, nearly all there are: a string and a number each, because a hundred
        # thousand objects more would make every collection of garbage a pause.
        simple: dict[str, _Terms] = {}
        patterns: dict[tuple[str, bool], _Pattern] = {}
        disguised = []
        for index, (text, written) in enumerate(fold_all([term.value for term in self._terms])):
            options = self._terms[index].options
            pattern = text.strip(_NOTHING)
            if not pattern:
                raise EmptyTermError(self._terms[index])
            if options and len(pattern) > 1 and (how := disguise_of(options)):
                disguised.append((index, pattern, how))
            if _only_han(pattern):
                simple[pattern] = with_number(simple.get(pattern), index)
                if written is text:
                    continue
            else:
                _Pattern.file(patterns, pattern, False, index)
            as_written = written.strip(_NOTHING)
            if not _plain(as_written) and _separator(as_written) and not _words(as_written):
                _Pattern.file(patterns, as_written, True, index)
        others: dict[str, list[_Pattern]] = {}
        self._unscanned: list[_Pattern] = []  # looked for in every text; next to none
        for one in patterns.values():
            if key := _key(one):
                others.setdefault(key, []).append(one)
            else:
                self._unscanned.append(one)
        self._keys = [*simple, *(key for key in others if key not in simple)]
        self._simple = list(simple.values())
        self._others = {number: others[key] for number, key in enumerate(self._keys) if key in others}
        self._keys_in = finder(self._keys)
        self._disguises = Disguises(disguised) if disguised else None

    def __len__(self) -> int:
        return len(self._terms)

    def entries(self) -> Iterator[Term]:
        """All its terms."""
        return iter(self._terms)

    def holding(self, ids: set[int]) -> set[int]:
        """Which of these are ids of its terms."""
        return {term.id for term in self._terms if term.id in ids}

    def find(self, normalised: Normalised) -> Hits:
        """Every hit, each term once per span of the original.

        Past the limit the first hit of each term is kept before any repetition, so that a text cannot hide one term
        behind many of another.
        """
        scanned = normalised.scan()
        found: set[_Place] = set()
        truncated = False
        # Nearly every text ends here, after a few calls and no Python loop.
        if keys := self._keys_in(scanned):
            truncated = self._look_closely(normalised, keys, self._max_hits, found)
        for one in self._unscanned:
            _add(normalised, one, self._max_hits, found)
        if self._disguises:
            truncated |= _add_disguised(self._disguises, normalised, scanned, found)
        hits = Hits()
        if found:
            ordered = sorted(found, key=_position)
            if len(ordered) > self._max_hits:
                ordered, truncated = _first_of_each_term(ordered, self._max_hits), True
            hits += [Hit(self._terms[term], start, end) for start, end, term in ordered]
        hits.truncated = truncated
        return hits

    def _look_closely(
        self, normalised: Normalised, keys: Sequence[tuple[int, int, int]], limit: int, found: set[_Place]
    ) -> bool:
        place = normalised.scanned_places()
        closely: dict[int, None] = {}  # in the order in which they first stand
        seen: dict[int, int] = {}
        for start, end, key in keys:
            seen[key] = count = seen.get(key, 0) + 1
            if count > limit + 1:
                continue
            if key in self._others:
                closely[key] = None
            if key < len(self._simple):
                span = place(start, end)
                if span is None:
                    closely[key] = None
                else:
                    for term in numbers_of(self._simple[key]):
                        found.add((*span, term))
        for number, key in enumerate(closely):
            if number >= MAX_DISTINCT:
                return True
            if key < len(self._simple):
                _add(normalised, _Pattern(self._keys[key], False, False, numbers_of(self._simple[key])), limit, found)
            for one in self._others.get(key, ()):
                _add(normalised, one, limit, found)
        return False


def _add(normalised: Normalised, one: _Pattern, limit: int, found: set[_Place]) -> None:
    for number, span in enumerate(one.places(normalised)):
        if number > limit:
            return
        for term in one.terms:
            found.add((*span, term))


def _add_disguised(disguises: Disguises, normalised: Normalised, scanned: str, found: set[_Place]) -> bool:
    places, truncated = disguises.find(normalised, scanned)
    new = {(*normalised.original_span(start, end), term) for start, end, term in places}
    if read := disguises.reads_signs(normalised.original):
        as_read = normalise(read)
        places, more = disguises.find(as_read, as_read.scan())
        new |= {(*as_read.original_span(start, end), term) for start, end, term in places}
        truncated |= more
    if new:
        found |= new
        # What lies inside a longer hit of the same term says nothing new (刷单 in 刷刷单单).
        spans_of: dict[int, list[tuple[int, int]]] = {}
        for start, end, term in found:
            spans_of.setdefault(term, []).append((start, end))
        disguised = {term for _start, _end, term in new}
        found -= {
            (start, end, term)
            for start, end, term in found
            if term in disguised and _inside(start, end, spans_of[term])
        }
    return truncated


def _inside(start: int, end: int, spans: list[tuple[int, int]]) -> bool:
    return any(first <= start and end <= last and (first, last) != (start, end) for first, last in spans[:500])


def _key(pattern: _Pattern) -> str:
    """The longest part of a pattern that stands in every scan of a text in which it stands; empty if that is too short
    to be worth looking for."""
    value = pattern.value
    if pattern.as_written and _look_alike(value):
        return ""
    if _plain(value):
        return value
    key: str = max(_plain_part(value), key=len, default="")
    return key if len(key) > 1 else ""


def _position(hit: tuple[int, int, int]) -> tuple[int, int, int]:
    start, end, term = hit
    return start, -end, term


def _first_of_each_term(ordered: list[_Place], limit: int) -> list[_Place]:
    seen: set[int] = set()
    firsts: list[_Place] = []
    repetitions: list[_Place] = []
    for place in ordered:
        (repetitions if place[2] in seen else firsts).append(place)
        seen.add(place[2])
    return sorted((firsts + repetitions)[:limit], key=_position)
