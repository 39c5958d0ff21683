"""Coarse codes: one for all characters that may be written for one another because they sound or look alike. Views of
texts and terms in these codes only tell where to look; what stands there is told by `moderation.spelling`."""

from __future__ import annotations

from functools import cache

import numpy as np

from moderation.look_alikes import GROUPS, shaped_like, with_shapes
from moderation.pinyin_fold import DIGIT_READINGS, also_read, readings, sound_class, syllables, syllables_of_initial

NO_CHARACTER = 0xFFFF  # parts windows in a view; no folded text holds it
_FIRST_CODE = 0xE000  # private characters, which folding leaves in no text


@cache
def _codes_of_sounds() -> dict[str, int]:
    """The code of each class of syllables. 6, 8 and 9 share one, because b looks like the first two and g like 6 and 9."""
    names = sorted({sound_class(one) for one in syllables()} | set("abcdefghijklmnopqrstuvwxyz"))
    codes = {name: _FIRST_CODE + number for number, name in enumerate(names)}
    codes["ba"] = codes["jiu"] = codes["liu"]
    return codes


_SOUND_OF_GROUP = ("yi", "lin", "er", "san", "si", "wu", "liu", "qi", "ba", "jiu", "si", "bai", "qian", "wan")


@cache
def table() -> np.ndarray:
    """The code of each character of the BMP; one that sounds and looks like nothing else is its own."""
    sounds = _codes_of_sounds()
    codes = np.arange(0x10000, dtype=np.uint16)
    codes[NO_CHARACTER] = 0xFFFD
    codes[0xD800:0xE000] = 0xFFFD
    for code in range(0x3400, 0xA000):
        if heard := readings(chr(code)):
            codes[code] = sounds[sound_class(heard[0])]
    for group, sound in zip(GROUPS, _SOUND_OF_GROUP, strict=True):
        for character in group:
            codes[ord(character)] = sounds[sound]
    return codes


@cache
def other_codes() -> dict[str, tuple[str, ...]]:
    """For characters with several common readings, or that are numbers: all their codes, that of the first reading first."""
    sounds, of = _codes_of_sounds(), table()
    numbers = {character for group in GROUPS for character in group if not character.isascii()}
    several = {}
    for character in {*also_read(), *numbers, *DIGIT_READINGS, *with_shapes()}:
        codes = {int(of[ord(one)]) for one in (character, *shaped_like(character))}
        codes |= {sounds[sound_class(one)] for one in readings(character)}
        if len(codes) > 1:
            several[character] = tuple(map(chr, sorted(codes, key=lambda code: code != int(of[ord(character)]))))
    return several


def units_of(text: str) -> np.ndarray:
    """The characters as numbers, one each; those beyond the BMP as one that is in no term."""
    units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), np.uint16)
    if len(units) != len(text):
        wide = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        units = np.where(wide > 0xFFFF, 0xFFFD, wide).astype(np.uint16)
    return units


def as_string(codes: np.ndarray) -> str:
    """Codes as the string that automata look through."""
    return codes.tobytes().decode("utf-16-le")


def coded(text: str) -> str:
    """A text in codes, one for each character."""
    return as_string(table()[units_of(text)])


@cache
def code_of_syllable(syllable: str) -> str:
    """The code of all characters that sound like this."""
    return chr(_codes_of_sounds()[sound_class(syllable)])


@cache
def codes_of_initial(letter: str) -> tuple[str, ...]:
    """The codes of all syllables that a letter may be the initial of."""
    return tuple(sorted({code_of_syllable(one) for one in syllables_of_initial(letter)}))


@cache
def initials_of_code(code: str) -> tuple[str, ...]:
    """The letters that syllables with this code begin with."""
    return _initials_of_codes().get(code, ())


@cache
def _initials_of_codes() -> dict[str, tuple[str, ...]]:
    letters: dict[str, set[str]] = {}
    for syllable in syllables():
        letters.setdefault(code_of_syllable(syllable), set()).add(syllable[0])
    return {code: tuple(sorted(of)) for code, of in letters.items()}
