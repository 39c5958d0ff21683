"""Everyday words: a place in a text that is one, or that cuts one in two, is not taken for the disguise of a term."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent / "data"
LONGEST = 4


@cache
def words() -> frozenset[str]:
    """The list."""
    return _list("ordinary_words.txt")


@cache
def abbreviations() -> frozenset[str]:
    """Latin words of three letters that stand in Chinese texts."""
    return _list("abbreviations.txt")


def _list(name: str) -> frozenset[str]:
    with (_DATA / name).open(encoding="utf-8") as lines:
        return frozenset(line.strip() for line in lines if not line.startswith("#"))


def words_over(text: str, at: int) -> list[tuple[int, int]]:
    """Where everyday words stand in the text that the character at this index is part of."""
    known = words()
    return [
        (start, start + length)
        for length in range(2, LONGEST + 1)
        for start in range(max(0, at - length + 1), min(at, len(text) - length) + 1)
        if text[start : start + length] in known
    ]


@cache
def words_with() -> Mapping[str, int]:
    """In how many everyday words each character stands."""
    return Counter(character for word in words() for character in set(word))
