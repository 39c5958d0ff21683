"""Links and domains of the feature library in running text, written plainly or so that only people read them: bet365点com,
bet365[.]com, ｂｅｔ３６５。ｃｏｍ, b e t 3 6 5 . com, xn--… and letters that look alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import unquote

import idna

from moderation.automaton import finder
from moderation.entries import Entry, Match
from moderation.normalisation import Normalised, normalise

MAX_SPANS = 50
_LABEL = "a-z0-9\u00df-\u02af\u0370-\u1fff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_host = re.compile(
    rf"(?:[{_LABEL}](?:[{_LABEL}_\-]{{0,61}}[{_LABEL}])?\.)+[{_LABEL}](?:[{_LABEL}\-]{{0,61}}[{_LABEL}])"
)
_scheme = re.compile(r"^[a-z][a-z0-9+.\-]*://", re.IGNORECASE)
_punycode = re.compile(r"xn--[a-z0-9\-]+")
_dots = re.compile("[。．｡]")

# What people read as the dot of a domain, alone or in brackets, and what may stand between its letters.
_DOT = r"[ \n]{0,3}[\[({<【「『〔]?[ ]{0,2}(?:[.。·•∙・,、]|点|dot|d0t)[ ]{0,2}[\])}>】」』〕]?[ \n]{0,3}"
_GAP = r"[ *_~|]{0,2}"
_SLASH = r"[ ]{0,2}(?:/|斜杠)[ ]{0,2}"
_LOOK_ALIKE = {"o": "o0", "0": "0o", "l": "l1i", "i": "i1l", "1": "1li", "s": "s5", "5": "5s", "z": "z2", "2": "2z",
               "e": "e3", "3": "3e", "a": "a4", "4": "4a", "t": "t7", "7": "7t", "b": "b8", "8": "8b", "g": "g9", "9": "9gq",
               "q": "q9"}  # fmt: skip
_BY_SKELETON = str.maketrans("oliszeatbgq", "01152347899")


class LinkError(ValueError):
    """What was given is no domain and no address."""


def canonical(value: str) -> str:
    """Host, or host and path, as an entry is kept: small letters, Unicode, without scheme, port, `www.`, query and the
    slash at the end. Raises LinkError."""
    text = _scheme.sub("", value.strip())
    text = text.split("#", 1)[0].split("?", 1)[0]
    host, slash, path = text.partition("/")
    host = _dots.sub(".", host.rsplit("@", 1)[-1].split(":", 1)[0]).strip(".").lower()
    host = _decoded(normalise(host).written)
    if host.startswith("www.") and host.count(".") > 1:
        host = host[4:]
    if not _host.fullmatch(host) or len(host) > 253 or host.replace(".", "").isdigit():
        raise LinkError("not a domain")
    path = normalise(unquote(path)).written.strip("/") if slash else ""
    if re.search(r"\s", path):
        raise LinkError("an address holds no spaces")
    return f"{host}/{path}" if path else host


@lru_cache(maxsize=4096)
def _label(punycode: str) -> str:
    try:
        return normalise(idna.decode(punycode, uts46=True)).written
    except (idna.IDNAError, UnicodeError):
        try:
            # Mixed scripts are refused by the standard and are what disguises are made of.
            return normalise(punycode[4:].encode("ascii").decode("punycode")).written
        except (UnicodeError, ValueError):
            return punycode


def _decoded(text: str) -> str:
    return _punycode.sub(lambda found: _label(found[0]), text) if "xn--" in text else text


def _expression(link: str, look_alikes: bool) -> re.Pattern[str]:
    host, _slash, path = link.partition("/")

    def letters(label: str) -> str:
        one_by_one = (
            f"[{_LOOK_ALIKE[letter]}]" if look_alikes and letter in _LOOK_ALIKE else re.escape(letter)
            for letter in label
        )
        return _GAP.join(one_by_one)

    name = _DOT.join(map(letters, host.split(".")))
    end = r"(?![a-z0-9\-_])(?!\.[a-z]{2}(?![a-z]))"
    if path:
        end = _SLASH + _SLASH.join(re.escape(part) for part in path.split("/")) + r"(?![a-z0-9\-_%])"
    before = rf"(?:https?:{{0,1}}/{{0,2}})?(?:[a-z0-9\-]{{1,63}}(?:\.|{_DOT})){{0,4}}?"
    return re.compile(rf"(?<![a-z0-9\-_]){before}{name}{end}")


class Links:
    """All links at once."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)
        self._links = [canonical(entry.value) for entry in self._entries]
        plain: dict[str, list[int]] = {}
        skeletons: dict[str, list[int]] = {}
        for number, (entry, link) in enumerate(zip(self._entries, self._links, strict=True)):
            # The longest label stands in one piece in the scan of every text that holds the host; hyphens are scanned away.
            labels = link.partition("/")[0].split(".")
            key = max((label.replace("-", "").replace("_", "") for label in labels), key=len)
            plain.setdefault(key, []).append(number)
            if entry.options.get("digits"):
                skeletons.setdefault(key.translate(_BY_SKELETON), []).append(number)
        self._plain = _Keys(plain) if plain else None
        self._skeletons = _Keys(skeletons) if skeletons else None

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, text: Normalised) -> list[Match]:
        """One match an entry, its spans in the original. A domain stands for its subdomains, too; an address for every
        address that goes on from it after a slash, a question mark or nothing."""
        if self._plain is None:
            return []
        scanned = text.scan()
        candidates = set(self._plain.find(scanned))
        if self._skeletons:
            candidates |= set(self._skeletons.find(scanned.translate(_BY_SKELETON)))
        decoded = None
        if "xn--" in text.original.lower():
            decoded = _Decoded(text)
            candidates |= set(self._plain.find(normalise(decoded.text).scan()))
        matches = []
        for number in sorted(candidates):
            entry = self._entries[number]
            look = _compiled(self._links[number], bool(entry.options.get("digits")))
            spans = {text.original_span_as_written(*found.span()) for found in _few(look, text.written)}
            if decoded:
                spans |= {decoded.original_span(*found.span()) for found in _few(look, decoded.text)}
            if spans:
                matches.append(Match(entry, sorted(spans)[:MAX_SPANS]))
        return matches


def _few(look: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    for number, found in enumerate(look.finditer(text)):
        if number >= MAX_SPANS:
            return
        yield found


_compiled = lru_cache(maxsize=2048)(_expression)


class _Keys:
    def __init__(self, numbers_of: dict[str, list[int]]) -> None:
        self._numbers = list(numbers_of.values())
        self._find = finder(list(numbers_of))

    def find(self, text: str) -> Iterator[int]:
        for key in {found[2] for found in self._find(text)}:
            yield from self._numbers[key]


class _Decoded:
    """A written text in which punycode is spelled out, leading back to the original."""

    def __init__(self, normalised: Normalised) -> None:
        self._normalised = normalised
        self._places: list[tuple[int, int]] = []  # of each character: where in `written` it comes from
        parts, done = [], 0
        written = normalised.written
        for found in _punycode.finditer(written):
            label = _label(found[0])
            parts += [written[done : found.start()], label]
            self._places += [(at, at + 1) for at in range(done, found.start())]
            self._places += [found.span()] * len(label)
            done = found.end()
        parts.append(written[done:])
        self._places += [(at, at + 1) for at in range(done, len(written))]
        self.text = "".join(parts)

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original."""
        return self._normalised.original_span_as_written(self._places[start][0], self._places[end - 1][1])
