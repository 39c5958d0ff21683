"""The joins of normalisation: separators put between the characters of a word (加.微*信, v-x) are taken out again, spaces
between words and the punctuation of sentences stay. Every step gives the text and, for spans, where its characters came from."""

import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

Origins = array  # of code "I": for each folded character the index of the original one it came from
_SHORT = array("I", range(1024))


def moved(origins: Origins | None, length: int, edits: Sequence[tuple[int, int, int]]) -> Origins | None:
    """Origins (None: each its own index) after edits (start, end, new length) of a text of this length."""
    if not edits:
        return origins
    if origins is None:
        origins = _SHORT[:length] if length <= len(_SHORT) else array("I", range(length))
    after, done = array("I"), 0
    for start, end, new_length in edits:
        after += origins[done:start]
        if new_length:
            after.extend([origins[start]] * new_length)
        done = end
    return after + origins[done:]


class Step(NamedTuple):
    """One substitution. Text and offsets are made from the same expressions, so they cannot disagree."""

    where: re.Pattern[str]
    by: str = ""
    within: re.Pattern[str] | None = None  # when given, only these parts of each match are replaced

    def apply(self, text: str) -> str:
        """The text after the step."""
        within = self.within
        if within is None:
            return self.where.sub(self.by, text)
        return self.where.sub(lambda match: within.sub(self.by, match[0]), text)

    def edits(self, text: str) -> list[tuple[int, int, int]]:
        """What it changes: (start, end, new length)."""
        matches: Iterable[re.Match[str]] = self.where.finditer(text)
        if self.within is not None:
            matches = chain.from_iterable(self.within.finditer(text, *match.span()) for match in matches)
        return [(*match.span(), len(self.by)) for match in matches]


BMP = tuple(map(chr, range(0x10000)))


def class_of(characters: Iterable[str]) -> str:
    """The inside of a regex class, as ranges; `re` turns it into a bitmap, one look-up a character."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)


# Han, kana and bopomofo: scripts that write words without spaces. `re` tests ranges beyond the BMP one after another,
# so out there whole blocks stand for single characters.
HAN = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u309a\u309d-\u309f\u30a1-\u30fa"
    r"\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
)
ASTRAL = r"\U00010000-\U0010ffff"
ASTRAL_SYMBOLS = r"\U0001d000-\U0001d3ff\U0001f000-\U0001faff"
# Punctuation that, unlike commas and brackets, means nothing between two characters of one Chinese word.
_SYMBOL_LIKE = frozenset("#%&'*./@\\§¶·‘’†‡•‧‰′″‹›‿⁀※〃・")
_SENTENCE_DASHES = frozenset("—―⸺⸻")


def _is_soft(separator: str) -> bool:
    """Does it part sentences or clauses?"""
    if separator in _SENTENCE_DASHES or separator in "\n⋯":
        return True
    category = unicodedata.category(separator)
    return category[0] == "P" and category not in ("Pd", "Pc") and separator not in _SYMBOL_LIKE


class Joins:
    """Stage 2: takes out the separators that stand inside a word.

    Hard separators are spaces and symbols, soft ones the punctuation of sentences and line breaks. A hard run goes
    where it touches a Chinese character, and between letters or digits unless it holds a space: that stays, as one
    space. Three or more single characters in a row are joined across any separator if the first is Chinese
    (加，微，信), else across hard ones and line breaks (w e i x i n); two (加 v x) unless words stand on both sides.
    """

    def __init__(self) -> None:
        separators = [c for c in BMP if c == "\n" or unicodedata.category(c)[0] in "PSZ"]
        soft = class_of(filter(_is_soft, separators))
        symbol = class_of(c for c in separators if not _is_soft(c) and c != " ") + ASTRAL_SYMBOLS
        self.separator_class = f"{soft}{symbol} "
        self.separators = re.compile(f"[{self.separator_class}]+")
        self.words = re.compile(f"[^{soft}{symbol.replace(ASTRAL_SYMBOLS, '')} ]+")  # of texts without rare characters

        # Each expression begins with a separator and looks back over it, because `re` can then skip to separators.
        any_, hard, solid, hard_or_break = f"[{soft}{symbol} ]", f"[{symbol} ]", f"[{symbol}]", f"[{symbol} \\n]"
        word, han, letter = f"[^{soft}{symbol} ]", f"[{HAN}]", f"[^{soft}{symbol} {HAN}]"
        # For `_Stages.find_work`, at a separator: may one of the steps have work here?
        self.single_follows = f"{word}{any_}"
        self.hard_or_break_class = f"{symbol} \n"
        self.part_of_word = (
            f"(?<={han}{hard}){hard}*+{word}|(?<={letter}{hard_or_break})"
            f"(?:{hard}*+{han}|(?<! ){hard_or_break}*+{letter}|{hard_or_break}++{letter}|{letter}(?!{letter}))"
            r"|(?<=\.)\."
        )
        single_han = (
            f"{any_}(?<={han}{any_})(?<!{word}{han}{any_}){any_}*+{word}(?!{word})(?:{any_}++{word}(?!{word}))++"
        )
        single_letters = (
            f"{hard_or_break}(?<={letter}{hard_or_break})(?<!{letter}{letter}{hard_or_break})"
            f"{hard_or_break}*+{letter}(?!{letter})(?:{hard_or_break}++{letter}(?!{letter}))++"
        )
        inside_word = (
            f"{hard}(?:(?<={han}{hard}){hard}*+(?={word})"
            f"|(?<={letter}{hard})(?:{hard}*+(?={han})|(?<! ){solid}*+(?={letter})))"
        )
        between_words = (
            f"{hard_or_break}(?<={letter}{hard_or_break})(?:(?<! ){hard_or_break}*+|{hard_or_break}++)(?={letter})"
        )
        between_two = (
            f" (?<={letter} )(?<!{letter}{letter} )(?={letter}(?!{letter}))"
            f"(?:(?<![ \n]{letter} )|(?={letter}(?![ \n])))"
        )
        self._ellipsis = Step(re.compile(r"\.{2,}"), "…")
        self._single = re.compile(f"{any_}{word}{any_}")  # what both expressions for single characters need
        self._single_steps = (
            Step(re.compile(single_han), within=self.separators),
            Step(re.compile(single_letters), within=self.separators),
        )
        self._inside_word = Step(re.compile(inside_word))
        self._steps_at_spaces = (Step(re.compile(between_words), " "), Step(re.compile(between_two)))

    def apply(self, text: str) -> str:
        """The text without separators inside words (ask `_Stages.find_work` first: most texts have none)."""
        if ".." in text:
            text = self._ellipsis.apply(text)
        if self._single.search(text):
            for step in self._single_steps:
                text = step.apply(text)
        text = self._inside_word.apply(text)
        if " " in text or "\n" in text:  # nothing else is left between letters
            for step in self._steps_at_spaces:
                text = step.apply(text)
        return text

    def trace(self, text: str, origins: Origins | None) -> Origins | None:
        """What `apply` does, on origins."""
        single_steps = self._single_steps if self._single.search(text) else ()
        for step in (self._ellipsis, *single_steps, self._inside_word, *self._steps_at_spaces):
            if edits := step.edits(text):
                origins = moved(origins, len(text), edits)
                text = step.apply(text)
        return origins
