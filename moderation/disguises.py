"""Finds terms in the disguises their entries allow: pinyin, same-sounding characters, characters taken apart, digits
and their look-alikes, repeated characters.

Where a term could stand is told by views of the text in coarse codes, one code for all that may be written for one
another; there one automaton finds all terms at once. Whether it does stand there, and from where to where, is told by
`moderation.spelling` on the folded text itself. So a view may be as rough as it likes: it never makes a finding or a span.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import combinations, pairwise, product
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np

from moderation.automaton import Numbers, finder, numbers_of, with_number
from moderation.coarse_codes import (
    as_string,
    code_of_syllable,
    coded,
    initials_of_code,
    other_codes,
    table,
    units_of,
)
from moderation.disguise_views import (
    DISGUISED,
    MOST_LETTERS,
    Neighbours,
    View,
    as_it_is,
    initials_as_syllables,
    is_initial,
    read_out,
    readings_of,
    runs_of_letters,
    spelled_runs,
    windows,
    without_repeats,
)
from moderation.look_alikes import GROUPS
from moderation.normalisation import Normalised
from moderation.pinyin_fold import readings
from moderation.spelling import Disguise, spelled
from moderation.split_characters import parts_of

MAX_CANDIDATES = 20_000  # of one text; what lies beyond is reported as not looked at
_MAX_READINGS = 32  # of one term, or of the words around a place
_twice = re.compile(r"(.)\1+", re.DOTALL)
_run_of_letters = runs_of_letters.search
_has_look_alike = re.compile(f"[{re.escape(''.join(GROUPS))}]").search
# Signs that are read as a character.
SIGNS = str.maketrans("+➕＋❤♥💓💕💖💗💘💙💚💛💜🖤💰💵💴💊🔫🐔🐴🐎👗🌟⭐🐟🚗🔥🥚🐶💀🏠",
                      "加加加心心心心心心心心心心心心钱钱钱药枪鸡马马裙星星鱼车火蛋狗死房")  # fmt: skip
_sign = re.compile(f"[{re.escape(''.join(map(chr, SIGNS)))}]")


class TooMuchToRead(Exception):
    """A text has more places to look at closely than is bearable; what was found until then stands."""


class _Where(NamedTuple):
    """Which views of a text are worth a closer look: as it is, without repetitions, with split characters joined, with
    letters read."""

    plain: bool
    twice: bool
    parts: bool
    letters: bool


class _Coded:
    """Coded terms in one automaton."""

    def __init__(self) -> None:
        self.places: dict[str, Numbers] = {}

    def add(self, codes: str, place: int) -> None:
        """One more way to write the term of this place."""
        self.places[codes] = with_number(self.places.get(codes), place)

    def ready(self) -> None:
        """All are added."""
        self.find = finder(list(self.places))
        self._of = list(self.places.values())

    def terms(self, pattern: int) -> tuple[int, ...]:
        """The places of the terms of a pattern."""
        return numbers_of(self._of[pattern])


class Disguises:
    """All terms that may be disguised: (number, folded value, options)."""

    def __init__(self, terms: Sequence[tuple[int, str, Disguise]]) -> None:
        self._numbers = [number for number, _value, _how in terms]
        self._values = [value.replace(" ", "") for _number, value, _how in terms]
        self._hows = [how for _number, _value, how in terms]
        # Which can differ from what is written without a repeated, a latin or a split character.
        self._in_plain = [
            how.homophones or (how.digits and _has_look_alike(value) is not None)
            for value, how in zip(self._values, self._hows, strict=True)
        ]
        kinds = set(self._hows)
        self._repeats = any(how.repeats for how in kinds)
        self._pinyin = any(how.pinyin for how in kinds)
        self._signs = self._pinyin or any(how.homophones for how in kinds)

        self._initials: dict[str, Numbers] = {}
        # Terms that other characters alone can disguise; terms that need more; and both without their repetitions.
        self._in_any_text, self._in_disguise, self._once = _Coded(), _Coded(), _Coded()
        self._code_terms()
        for coded_terms in (self._in_any_text, self._in_disguise, self._once):
            coded_terms.ready()
        characters = {c for value, how in zip(self._values, self._hows, strict=True) if how.split for c in value}
        splits = {parts: character for character in sorted(characters) for parts in parts_of(character)}
        self._parts = list(splits)
        self._code_of_parts = [coded(character) for character in splits.values()]
        self._find_parts = finder(self._parts)
        # Two codes that follow each other in any term; and the same with the initial of one or of both.
        self._pairs = {
            pair
            for of in (self._in_any_text, self._in_disguise, self._once)
            for codes in of.places
            for pair in map(add, codes, codes[1:])
        }
        if self._pinyin:
            self._pairs |= {
                one + other
                for first, second in self._pairs
                for one in (first, *initials_of_code(first))
                for other in (second, *initials_of_code(second))
            }

        self._neighbours = Neighbours(self._pairs)

    def _code_terms(self) -> None:
        """Codes every term, in each of its readings."""
        several = other_codes()
        has_several = re.compile(f"[{''.join(several)}]").search
        together = "".join(self._values)
        units = table()[units_of(together)]
        codes_together = as_string(units)
        ends = np.cumsum([len(value) for value in self._values])
        twice = np.flatnonzero(units[1:] == units[:-1]) + 1
        doubled = set(np.searchsorted(ends, twice, side="right").tolist())
        first = 0
        for place, value in enumerate(self._values):
            last = first + len(value)
            codes = codes_together[first:last]
            first = last
            index = self._in_any_text if self._in_plain[place] else self._in_disguise
            index.add(codes, place)
            if place in doubled:
                self._once.add(_twice.sub(r"\1", codes), place)
            if has_several(value):
                choices = [several.get(character, code) for character, code in zip(value, codes, strict=True)]
                for reading in _readings(choices):
                    index.add(reading, place)
                    if _twice.search(reading):
                        self._once.add(_twice.sub(r"\1", reading), place)
            if 3 <= len(value) <= 12 and self._hows[place].pinyin:
                letters = value.translate(first_letters())
                self._initials[letters] = with_number(self._initials.get(letters), place)

    def find(self, normalised: Normalised, scanned: str) -> tuple[list[tuple[int, int, int]], bool]:
        """(start, end, number of the term) in the folded text, and whether there were more candidates than are looked
        at. `scanned` is `normalised.scan()`."""
        where = self._worth_a_look(normalised, scanned)
        if where is None:
            return [], False
        text = normalised.text
        found: set[tuple[int, int, int]] = set()
        try:
            self._add_spelled(text, where, found)
        except TooMuchToRead:
            return list(found), True
        return list(found), False

    def _add_spelled(self, text: str, where: _Where, found: set[tuple[int, int, int]]) -> None:
        for looked_at, (place, start) in enumerate(self._candidates(text, where)):
            if looked_at >= MAX_CANDIDATES:
                raise TooMuchToRead
            if self._hows[place].repeats and start and text[start - 1] == text[start] == text[start + 1 : start + 2]:
                continue  # inside a run; its first and its last character are tried, too
            end = spelled(self._values[place], text, start, self._hows[place])
            if end is not None:
                found.add((start, end, self._numbers[place]))

    def reads_signs(self, original: str) -> str | None:
        """The text with signs that are read as a character (➕: 加) replaced, one for one; None if it has none."""
        return original.translate(SIGNS) if self._signs and _sign.search(original) else None

    def _worth_a_look(self, normalised: Normalised, scanned: str) -> _Where | None:
        """The quick answer: in which views might a closer look find anything? None: in none."""
        units = units_of(scanned)
        codes = as_string(table()[units])
        plain = bool(self._in_any_text.find(codes))
        twice = False
        if self._repeats:
            same = units[1:] == units[:-1]
            if b"\1" in same.tobytes():
                twice = self._any_at_repeats(as_string(table()[units[:-1][~same]]) + codes[-1], same)
        parts = bool(self._parts and self._splits_in(scanned, codes))
        letters = self._pinyin and self._letters_matter(scanned, codes)
        if self._pinyin and not letters and len(scanned) != len(normalised.original) and _run_of_letters(scanned):
            # The scan has run words together.
            letters = self._letters_matter(normalised.text, coded(normalised.text))
        return _Where(plain, twice, parts, letters) if plain or twice or parts or letters else None

    def _any_at_repeats(self, codes: str, same: np.ndarray) -> bool:
        """Does a term stand over a place where a character was repeated?"""
        found = [*self._in_any_text.find(codes), *self._in_disguise.find(codes), *self._once.find(codes)]
        if not found:
            return False
        places = np.flatnonzero(same)
        repeated = (places - np.arange(len(places))).tolist()  # where they stand now, in order
        return any(bisect_left(repeated, start) < bisect_left(repeated, end) for start, end, _pattern in found)

    def _splits_in(self, text: str, codes: str) -> dict[int, tuple[int, str]]:
        """Where characters are taken apart, the end of the parts, and the code of the character; only those that follow
        on a neighbour as they do in a term."""
        found = [(start, end, self._code_of_parts[part]) for start, end, part in self._find_parts(text)]
        if not found:
            return {}
        starts, ends = {one[0] for one in found}, {one[1] for one in found}
        splits: dict[int, tuple[int, str]] = {}
        for start, end, code in found:
            known = splits.get(start)
            if (known is None or known[0] < end) and (
                start in ends
                or end in starts
                or "a" <= text[start - 1 : start] <= "z"
                or "a" <= text[end : end + 1] <= "z"
                or self._follows(codes, start - 1, code, before=True)
                or self._follows(codes, end, code, before=False)
            ):
                splits[start] = end, code
        return splits

    def _follows(self, codes: str, at: int, code: str, *, before: bool) -> bool:
        """Is this the neighbour of the code in a term?"""
        return 0 <= at < len(codes) and (codes[at] + code if before else code + codes[at]) in self._pairs

    def _spelled_in(self, text: str, codes: str) -> Iterator[tuple[int, int]]:
        """Latin words that follow on a neighbour, or their syllables on each other, as they do in a term."""
        last_end, last_heard = -2, set[str]()  # of the word before
        last_start = yielded = -1
        for start, end in spelled_runs(text):
            ways = [[_code_heard(syllable) for syllable, _first, _last in way] for way in readings_of(text[start:end])]
            if end - start <= 2 and len(ways) == 0:
                ways = [[_code_heard(letter) for letter in text[start:end]]]
            after_word = start - last_end <= 1 and any(
                one + way[0] in self._pairs for one in last_heard for way in ways
            )
            if after_word and yielded != last_start:
                yield last_start, last_end
            if after_word or any(self._heard_here(codes, start, end, way) for way in ways):
                yield start, end
                yielded = start
            last_start, last_end, last_heard = start, end, {way[-1] for way in ways}

    def _heard_here(self, codes: str, start: int, end: int, heard: Sequence[str]) -> bool:
        return (
            self._follows(codes, start - 1, heard[0], before=True)
            or self._follows(codes, end, heard[-1], before=False)
            or any(one + other in self._pairs for one, other in pairwise(heard))
        )

    def _letters_matter(self, text: str, codes: str) -> bool:
        runs = runs_of_letters.findall(text)
        if not runs or not any(map(_worth_reading, runs)) and not any(map(self._is_initials, runs)):
            return False
        for _run in self._spelled_in(text, codes):
            return True
        return any(map(self._is_initials, runs))

    def _is_initials(self, run: str) -> bool:
        return len(run) > 2 and (_short(run) in self._initials or run.replace("v", "w") in self._initials)

    def _candidates(self, text: str, where: _Where) -> Iterator[tuple[int, int]]:
        """(place of a term, start in the text), each once."""
        codes = coded(text)
        seen: set[tuple[int, int]] = set()
        if where.plain:
            find, terms = self._in_any_text.find, self._in_any_text.terms
            seen.update((place, start) for start, _end, pattern in find(codes) for place in terms(pattern))
            yield from seen
        for view in self._views(text, codes, where):
            marks = view.marks
            indexes = [self._in_any_text, self._in_disguise, self._once]
            for index in indexes if view.once else indexes[:2]:
                for start, end, pattern in index.find(view.codes):
                    if DISGUISED not in marks[start:end]:
                        continue  # stands in the text as it is, too
                    for place in index.terms(pattern):
                        one = (place, view.starts[start])
                        if one not in seen:
                            seen.add(one)
                            yield one
        if where.letters and self._initials:
            for run in runs_of_letters.finditer(text):
                for letters in {_short(run[0]), run[0].replace("v", "w")}:
                    for place in numbers_of(self._initials.get(letters, ())):
                        yield place, run.start()

    def _views(self, text: str, codes: str, where: _Where) -> Iterator[View]:
        if where.twice and (once := without_repeats(as_it_is(codes))):
            yield once
        splits = self._splits_in(text, codes) if where.parts else {}
        places = [(start, end) for start, (end, _code) in splits.items()]
        if where.letters:
            places += self._spelled_in(text, codes)
        for window in windows(text, places):
            for number, ways in enumerate(_choices(text, window)):
                view, letters = read_out(text, codes, window, ways, splits)
                yield view
                if self._repeats and (once := without_repeats(view)):
                    yield once
                if where.letters and number == 0:
                    yield from initials_as_syllables(view, letters, self._neighbours)
                    if len(letters) > MOST_LETTERS:
                        raise TooMuchToRead


def _choices(text: str, window: tuple[int, int]) -> Iterator[dict[int, int]]:
    """For each word with several readings (by its start) which one to take: the first of all, then another of one."""
    yield {}
    others = [
        {run.start(): way}
        for run in runs_of_letters.finditer(text, *window)
        for way in range(1, len(readings_of(run[0])))
    ]
    yield from others[:_MAX_READINGS]


def _readings(choices: Sequence[Sequence[str]]) -> Iterator[str]:
    """All ways to read a term; of one with very many, those in which two characters at most have a rarer reading."""
    if prod(map(len, choices)) <= _MAX_READINGS:
        yield from map("".join, product(*choices))
        return
    usual = [of[0] for of in choices]
    several = [place for place, of in enumerate(choices) if len(of) > 1]
    for pair in combinations(several, 2):
        for chosen in product(*(choices[place] for place in pair)):
            reading = usual.copy()
            for place, code in zip(pair, chosen, strict=True):
                reading[place] = code
            yield "".join(reading)


@cache
def _code_heard(syllable: str) -> str:
    if is_initial(syllable) or syllable in "aeo":
        return "w" if syllable == "v" else syllable
    return code_of_syllable(syllable)


@lru_cache(maxsize=16384)
def _worth_reading(run: str) -> bool:
    return len(run) <= 2 or bool(readings_of(run))


@lru_cache(maxsize=16384)
def _short(run: str) -> str:
    """Letters as `first_letters` has them: z for zh, w for v."""
    return run.replace("zh", "z").replace("ch", "c").replace("sh", "s").replace("v", "w")


@cache
def first_letters() -> dict[int, str]:
    """The letter that each character's reading begins with, for str.translate."""
    return {code: heard[0][0] for code in range(0x4E00, 0xA000) if (heard := readings(chr(code)))}
