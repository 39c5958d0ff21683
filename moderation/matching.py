"""Finds the terms of the feature library in folded text, all at once, with spans in the original.

A `Matcher` does not change once built: threads and forked workers may share it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ahocorasick_rs import AhoCorasick, Implementation

from moderation.entries import Entry
from moderation.normalisation import Normalised, normalise

MAX_HITS = 200

# Letters of scripts that part their words (Latin, Greek, Cyrillic, Armenian; folded, so small) and digits.
_BOUNDED = "0-9a-z\u00df-\u00f6\u00f8-\u02af\u0370-\u0373\u0376-\u058f\u1e00-\u1fff"
_in_word = re.compile(f"[{_BOUNDED}]").match
_letter_of_other_script = re.compile(rf"[^\W_](?<![{_BOUNDED}])").search
_separator = re.compile(r"[\W_]").search
# Separators that the folding leaves in any text: spaces between words longer than a letter.
_words = re.compile(f"[{_BOUNDED}]{{2,}}(?: [{_BOUNDED}]{{2,}})*").fullmatch
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


class _Patterns:
    """Distinct patterns in one automaton, each with the terms (by index) that fold to it."""

    def __init__(self, terms_of: dict[str, list[int]]) -> None:
        self._terms = list(terms_of.values())
        self._bounded = [_letter_of_other_script(pattern) is None for pattern in terms_of]
        automaton = AhoCorasick(terms_of, implementation=Implementation.ContiguousNFA, store_patterns=False)
        self.matches = automaton.find_matches_as_indexes

    def add_terms(
        self,
        found: set[tuple[int, int, int]],
        matches: list[tuple[int, int, int]],
        text: str,
        original_span: Callable[[int, int], tuple[int, int]],
        is_parted: Callable[[int], bool],
    ) -> None:
        """Adds (start, end, term) in the original for the matches that stand where their terms may stand."""
        for pattern, start, end in matches:
            if not self._bounded[pattern] or _is_whole_word(text, start, end, is_parted):
                span = original_span(start, end)
                found.update((*span, term) for term in self._terms[pattern])


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


class Matcher:
    """All terms at once.

    Chinese terms, and all of scripts that do not part words, are found as plain substrings; terms of Latin, Greek or
    Cyrillic letters and digits only as whole words. A term that itself holds separators (c++, 💊, an address) is also
    looked for as it is written, because in running text the folding may take its separators out.

    Raises EmptyTermError (a ValueError) for a term of which folding leaves nothing.
    """

    def __init__(self, terms: Sequence[Term], *, max_hits: int = MAX_HITS) -> None:
        self._terms = tuple(terms)
        self._max_hits = max_hits
        joined: dict[str, list[int]] = {}
        written: dict[str, list[int]] = {}
        for index, term in enumerate(self._terms):
            folded = normalise(term.value)
            pattern = folded.text.strip(_NOTHING)
            if not pattern:
                raise EmptyTermError(term)
            joined.setdefault(pattern, []).append(index)
            as_written = folded.written.strip(_NOTHING)
            if _separator(as_written) and not _words(as_written):
                written.setdefault(as_written, []).append(index)
        self._joined = _Patterns(joined)
        self._written = _Patterns(written) if written else None

    def find(self, normalised: Normalised) -> Hits:
        """Every hit, each term once per span of the original.

        Past the limit the first hit of each term is kept before any repetition, so that a text cannot hide one term
        behind many of another.
        """
        # Nearly every text ends here, after one call and no Python loop.
        matches = self._joined.matches(normalised.text, True)
        matches_as_written = self._written.matches(normalised.written, True) if self._written else ()
        if not matches and not matches_as_written:
            return Hits()
        found: set[tuple[int, int, int]] = set()
        self._joined.add_terms(found, matches, normalised.text, normalised.original_span, normalised.is_parted)
        if self._written and matches_as_written:
            self._written.add_terms(
                found, matches_as_written, normalised.written, normalised.original_span_as_written, _never_parted
            )
        ordered = sorted(found, key=_position)
        if len(ordered) <= self._max_hits:
            return self._hits(ordered)
        hits = self._hits(_first_of_each_term(ordered, self._max_hits))
        hits.truncated = True
        return hits

    def _hits(self, found: list[tuple[int, int, int]]) -> Hits:
        return Hits(Hit(self._terms[term], start, end) for start, end, term in found)


def _position(hit: tuple[int, int, int]) -> tuple[int, int, int]:
    start, end, term = hit
    return start, -end, term


def _first_of_each_term(ordered: list[tuple[int, int, int]], limit: int) -> list[tuple[int, int, int]]:
    seen: set[int] = set()
    firsts: list[tuple[int, int, int]] = []
    repetitions: list[tuple[int, int, int]] = []
    for hit in ordered:
        (repetitions if hit[2] in seen else firsts).append(hit)
        seen.add(hit[2])
    return sorted((firsts + repetitions)[:limit], key=_position)
