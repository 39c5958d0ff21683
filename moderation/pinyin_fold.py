"""How characters sound: toneless syllables, what is typed for them, and classes of syllables that are easily confused."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

_SECOND = Path(__file__).parent / "data" / "second_readings.txt"
# What the digits are called.
DIGIT_READINGS = {
    "0": ("ling",), "1": ("yi", "yao"), "2": ("er",), "3": ("san",), "4": ("si",), "5": ("wu",), "6": ("liu",),
    "7": ("qi",), "8": ("ba",), "9": ("jiu",),
}  # fmt: skip
_MOST_WAYS, _MOST_TRIED = 6, 64
# Letters written for an initial that no syllable begins with.
_WRITTEN_FOR = {"v": "w"}
_VOWELS = re.compile("[aeiouv]")


def _toneless(reading: str) -> str:
    plain = unicodedata.normalize("NFD", reading).replace("u\u0308", "v")
    return "".join(character for character in plain if "a" <= character <= "z")


@cache
def _also_read() -> dict[str, tuple[str, ...]]:
    # The dictionary's first reading always counts, its rare ones never (信 is in it as shen, too).
    with _SECOND.open(encoding="utf-8") as lines:
        rows = [line.split() for line in lines if not line.startswith("#")]
    return {character: tuple(others) for character, *others in rows}


@cache
def _first_readings() -> dict[str, str]:
    from pypinyin.constants import PINYIN_DICT

    first = {}
    for code, listed in PINYIN_DICT.items():
        if 0x3400 <= code <= 0xFFFF:
            syllable = _toneless(listed.split(",", 1)[0])
            if _VOWELS.search(syllable):
                first[chr(code)] = syllable
    return first


@lru_cache(maxsize=16384)
def readings(character: str) -> tuple[str, ...]:
    """The syllables (without tones; ü as v) in common use for a Han character or digit; none for anything else."""
    if character in DIGIT_READINGS:
        return DIGIT_READINGS[character]
    first = _first_readings().get(character)
    if first is None:
        return ()
    return (first, *(other for other in _also_read().get(character, ()) if other != first))


def also_read() -> frozenset[str]:
    """The characters with more than one common reading."""
    return frozenset(_also_read())


@cache
def syllables() -> frozenset[str]:
    """All syllables that are typed."""
    all_ = {*_first_readings().values(), *(one for more in _also_read().values() for one in more)}
    common = {one for one in all_ if len(one) <= 6}
    return frozenset(typed for one in common if _VOWELS.search(one) for typed in (one, *_for_umlaut(one)))


def _for_umlaut(syllable: str) -> tuple[str, ...]:
    return (syllable.replace("v", "u"), syllable.replace("v", "yu")) if "v" in syllable else ()


def spellings(syllable: str) -> tuple[str, ...]:
    """What is typed for a syllable: 女 is nv or nu; wei is also vei where v stands for w."""
    if "v" in syllable:
        return syllable, *_for_umlaut(syllable)
    if syllable.startswith("w"):
        return syllable, "v" + syllable[1:]
    return (syllable,)


def initials(syllable: str) -> tuple[str, ...]:
    """Letters that stand for a syllable: z and zh for zhi, w and v for wei."""
    first = syllable[0]
    letters = [first]
    if syllable[1:2] == "h":
        letters.append(first + "h")
    letters += [written for written, meant in _WRITTEN_FOR.items() if meant == first]
    return tuple(letters)


@cache
def syllables_of_initial(letter: str) -> tuple[str, ...]:
    """All syllables a letter may stand for."""
    meant = _WRITTEN_FOR.get(letter, letter)
    return tuple(sorted(one for one in syllables() if one[0] == meant))


def sound_class(syllable: str) -> str:
    """One name for syllables that many people don't keep apart: zh and z, ch and c, sh and s; ang and an, eng and en,
    ing and in; lv and lu."""
    if syllable[1:2] == "h":
        syllable = syllable[0] + syllable[2:]
    syllable = syllable.replace("v", "u").replace("yu", "u") if syllable[0] in "ln" else syllable.replace("v", "u")
    if syllable[-3:] in ("ang", "eng", "ing"):
        syllable = syllable[:-1]
    return syllable


def same_sound(one: str, other: str) -> bool:
    """Do two characters share a reading, tones aside?"""
    return not set(readings(one)).isdisjoint(readings(other))


def similar_sound(one: str, other: str) -> bool:
    """Do they share one as far as many people keep them apart?"""
    return not set(map(sound_class, readings(one))).isdisjoint(map(sound_class, readings(other)))


@lru_cache(maxsize=32768)
def parsed(letters: str) -> tuple[tuple[tuple[str, int, int], ...], ...]:
    """The ways to read a run of small letters wholly as syllables, each as (syllable, start, end): those with the fewest
    syllables, as many as _MOST_WAYS."""
    if not 1 <= len(letters) <= 60:
        return ()
    known = syllables()
    dead: set[int] = set()
    ways: list[tuple[tuple[str, int, int], ...]] = []

    def read(at: int, so_far: tuple[tuple[str, int, int], ...]) -> bool:
        if at == len(letters):
            ways.append(so_far)
            return True
        alive = False
        for end in range(min(len(letters), at + 6), at, -1):
            if len(ways) >= _MOST_TRIED:
                return True
            part = letters[at:end]
            if part[0] == "v" and "w" + part[1:] in known:
                part = "w" + part[1:]
            if part in known and end not in dead:
                alive |= read(end, (*so_far, (part, at, end)))
        if not alive:
            dead.add(at)
        return alive

    read(0, ())
    return tuple(sorted(ways, key=len)[:_MOST_WAYS])


@lru_cache(maxsize=32768)
def parsed_with_initials(letters: str) -> tuple[tuple[tuple[str, int, int], ...], ...]:
    """The way to read a run that is not all syllables as syllables and one or two initials (shuad, weix); an initial is a
    syllable of one letter. None where it is mostly initials."""
    if not 3 <= len(letters) <= 24 or parsed(letters):
        return ()
    known = syllables()
    read: list[tuple[str, int, int]] = []
    at = singles = 0
    while at < len(letters):
        part = next(
            (letters[at:end] for end in range(min(len(letters), at + 6), at + 1, -1) if letters[at:end] in known), ""
        )
        if not part:
            part = letters[at]
            singles += 1
            if part in "aeiou" or singles > 2:
                return ()
        read.append((part, at, at + len(part)))
        at += len(part)
    return (tuple(read),) if singles < len(read) else ()
