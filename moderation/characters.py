"""What single characters become, blind to their neighbours: stage 1 of normalisation, and the letters that look alike."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache

# Marks of these blocks decorate any script (zalgo, struck-out and keycap letters). Marks of Thai, Arabic, Hebrew, the
# Indic scripts and the kana voicing marks are spelling and stay.
_DECORATING_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302d\ufe20-\ufe2f]+"
)
# Cf characters that are printed, unlike the rest of that category.
_VISIBLE_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
_LETTER_NAME = re.compile(
    "(?:LATIN LETTER SMALL CAPITAL|LATIN (?:SMALL|CAPITAL) LETTER(?: DOTLESS| SCRIPT)?|NEGATIVE (?:CIRCLED|SQUARED)"
    " LATIN CAPITAL LETTER|REGIONAL INDICATOR SYMBOL LETTER) ([A-Z]|ALPHA)(?: WITH .*)?"
)
_BRACKETED = re.compile(r"\((.+)\)|(\d+)[.,]", re.DOTALL)

# Capitals and small letters apart, because Ν looks like N but ν like v.
LOOK_ALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХЗԌԚԜавеѕіјкмнорстухԁԍԛԝѵӏҮүһΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβγεηικνορτυχ",
    "abesijkmhopctyx3gqwabesijkmhopctyxdgqwvlyyhabezhikmnoptyxabyenikvoptux",
)


def fold_meaningless(character: str) -> str:
    """U+FFFD for private-use characters and for half of a UTF-16 pair (which could not be encoded for the search)."""
    return "\ufffd" if unicodedata.category(character) in ("Co", "Cs") else character


def fold_invisible(character: str) -> str:
    """Nothing for what leaves no mark on the screen; one space or line break for the many kinds of white space."""
    category = unicodedata.category(character)
    if category == "Zs" or character in "\t\v\u2800":
        return " "
    if category in ("Zl", "Zp") or character in "\n\r\f\x85":
        return "\n"
    if category == "Cc" or (category == "Cf" and character not in _VISIBLE_FORMATS) or _INVISIBLE.match(character):
        return ""
    return character


def fold_compatibility(character: str) -> str:
    """NFKC, except that an ellipsis stays punctuation, and ⑴ and ⒈ lose brackets and full stop."""
    folded = unicodedata.normalize("NFKC", character)
    if len(folded) > 1:
        if not folded.strip("."):
            return "…"
        if bracketed := _BRACKETED.fullmatch(folded):
            return bracketed[1] or bracketed[2]
    return folded


def fold_marks(character: str) -> str:
    """The letter without decorating marks: é → e, ё → е, a lone combining mark → nothing."""
    parts = unicodedata.normalize("NFD", character)
    bare = _DECORATING_MARKS.sub("", parts)
    return character if bare == parts else unicodedata.normalize("NFC", bare)


def fold_case(character: str) -> str:
    """Full case folding (ß → ss), and small letters where that yields capitals (Cherokee), to agree with lower()."""
    return character.casefold().lower()


def fold_digit(character: str) -> str:
    """ASCII digits for those of any script and for the circled numbers NFKC leaves (❶, ⓫)."""
    digit = unicodedata.digit(character, None)
    if digit is None and "CIRCLED" in unicodedata.name(character, ""):
        number = unicodedata.numeric(character, None)
        digit = int(number) if number is not None and number == int(number) else None
    return character if digit is None else str(digit)


def fold_letter_variant(character: str) -> str:
    """The plain letter for small capitals, stroked and hooked letters, and letters in a square, disc or flag."""
    variant = _LETTER_NAME.fullmatch(unicodedata.name(character, ""))
    return variant[1][0].lower() if variant else character


def fold_traditional(character: str) -> str:
    """The simplified character.

    Character by character, not by phrase: a phrase conversion can change length and depends on its neighbours, so a
    span could not be led back and a term would fold otherwise than the text it stands in. What that loses (乾 is
    always 干) it loses on both sides alike.
    """
    return simplified().get(character, character)


CHARACTER_FOLDS: tuple[Callable[[str], str], ...] = (
    fold_meaningless,
    fold_invisible,
    fold_compatibility,
    fold_marks,
    fold_case,
    fold_digit,
    fold_letter_variant,
    fold_traditional,
)


@cache
def simplified() -> dict[str, str]:
    """OpenCC's t2s table, read by converting every Han character alone; only results of one character. Before it, for
    characters that no simplified text has, the table of Japanese forms (仮 is 假)."""
    from opencc import OpenCC

    blocks = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0x20000, 0x323B0))
    han = [chr(code) for first, end in blocks for code in range(first, end)]
    from_japanese = OpenCC("jp2t").convert("\n".join(han)).split("\n")
    traditional = [
        old if len(new) != 1 or _is_simplified(old) else new for old, new in zip(han, from_japanese, strict=True)
    ]
    converted = OpenCC("t2s").convert("\n".join(traditional)).split("\n")
    return {old: new for old, new in zip(han, converted, strict=True) if old != new and len(new) == 1}


def _is_simplified(character: str) -> bool:
    try:
        return len(character.encode("gb2312")) == 2
    except UnicodeEncodeError:
        return False


@lru_cache(maxsize=8192)
def fold_character(character: str) -> str:
    """What one character becomes, whatever stands around it: all CHARACTER_FOLDS until nothing changes."""
    folded = character
    for fold in CHARACTER_FOLDS:
        folded = "".join(map(fold, folded))
    return folded if folded == character else "".join(map(fold_character, folded))
