"""Patterns of the feature library: regular expressions in RE2's syntax, which no text and no pattern can make slow.

google-re2 has wheels for Linux (glibc, x86-64 and aarch64), macOS and Windows; on musl (Alpine) it must be compiled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

import re2

from moderation.entries import Entry, Match
from moderation.normalisation import Normalised

_half_pairs = re.compile("[\ud800-\udfff]")
MAX_LENGTH = 1000  # characters of one pattern
MAX_SIZE = 5000  # instructions of one compiled pattern; x{1000} has a thousand
MAX_PATTERNS = 2000
MAX_SPANS = 50  # of one pattern in one text


class PatternError(ValueError):
    """A pattern that can't be taken: why, and at which character (0 is the first; None: the whole of it)."""

    def __init__(self, why: str, position: int | None = None) -> None:
        super().__init__(why, position)
        self.why = why
        self.position = position

    def __str__(self) -> str:
        return self.why if self.position is None else f"{self.why}, at character {self.position + 1}"


class TooManyPatterns(ValueError):
    """More patterns than can be looked for at once."""


def _options() -> re2.Options:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False  # the text of a pattern belongs in the answer, not in a log
    options.max_mem = 64 << 20
    return options


def checked(value: str) -> re2._Regexp:
    """The compiled pattern. Raises PatternError for one that is wrong, too big, or matches where nothing stands."""
    if len(value) > MAX_LENGTH:
        raise PatternError(f"longer than {MAX_LENGTH} characters", MAX_LENGTH)
    try:
        pattern = re2.compile(value, _options())
    except re2.error as wrong:
        said = wrong.args[0].decode("utf-8", "replace") if isinstance(wrong.args[0], bytes) else str(wrong.args[0])
        why, _colon, part = said.partition(": ")
        raise PatternError(why, _position(value, why, part)) from None
    if pattern.programsize > MAX_SIZE:
        raise PatternError(f"too big once compiled ({pattern.programsize} of {MAX_SIZE} steps)")
    if pattern.search("") is not None:
        raise PatternError("matches where nothing stands")
    return pattern


def _position(value: str, why: str, part: str) -> int | None:
    if why.startswith("missing )"):
        open_, escaped, in_class = [], False, False
        for at, character in enumerate(value):
            if escaped or character == "\\":
                escaped = not escaped
            elif in_class or character == "[":
                in_class = character != "]"
            elif character == "(":
                open_.append(at)
            elif character == ")" and open_:
                open_.pop()
        return open_[-1] if open_ else None
    if why.startswith("unexpected )"):
        depth = 0
        for at, character in enumerate(value):
            depth += (character == "(") - (character == ")")
            if depth < 0:
                return at
    at = value.find(part) if part else -1
    return at if at >= 0 else None


class Patterns:
    """All patterns at once, case ignored, over the text as written and as folded.

    Raises PatternError, TooManyPatterns.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        if len(entries) > MAX_PATTERNS:
            raise TooManyPatterns(f"{len(entries)} patterns; {MAX_PATTERNS} at most")
        self._entries = tuple(entries)
        self._compiled = [checked(entry.value) for entry in self._entries]
        self._set = None
        if self._entries:
            self._set = re2.Set.SearchSet(_options())
            for entry in self._entries:
                self._set.Add(entry.value)
            # Matches every text, so an answer without it says that the set ran out of memory.
            self._set.Add("")
            self._set.Compile()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, folded: Normalised) -> list[Match]:
        """One match an entry, its spans in the original; a hit of the folded text counts like one of the original."""
        if self._set is None:
            return []
        text = folded.text
        original = _half_pairs.sub("\ufffd", folded.original)  # what could not be encoded, one for one
        in_folded = self._matching(text)
        in_original = in_folded if original == text else self._matching(original)
        matches = []
        for number in sorted({*in_folded, *in_original}):
            spans = set()
            if number in in_original:
                spans |= {found.span() for found in islice(self._compiled[number].finditer(original), MAX_SPANS)}
            if number in in_folded:
                found_in = (found.span() for found in islice(self._compiled[number].finditer(text), MAX_SPANS))
                spans |= {folded.original_span(*span) for span in found_in if span[0] < span[1]}
            spans = {span for span in spans if span[0] < span[1]}
            outer = [span for span in spans if not any(_within(span, other) for other in spans)]
            if outer:
                matches.append(Match(self._entries[number], sorted(outer)[:MAX_SPANS]))
        return matches

    def _matching(self, text: str) -> set[int]:
        assert self._set is not None
        found = set(self._set.Match(text.encode()))
        if len(self._entries) not in found:
            return {number for number, pattern in enumerate(self._compiled) if pattern.search(text) is not None}
        return found - {len(self._entries)}


def _within(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]
