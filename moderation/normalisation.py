"""Folds text so that one listed term meets its disguises, and leads every hit back to the original.

Three stages:

1. `characters.CHARACTER_FOLDS`, one character at a time and blind to its neighbours: width, compatibility forms, circled digits,
   case, accents, traditional characters; what cannot be seen is removed.
2. The joins (`Joins`): separators put between the characters of a word (加.微*信, v-x) are taken out again; spaces
   between words and the punctuation of sentences stay.
3. Look-alikes: Cyrillic and Greek letters inside a word that is otherwise Latin or digits.

Repeated characters are not collapsed here. Every folded character comes from exactly one original character, so one
number for each is all the offsets need; they are worked out only when a hit asks for them, because nearly all texts
have no hit and the folded text itself costs a few C-level calls.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from itertools import compress
from typing import Any

from moderation.characters import LOOK_ALIKES, fold_character, simplified
from moderation.joins import ASTRAL, ASTRAL_SYMBOLS, BMP, HAN, Joins, Origins, Step, class_of, moved

# Raise the first number when any table or expression below changes, or opencc is upgraded: it says under which folding
# a finding was made. Python's own Unicode tables take part, so workers of one installation run one Python.
NORMALISATION_VERSION = f"2-unicode{unicodedata.unidata_version}"


class _Characters:
    """Stages 1 and 3 over whole texts: the folds of `fold_character` as a table."""

    def __init__(self, separator_class: str) -> None:
        to_simple = simplified()
        self._table: list[int | str] = list(range(len(BMP)))
        rare, marks = [], []
        unseen: list[str] = []
        several: list[str] = []
        for code, character in enumerate(BMP):
            if 0xAC00 <= code < 0xD7A4 or (0x3400 <= code < 0xA000 and character not in to_simple):
                continue  # half of the plane, known to fold to itself
            folded = fold_character.__wrapped__(character)
            if folded == character:
                if unicodedata.category(character)[0] == "M":
                    marks.append(character)
                continue
            self._table[code] = ord(folded) if len(folded) == 1 else folded
            if len(folded) != 1:
                (several if folded else unseen).append(character)
            if folded != _fold_common(character) or character == "Σ":  # the one that lower() changes by its neighbours
                rare.append(character)
        mark = class_of(marks)
        letter = f"[^{separator_class}{HAN}]"
        look_alikes = "".join(map(chr, LOOK_ALIKES))
        self.rare_class = f"{class_of(rare)}{mark}{look_alikes}{ASTRAL}"
        self.find_rare = re.compile(f"[{self.rare_class}]").search
        self._uneven = re.compile(f"[{class_of(unseen + several)}{ASTRAL}]")
        self._unseen = Step(re.compile(rf"[{class_of(unseen)}\U000e0000-\U000e0fff]+"))
        self._astral = re.compile(f"[{ASTRAL}]")
        self._scanned_away = re.compile(f"[{separator_class}{mark}]+")
        # Marks that are spelling in their own script are decoration on Chinese, Latin, Greek, Cyrillic, or on nothing.
        self._stray_marks = Step(
            re.compile(rf"[{mark}](?:(?<=[{HAN}a-z0-9\u0370-\u052f{separator_class}].)|(?<=\A.))[{mark}]*+", re.DOTALL)
        )
        self._mixed_word = re.compile(
            f"(?<!{letter})[a-zA-Z0-9]*+[{look_alikes}][a-zA-Z0-9{look_alikes}]*+(?!{letter})"
        )
        self._look_alike = re.compile(f"[{look_alikes}]")

    def apply(self, text: str) -> str:
        if self._look_alike.search(text):
            # Before case is folded, too, because Η looks like H but η like n; the unseen would part their words here.
            text = self.latinise(self._unseen.apply(text))
        return self._stray_marks.apply(self._fold(text))

    def scan(self, text: str) -> str | None:
        """The text folded without its separators and marks; None where only the exact way can tell."""
        if self._look_alike.search(text):
            return None
        return self._scanned_away.sub("", self._fold(text))

    def _fold(self, text: str) -> str:
        return self._astral.sub(lambda match: fold_character(match[0]), text.translate(self._table))

    def latinise(self, text: str) -> str:
        """Makes look-alikes Latin in words of Latin letters, digits and look-alikes only; changes no length."""
        if self._look_alike.search(text):
            return self._mixed_word.sub(_latin_if_mixed, text)
        return text

    def trace(self, text: str) -> Origins | None:
        """What `apply` does, on origins."""
        if self.find_rare(text) is None:
            return None
        origins = None
        if self._look_alike.search(text):
            origins = moved(origins, len(text), self._unseen.edits(text))
            text = self.latinise(self._unseen.apply(text))
        lengths = [(*match.span(), len(fold_character(match[0]))) for match in self._uneven.finditer(text)]
        origins = moved(origins, len(text), [edit for edit in lengths if edit[2] != 1])
        text = self._fold(text)
        return moved(origins, len(text), self._stray_marks.edits(text))


def _latin_if_mixed(word: re.Match[str]) -> str:
    return word[0] if word[0].isascii() or not re.search("[a-zA-Z0-9]", word[0]) else word[0].translate(LOOK_ALIKES)


def _fold_common(text: str) -> str:
    """All of stage 1 for a text in which `_Characters.find_rare` finds nothing; changes no length."""
    text = text.lower()
    if text.isascii():
        return text
    # A loop would cost as much again as the replacing.
    text = text.replace("，", ",").replace("！", "!").replace("？", "?").replace("：", ":").replace("；", ";")
    return text.replace("（", "(").replace("）", ")")


class _Stages:
    def __init__(self) -> None:
        self.joins = Joins()
        self.characters = _Characters(self.joins.separator_class)
        joins, rare = self.joins, self.characters.rare_class
        separator = joins.separator_class.replace(ASTRAL_SYMBOLS, "")  # `rare` has them; `re` would try them twice
        # One scan that tells most texts from those which need more than _fold_common. It may look at the unfolded text
        # because that fold turns no separator into anything else, nor anything else into one.
        self.find_work = re.compile(
            f"[{rare}{separator}](?:{joins.single_follows}|(?<=[{rare}{joins.hard_or_break_class}])"
            f"(?:(?<=[{rare}])|{joins.part_of_word}))"
        ).search


_stages = cache(_Stages)


def prepare() -> None:
    """Builds the tables, which else the first text waits for (a third of a second); best called before forking."""
    _stages()


_UNTRACED: Any = object()
_NONE, _JOINS, _ALL = range(3)  # which stages a text needs beyond `_fold_common`


class Normalised:
    """A folded text that remembers where each of its characters came from.

    `text` is for matching; `written` is the same before the joins, for terms that themselves hold separators. Both are
    worked out when first asked for: most texts need no more than `scan`.
    """

    __slots__ = ("original", "_text", "_written", "_text_origins", "_written_origins", "_work")

    def __init__(self, original: str) -> None:
        self.original = original
        self._text: str | None = None
        self._written: str | None = None
        self._text_origins: Origins | None = _UNTRACED
        self._written_origins: Origins | None = _UNTRACED
        self._work: int | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            self._fold()
        return self._text  # type: ignore[return-value]

    @property
    def written(self) -> str:
        if self._written is None:
            self._fold()
        return self._written  # type: ignore[return-value]

    def scan(self) -> str:
        """A quick form in which everything stands that stands in `text`, and perhaps more: whatever string without
        separators and marks is in `text` is in here, too. What is found here is then looked for in `text`."""
        if self._text is not None:
            return self._text
        work = self._how_much_work()
        if work == _NONE:
            return self.original.lower()
        stages = _stages()
        if work == _JOINS:
            return "".join(stages.joins.words.findall(self.original.lower()))
        scanned = stages.characters.scan(self.original)
        return self.text if scanned is None else scanned

    def scanned_places(self) -> Callable[[int, int], tuple[int, int] | None]:
        """A function from a span of `scan()` to that of the original, for strings that stand there in one piece (and so
        in `text`, too); it answers None where only `text` can tell."""
        work = self._how_much_work() if self._text is None else _ALL
        if work == _NONE:
            return lambda start, end: (start, end)
        if work == _ALL:
            return lambda start, end: None
        ends: list[int] = []
        shifts: list[int] = []
        total = 0
        for word in _stages().joins.words.finditer(self.original):
            first, last = word.span()
            shifts.append(first - total)
            total += last - first
            ends.append(total)

        def place(start: int, end: int) -> tuple[int, int] | None:
            word = bisect_right(ends, start)
            return (start + shifts[word], end + shifts[word]) if end <= ends[word] else None

        return place

    def _how_much_work(self) -> int:
        if self._work is None:
            stages = _stages()
            if stages.find_work(self.original) is None:
                self._work = _NONE
            else:
                self._work = _JOINS if stages.characters.find_rare(self.original) is None else _ALL
        return self._work

    def _fold(self) -> None:
        original, stages, work = self.original, _stages(), self._how_much_work()
        if work == _ALL:
            self._written = stages.characters.apply(original)
            self._text = stages.characters.latinise(stages.joins.apply(self._written))
            return
        self._written = self._text = _fold_common(original)
        if work == _NONE:
            self._text_origins = self._written_origins = None
        else:
            self._text = stages.joins.apply(self._written)

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The half-open span of the original, in code points, that `text[start:end]` was folded from.

        Raises ValueError for a span that is empty or not inside `text`.
        """
        text = self.text
        if self._text_origins is _UNTRACED:
            self._text_origins = _stages().joins.trace(self.written, self._origins_as_written())
        return _span(self._text_origins, start, end, len(text))

    def original_span_as_written(self, start: int, end: int) -> tuple[int, int]:
        """The same for a span of `written`."""
        length = len(self.written)
        return _span(self._origins_as_written(), start, end, length)

    def is_parted(self, index: int) -> bool:
        """Did anything visible stand in the original between `text[index - 1]` and `text[index]`?

        A letter in a disc or flag counts as parted from a plain one. Raises ValueError unless both characters exist.
        """
        before, after = self.original_span(index - 1, index)[0], self.original_span(index, index + 1)[0]
        between = _stages().characters.apply(self.original[before + 1 : after])
        if _stages().joins.separators.search(between):
            return True
        return _is_symbol(self.original[before]) != _is_symbol(self.original[after])

    def _origins_as_written(self) -> Origins | None:
        if self._written_origins is _UNTRACED:
            self._written_origins = _stages().characters.trace(self.original)
        return self._written_origins


def _span(origins: Origins | None, start: int, end: int, length: int) -> tuple[int, int]:
    if not 0 <= start < end <= length:
        raise ValueError(f"no span [{start}, {end}) in a text of {length} characters")
    return (start, end) if origins is None else (origins[start], origins[end - 1] + 1)


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character)[0] == "S"


def normalise(text: str) -> Normalised:
    """The text folded for matching. Accepts any str and raises nothing; folding a folded text changes nothing."""
    return Normalised(text)


def fold_all(texts: Sequence[str]) -> list[tuple[str, str]]:
    """`text` and `written` of each: many short ones quicker than one by one."""
    stages = _stages()
    find_work = stages.find_work
    quick = [find_work(text) is None and "\n" not in text for text in texts]
    plain = iter(_fold_common("\n".join(compress(texts, quick))).split("\n"))
    folded: list[tuple[str, str]] = []
    for text, is_quick in zip(texts, quick, strict=True):
        if is_quick:
            one = next(plain)
            folded.append((one, one))
        else:
            normalised = Normalised(text)
            folded.append((normalised.text, normalised.written))
    return folded
