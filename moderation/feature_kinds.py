"""The entry standard of the feature library as code (DS-10b): for each kind of entry what its value may be, by what the
same entry is known again, which options it has, and what is worked out from it for matching."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext_lazy as _

from core.errors import Refusal, field_error
from moderation import audio_print, exact, links, near_text, patterns, pdq
from moderation.models import Feature
from moderation.near_hashes import REACH
from moderation.normalisation import normalise
from moderation.spelling import OPTIONS as DISGUISES
from moderation.spelling import default_options

LONGEST_TERM = 200
LONGEST_TEXT = 20_000
NOTHING = " \n\ufffd"  # white space, and the sign for characters that mean nothing
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SPACE = re.compile(r"\s+")


class Unfit(ValueError):
    """A field of an entry that can't be taken: which, a stable code, and a sentence."""

    def __init__(self, field: str, code: str, why: Any) -> None:
        super().__init__(field, code)
        self.field, self.code, self.why = field, code, why

    def refusal(self) -> Refusal:
        """The same as a command says it."""
        return Refusal(
            "fields_invalid", _("Some fields can't be taken."), errors=[field_error(self.field, self.code, self.why)]
        )


@dataclass(frozen=True)
class Option:
    """One option of a kind: a switch, or a number between two others."""

    label: Any
    kind: type = bool
    least: float = 0
    most: float = 1
    help: Any = ""


@dataclass(frozen=True)
class Kind:
    """A kind of entry. `clean(value)` answers the value as it is kept; `same(value, data)` by what it is known again."""

    clean: Callable[[str], str]
    options: Mapping[str, Option] = field(default_factory=dict)
    same: Callable[[str, Mapping[str, Any]], str] = lambda value, data: value
    check_data: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda data: {}
    work_out: Callable[[str], Mapping[str, Any]] = lambda value: {}
    of_files: bool = False
    value_help: Any = ""


@dataclass(frozen=True)
class Fit:
    """An entry's value, ready to be kept."""

    value: str
    digest: str
    data: dict[str, Any]
    options: dict[str, Any]


def fit(kind: str, value: str, options: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None) -> Fit:
    """Check an entry against the entry standard of its kind. Raises Unfit, which names the field and says why."""
    if kind not in KINDS:
        raise Unfit("kind", "unknown", _("There is no such kind of entry."))
    of = KINDS[kind]
    if "\x00" in value:
        raise Unfit("value", "characters", _("It holds characters that are no text."))
    value = of.clean(unicodedata.normalize("NFC", value))
    kept = {**of.work_out(value), **of.check_data(data or {})}
    return Fit(value, digest_of(of.same(value, kept)), kept, _options(of, options or {}))


def digest_of(value: str) -> str:
    """By what an entry is known: the SHA-256 of its value's canonical form."""
    return hashlib.sha256(value.encode()).hexdigest()


def default_options_of(kind: str, value: str) -> dict[str, Any]:
    """The options that a new entry has where nobody says otherwise."""
    return dict(default_options(value)) if kind == "term" else {}


def _options(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise Unfit("options", "form", _("Options are names with values."))
    taken: dict[str, Any] = {}
    for name, value in given.items():
        known = kind.options.get(name)
        if known is None:
            raise Unfit("options", "unknown", _("There is no option “%s” for this kind.") % str(name)[:40])
        if known.kind is bool:
            if not isinstance(value, bool):
                raise Unfit("options", "form", _("The option “%s” is true or false.") % name)
            if value:
                taken[name] = True
        else:
            if isinstance(value, bool) or not isinstance(value, int | float) or not known.least <= value <= known.most:
                raise Unfit(
                    "options",
                    "range",
                    _("The option “%(name)s” is a number from %(least)s to %(most)s.")
                    % {"name": name, "least": known.least, "most": known.most},
                )
            taken[name] = known.kind(value)
    return taken


# One kind after another


def _term(value: str) -> str:
    value = value.strip()
    if not 2 <= len(value) <= LONGEST_TERM or _CONTROL.search(value):
        raise Unfit("value", "length", _("A term has 2 to 200 characters."))
    if all(unicodedata.category(character)[0] in "CMPZ" for character in value):
        raise Unfit("value", "empty", _("Nothing of this term is left to match."))
    if not normalise(value).text.strip(NOTHING):  # what the matcher would raise EmptyTermError for
        raise Unfit("value", "empty", _("Nothing of this term is left to match."))
    return value


def _pattern(value: str) -> str:
    value = value.strip()
    if len(value) < 2:
        raise Unfit("value", "length", _("A pattern has at least 2 characters."))
    try:
        patterns.checked(value)
    except patterns.PatternError as wrong:
        raise Unfit("value", "pattern", _("This pattern can't be taken: %s.") % wrong) from None
    return value


def _text(value: str) -> str:
    value = value.strip()
    if len(value) > LONGEST_TEXT or _CONTROL.search(value):
        raise Unfit("value", "length", _("A text has at most 20,000 characters."))
    if len(near_text.essence(value)) < near_text.SHORTEST:
        raise Unfit("value", "length", _("There is too little in this text to tell it by; propose it as a term."))
    return value


def _link(value: str) -> str:
    try:
        value = links.canonical(value)
    except links.LinkError:
        raise Unfit(
            "value", "link", _("This is no domain and no address, e.g. example.cn or example.cn/page.")
        ) from None
    host = value.partition("/")[0]
    if not re.search(r"\.[^\W\d_]{2,}$", host):
        raise Unfit("value", "link", _("A domain ends with letters, e.g. .cn or .com."))
    if len(value) > 500:
        raise Unfit("value", "length", _("An address has at most 500 characters."))
    return value


def _sha256(value: str) -> str:
    try:
        return exact.parse(value).hex()
    except ValueError:
        raise Unfit("value", "hash", _("A SHA-256 has 64 digits of 0 to 9 and a to f.")) from None


def _image(value: str) -> str:
    try:
        code = pdq.parse(value)
    except ValueError:
        code = b""
    if len(code) != 32:
        raise Unfit("value", "hash", _("A PDQ hash has 64 digits of 0 to 9 and a to f."))
    # A plain picture has few steps in it, so that its hash is near to those of all other plain ones.
    if not 64 <= int.from_bytes(code, "big").bit_count() <= 192:
        raise Unfit("value", "plain", _("This hash is of a plain picture and would match many others."))
    return code.hex()


def _image_data(data: Mapping[str, Any]) -> Mapping[str, Any]:
    variants = data.get("variants", [])
    if not isinstance(variants, list) or len(variants) > 16:
        raise Unfit("data", "form", _("The data of this entry can't be read."))
    return {"variants": [_image(str(one)) for one in variants]} if variants else {}


def _named(value: str) -> str:
    value = value.strip()
    if not 1 <= len(value) <= LONGEST_TERM or _CONTROL.search(value):
        raise Unfit("value", "length", _("A name has 1 to 200 characters."))
    return value


def _same_data(value: str, data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True)


def _video_data(data: Mapping[str, Any]) -> Mapping[str, Any]:
    names = ("frames", "bare", "even", "even_bare")
    lists = {name: data[name] for name in names if name in data}
    whole = all(
        isinstance(codes, list) and len(codes) <= 2_000 and all(_is_code(one) or not one for one in codes)
        for codes in lists.values()
    )
    if not lists.get("frames") or not whole or any(not one for one in lists["frames"]):
        raise Unfit(
            "data", "form", _("A video is known by the hashes of its frames: show the file, or give them as data.")
        )
    if "bare" in lists and len(lists["bare"]) != len(lists["frames"]):
        raise Unfit("data", "form", _("The data of this entry can't be read."))
    seconds = data.get("seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e6:
        raise Unfit("data", "form", _("The data of this entry can't be read."))
    return {**lists, "seconds": seconds}


def _is_code(value: Any) -> bool:
    try:
        return isinstance(value, str) and len(pdq.parse(value)) == 32
    except ValueError:
        return False


def _audio_data(data: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        prints = audio_print.parse(data.get("prints", []))
    except (ValueError, TypeError, OverflowError):
        raise Unfit(
            "data", "form", _("A sound is known by its fingerprint: show the file, or give it as data.")
        ) from None
    if audio_print.heard(prints) < audio_print.SHORTEST:
        raise Unfit("data", "short", _("There are less than two seconds of sound in this file."))
    return {"prints": prints.tolist()}


_TERM_OPTIONS = {
    "pinyin": Option(_("as pinyin")),
    "homophones": Option(_("as homophones")),
    "split": Option(_("with split characters")),
    "digits": Option(_("with look-alike letters and digits")),
    "repeats": Option(_("with repeated characters")),
}
if set(_TERM_OPTIONS) != set(DISGUISES):
    raise RuntimeError("the options of terms are not those that the matcher knows")

KINDS: dict[str, Kind] = {
    "term": Kind(_term, _TERM_OPTIONS, value_help=_("2 to 200 characters, as people write it.")),
    "pattern": Kind(
        _pattern, value_help=_("A regular expression in RE2's syntax; capitals and small letters are the same.")
    ),
    "text": Kind(
        _text,
        {"threshold": Option(_("least likeness"), float, 0.5, 1.0, _("0.5 to 1; empty: 0.8."))},
        same=lambda value, data: _SPACE.sub(" ", value),
        value_help=_("A whole text; what says nearly the same is found."),
    ),
    "link": Kind(
        _link,
        {"digits": Option(_("with look-alike letters and digits"))},
        value_help=_("A domain stands for all below it; with a path only for that."),
    ),
    "sha256": Kind(_sha256, of_files=True, value_help=_("64 digits, or show the file.")),
    "image": Kind(
        _image,
        {"max_distance": Option(_("most bits apart"), int, 0, REACH, _("0 to 31; empty: 31."))},
        check_data=_image_data,
        of_files=True,
        value_help=_("A PDQ hash of 64 digits, or show the picture."),
    ),
    "video": Kind(
        _named,
        {"min_share": Option(_("least share of frames"), float, 0.1, 1.0, _("0.1 to 1; empty: 0.5."))},
        same=_same_data,
        check_data=_video_data,
        of_files=True,
        value_help=_("Show the video."),
    ),
    "audio": Kind(
        _named,
        {"max_error": Option(_("most bits that differ"), float, 0.05, 0.35, _("0.05 to 0.35; empty: 0.3."))},
        same=_same_data,
        check_data=_audio_data,
        of_files=True,
        value_help=_("Show the sound or the video it is in."),
    ),
}
if set(KINDS) != set(Feature.KINDS):
    raise RuntimeError("the kinds of entries are not those of the table")
