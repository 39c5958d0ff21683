"""Whether a term stands at a place of a folded text in one of the disguises that its entry allows, and how far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from moderation.look_alikes import alike, shaped_like
from moderation.look_alikes import has_any as has_look_alikes
from moderation.ordinary_words import abbreviations, words, words_over, words_with
from moderation.pinyin_fold import initials, readings, same_sound, similar_sound, spellings
from moderation.split_characters import parts_of

OPTIONS = ("pinyin", "homophones", "split", "digits", "repeats")
MAX_REPEATS = 12  # of one character; more are as good as a line
_RARE = 30  # everyday words with a character, up to which it is a rare one
_WORDS_OF_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")


class Disguise(NamedTuple):
    """The options of a term as switches."""

    pinyin: bool = False
    homophones: bool = False
    split: bool = False
    digits: bool = False
    repeats: bool = False


def disguise_of(options: Mapping[str, Any]) -> Disguise | None:
    """The switches of an entry's options; None where all are off."""
    return _disguise(*map(options.get, OPTIONS))


@cache
def _disguise(*switches: Any) -> Disguise | None:
    return Disguise(*map(bool, switches)) if any(switches) else None


class _Way(NamedTuple):
    """One way to read the text up to `end` as the first characters of a term: how many characters stand there
    themselves, and which places hold something else."""

    end: int
    itself: int = 0
    sounds: tuple[int, ...] = ()
    similar: int = 0  # of the sounds, those that are alike only for many people
    letters: int = 0  # written as an initial
    syllables: int = 0
    looks: int = 0
    parts: tuple[tuple[int, int], ...] = ()


@lru_cache(maxsize=16384)
def _typed(character: str) -> tuple[str, ...]:
    return tuple({typed for reading in readings(character) for typed in spellings(reading)})


@lru_cache(maxsize=16384)
def _initials(character: str) -> tuple[str, ...]:
    return tuple({letters for reading in readings(character) for letters in initials(reading)})


def _steps(character: str, text: str, way: _Way, how: Disguise) -> Iterator[_Way]:
    """The ways to read the character next."""
    at = way.end
    there = text[at : at + 1]
    if not there:
        return
    if how.pinyin and there in " '-" and at and text[at - 1] in _WORDS_OF_LETTERS:
        yield from _steps(character, text, way._replace(end=at + 1), how)
        return
    one: _Way | None = None
    if there == character:
        one = way._replace(end=at + 1, itself=way.itself + 1)
    elif how.digits and alike(there, character):
        one = way._replace(end=at + 1, looks=way.looks + 1)
    elif how.homophones and there.isnumeric() is False and not there.isascii() and similar_sound(there, character):
        similar = not same_sound(there, character)
        one = way._replace(end=at + 1, sounds=(*way.sounds, at), similar=way.similar + similar)
    elif how.homophones and (there in shaped_like(character) or _number_for(there, character)):
        one = way._replace(end=at + 1, sounds=(*way.sounds, at))
    if one:
        yield one
        if how.repeats and not "0" <= there <= "9":
            end = at + 1
            sounds = one.sounds
            while end < at + MAX_REPEATS and text[end : end + 1] == there:
                if one.sounds != way.sounds:
                    sounds = (*sounds, end)
                end += 1
                yield one._replace(end=end, sounds=sounds)
    if how.pinyin and there in _WORDS_OF_LETTERS and not character.isascii():
        for typed in _typed(character):
            if text.startswith(typed, at):
                yield way._replace(end=at + len(typed), syllables=way.syllables + 1)
        for letters in _initials(character):
            if text.startswith(letters, at):
                yield way._replace(end=at + len(letters), letters=way.letters + 1)
    if how.split:
        for parts in parts_of(character):
            if text.startswith(parts, at):
                yield way._replace(end=at + len(parts), parts=(*way.parts, (at, at + len(parts))))


def _number_for(there: str, character: str) -> bool:
    return "0" <= there <= "9" and not character.isascii() and same_sound(there, character)


def spelled(term: str, text: str, start: int, how: Disguise) -> int | None:
    """Where the term ends that begins at `start`, the farthest of the ways that hold; None if it doesn't stand there."""
    ways = {_Way(start)}
    for character in term:
        ways = {after for way in ways for after in _steps(character, text, way, how)}
        if not ways:
            return None
        if len(ways) > 64:
            ways = set(sorted(ways, key=lambda way: (-way.itself, way.end))[:64])
    ends = [way.end for way in ways if _holds(way, term, text, start, how)]
    return max(ends) if ends else None


def _holds(way: _Way, term: str, text: str, start: int, how: Disguise) -> bool:
    if _cuts_letters(text, start, way.end) or (term.isascii() and _cuts_number(text, start, way.end)):
        return False
    return _initials_hold(way, term, text, start) and _looks_hold(way, term) and _sounds_hold(way, term, text, start)


def _cuts_letters(text: str, start: int, end: int) -> bool:
    """Does either end cut a word of letters in two?"""
    if start and text[start] in _WORDS_OF_LETTERS and text[start - 1] in _WORDS_OF_LETTERS:
        return True
    return end < len(text) and text[end] in _WORDS_OF_LETTERS and text[end - 1] in _WORDS_OF_LETTERS


def _cuts_number(text: str, start: int, end: int) -> bool:
    """Does what may be read as a digit stand before or after?"""
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return any(any(alike(one, digit) for digit in "0123456789") for one in around)


def _initials_hold(way: _Way, term: str, text: str, start: int) -> bool:
    """Letters for characters: beside a character of the term itself, or as a word of four; of three only between
    Chinese characters."""
    if not way.letters:
        return True
    if way.letters == len(term):
        return len(term) >= 4 or (len(term) == 3 and text[start : way.end] not in abbreviations()
                                  and _beside_han(text, start, way.end))  # fmt: skip
    return way.itself > 0 and way.letters * 3 <= len(term) * 2 and not (way.sounds and len(term) < 4)


def _beside_han(text: str, start: int, end: int) -> bool:
    return any("\u4e00" <= text[at] <= "\u9fff" for at in (start - 1, end) if 0 <= at < len(text))


def _looks_hold(way: _Way, term: str) -> bool:
    # 99 is not qq: one of its letters or digits stands there itself, unless it has only digits.
    ascii_ = [character for character in term if character.isascii()]
    return all(map(str.isdigit, ascii_)) or way.looks < len(ascii_)


def _sounds_hold(way: _Way, term: str, text: str, start: int) -> bool:
    """Chance likeness in sound: a term of two characters is given up where everyday words explain what stands there,
    longer ones where such a word reaches out of it."""
    if (
        len(term) < 3
        and len(way.sounds) > 1
        and not way.itself
        and any(words_with().get(text[at], 0) > _RARE for at in way.sounds)
    ):
        return False  # both replaced, by characters that are in everybody's mouth
    if way.similar and len(term) < 3 or way.similar * 2 > len(term):
        return False
    reach = [(start, way.end)] if len(term) > 2 else []
    if len(term) <= 3:
        for at in way.sounds:
            for word_start, word_end in words_over(text, at):
                if not any(first <= word_start and word_end <= last for first, last in reach):
                    return False
        if len(term) == 3 and len(way.sounds) == 3 and any(words_over(text, at) for at in way.sounds):
            return False
        if any(text[first:last] in words() for first, last in way.parts):
            return False
    elif way.sounds and _all_explained(way, text, start):
        return False
    return True


def _all_explained(way: _Way, text: str, start: int) -> bool:
    """Does every place that only sounds like the term belong to an everyday word that reaches out of the place?"""
    return all(any(first < start or last > way.end for first, last in words_over(text, at)) for at in way.sounds)


def default_options(value: str) -> dict[str, bool]:
    """The options proposed for a new term, by its length in Chinese characters (docs/feature-library.md says why)."""
    han = sum(bool(readings(character)) and not character.isascii() for character in value)
    options = {
        "pinyin": han >= 2,
        "homophones": han >= 3,
        "split": han >= 2,
        "digits": len(value) >= 3 and has_look_alikes(value),
        "repeats": han >= 2,
    }
    return {name: True for name, on in options.items() if on}
