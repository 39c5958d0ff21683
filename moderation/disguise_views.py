"""Views of a folded text in coarse codes: with latin words as the syllables they spell, characters taken apart as one, and
letters as all the syllables they may be the initial of. Each remembers where in the text its codes stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from moderation.coarse_codes import NO_CHARACTER, code_of_syllable, codes_of_initial
from moderation.pinyin_fold import parsed, parsed_with_initials

REACH = 8  # characters around what is disguised in which the rest of a term may stand
_MOST_REPEATS = 12
_twice = re.compile(r"(.)\1", re.DOTALL)
_run_of_one = re.compile(r"(.)\1*", re.DOTALL)
MOST_LETTERS = 2000  # of one stretch of text that are tried as initials
PLAIN, DISGUISED = "0", "1"
NO_CHARACTER_ = chr(NO_CHARACTER)
_MOST_KNOWN = 50_000
runs_of_letters = re.compile("[a-z]+")


class View(NamedTuple):
    """Codes, at which character of the text each stands, and a mark (DISGUISED, else PLAIN) for each that says whether
    the text has something else there than one character."""

    codes: str
    starts: Sequence[int]
    marks: str
    once: bool = False  # are its repetitions taken out?


class Letter(NamedTuple):
    """A letter that may be the initial of a syllable, and where in the view it stands."""

    place: int
    letter: str


def beside_han(text: str, start: int, end: int) -> bool:
    """Does a Chinese character, or a digit, which may be written for one, stand next to this part of the text?"""
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    return any("\u3400" <= one <= "\u9fff" or "0" <= one <= "9" for one in (before, after))


def is_initial(syllable: str) -> bool:
    """Is this only the first letter of a syllable?"""
    return len(syllable) == 1 and syllable not in "aeo"


def readings_of(run: str) -> tuple[tuple[tuple[str, int, int], ...], ...]:
    """The ways to read a latin word as syllables, or as syllables and initials."""
    return parsed(run) or parsed_with_initials(run)


def spelled_runs(text: str) -> Iterator[tuple[int, int]]:
    """The latin words of a text that may be part of a term: syllables beside Chinese characters or beside each other, and
    one or two letters beside Chinese characters."""
    last_end, last = -2, None
    for run in runs_of_letters.finditer(text):
        start, end = run.span()
        ways = readings_of(run[0])
        if beside_han(text, start, end):
            if ways or end - start <= 2:
                yield start, end
        elif ways:
            if start - last_end <= 1 and last:
                yield last
                yield start, end
            elif len(ways[0]) > 1:
                yield start, end
        last_end, last = end, ((start, end) if ways else None)


def windows(text: str, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of a text around these places, REACH characters on either side (a repeated one counts once), joined where
    they meet."""
    begin = finish = -1
    for start, end in sorted(places):
        first, last = _reached(text, start - 1, -1) + 1, _reached(text, end, 1)
        if finish >= 0 and first <= finish:
            finish = max(finish, last)
            continue
        if finish >= 0:
            yield begin, finish
        begin, finish = first, last
    if finish >= 0:
        yield begin, finish


def _reached(text: str, at: int, step: int) -> int:
    """The first index that is too far from here."""
    left = REACH
    for _n in range(REACH * _MOST_REPEATS):
        if not 0 <= at < len(text):
            break
        if not 0 <= at - step < len(text) or text[at] != text[at - step]:
            if not left:
                break
            left -= 1
        at += step
    return at


def as_it_is(codes: str) -> View:
    """The view of a text in which each code stands for one character."""
    return View(codes, range(len(codes)), PLAIN * len(codes))


def without_repeats(view: View) -> View | None:
    """The view with runs of one code as one; None if there are none."""
    codes, starts, marks, _once = view
    if _twice.search(codes) is None:
        return None
    kept = [run.start() for run in _run_of_one.finditer(codes)]
    ends = [*kept[1:], len(codes)]
    return View(
        "".join([codes[at] for at in kept]),
        [starts[at] for at in kept],
        "".join([DISGUISED if end - at > 1 else marks[at] for at, end in zip(kept, ends, strict=True)]),
        once=True,
    )


def read_out(
    text: str, codes: str, window: tuple[int, int], ways: Mapping[int, int], splits: Mapping[int, tuple[int, str]]
) -> tuple[View, list[Letter]]:
    """A part of a text with its latin words as syllables and its split characters joined; and the letters in it that may
    be initials.

    `codes` are those of the whole text; `ways` chooses among the readings of a word by its start (fangan: fang an, fan
    gan; else the first); `splits` says for a place where the parts of a character end and what the code of that is.
    """
    out: list[str] = []
    starts: list[int] = []
    marks: list[str] = []
    letters: list[Letter] = []
    at, last = window
    while at < last:
        if at in splits:
            end, code = splits[at]
            out.append(code)
            starts.append(at)
            marks.append(DISGUISED)
            at = end
        elif "a" <= text[at] <= "z" and (run := runs_of_letters.match(text, at)):
            _read_letters(text, codes, run, ways.get(at, 0), out, starts, letters)
            marks += [DISGUISED] * (len(out) - len(marks))
            at = run.end()
        else:
            if text[at] != " ":
                out.append(codes[at])
                starts.append(at)
                marks.append(PLAIN)
            at += 1
    return View("".join(out), starts, "".join(marks)), letters


def _read_letters(
    text: str, codes: str, run: re.Match[str], way: int, out: list[str], starts: list[int], letters: list[Letter]
) -> None:
    start, end = run.span()
    ways = readings_of(run[0])
    if end - start <= 2 and (end - start == 1 or not ways) and beside_han(text, start, end):
        for offset, letter in enumerate(run[0][:1] if run[0] in ("zh", "ch", "sh") else run[0]):
            letters.append(Letter(len(out), letter))
            out.append(codes[start + offset])
            starts.append(start + offset)
    elif ways:
        for syllable, first, _last in ways[min(way, len(ways) - 1)]:
            if is_initial(syllable):
                letters.append(Letter(len(out), syllable))
            out.append(codes[start + first] if is_initial(syllable) else code_of_syllable(syllable))
            starts.append(start + first)
    else:
        out += codes[start:end]
        starts += range(start, end)


class Neighbours:
    """Which codes stand next to which in the terms of a library; `pairs` are two codes each, or a code and an initial."""

    def __init__(self, pairs: Set[str]) -> None:
        self.pairs = pairs
        self._known: dict[str, frozenset[str]] = {}

    def after(self, code: str, letter: str) -> frozenset[str]:
        """The codes of syllables with this initial that follow on a code."""
        return self._of(code + letter, letter, lambda syllable: code + syllable)

    def before(self, letter: str, code: str) -> frozenset[str]:
        """The codes of syllables with this initial that a code follows on."""
        return self._of(NO_CHARACTER_ + letter + code, letter, lambda syllable: syllable + code)

    def _of(self, key: str, letter: str, pair: Callable[[str], str]) -> frozenset[str]:
        known = self._known.get(key)
        if known is None:
            if len(self._known) > _MOST_KNOWN:
                self._known.clear()
            known = frozenset(one for one in codes_of_initial(letter) if pair(one) in self.pairs)
            self._known[key] = known
        return known


def initials_as_syllables(view: View, letters: Sequence[Letter], neighbours: Neighbours) -> Iterator[View]:
    """The surroundings of each letter, and of each two that are near each other, once with every syllable that they may
    be the initial of and that has such a neighbour in a term."""
    codes, starts = view.codes, view.starts
    for number, letter in enumerate(letters[:MOST_LETTERS]):
        near = letters[number + 1 : number + 2]
        for chosen in ([letter], [letter, *near]) if near and near[0].place - letter.place < REACH else ([letter],):
            first, last = max(0, letter.place - REACH), min(len(codes), chosen[-1].place + REACH + 1)
            rows = [codes[first:last]]
            for one in chosen:
                here = one.place - first
                rows = [
                    row[:here] + code + row[here + 1 :]
                    for row in rows
                    for code in _meant(row, here, one, chosen, neighbours)
                ]
            if rows:
                places = {one.place for one in chosen}
                marks = "".join([DISGUISED if place in places else PLAIN for place in range(first, last + 1)])
                yield View(NO_CHARACTER_.join(rows), [*starts[first:last], -1] * len(rows), marks * len(rows))


def _meant(
    row: str, here: int, one: Letter, chosen: Sequence[Letter], neighbours: Neighbours
) -> frozenset[str] | tuple[str, ...]:
    if one is not chosen[-1] and one.place + 1 == chosen[-1].place:
        return codes_of_initial(one.letter)  # the next letter will tell
    meant = neighbours.after(row[here - 1], one.letter) if here else frozenset[str]()
    if here + 1 < len(row):
        meant |= neighbours.before(one.letter, row[here + 1])
    return meant
