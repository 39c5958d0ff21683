"""Findings shown inside the text they were found in. The text is hostile: everything is escaped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

TONES = ("m1", "m2", "m3", "m4")  # strongest first: where spans overlap, the strongest colours the piece
_TITLES_SHOWN = 6


class Mark(NamedTuple):
    """One span of the text, cleaned: within the text, not empty, of a known tone."""

    start: int
    end: int
    tone: str
    title: str
    number: str


def highlight(text: str, spans: Iterable[Mapping[str, Any]] | None) -> SafeString:
    """`text` as escaped HTML with a <mark> around each span.

    A span is `{start, end, tone, title, number}`, `[start, end)` in code points (contract ruling 5). Spans may overlap:
    the text is cut at every boundary, a piece carries the titles and numbers of all spans that cover it. A span outside
    the text is cut to it; an empty or malformed one is left out.
    """
    text = str(text or "")
    marks = [mark for mark in (_clean(span, len(text)) for span in spans or ()) if mark]
    starting: dict[int, list[Mark]] = defaultdict(list)
    ending: dict[int, list[Mark]] = defaultdict(list)
    for mark in marks:
        starting[mark.start].append(mark)
        ending[mark.end].append(mark)
    cuts = sorted({0, len(text), *starting, *ending})
    covering: list[Mark] = []
    pieces = []
    for here, after in zip(cuts, cuts[1:], strict=False):
        for ended in ending[here]:
            covering.remove(ended)
        covering.extend(starting[here])
        pieces.append(_piece(text[here:after], covering, starting[here]))
    return format_html_join("", "{}", ((piece,) for piece in pieces))


def _clean(span: Mapping[str, Any], length: int) -> Mark | None:
    try:
        start, end = max(0, int(span["start"])), min(length, int(span["end"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if start >= end:
        return None
    tone = str(span.get("tone") or "")
    number = span.get("number")
    return Mark(
        start,
        end,
        tone if tone in TONES else TONES[-1],
        str(span.get("title") or ""),
        "" if number is None else str(number),
    )


def _piece(text: str, covering: list[Mark], starting: list[Mark]) -> SafeString:
    if not covering:
        return escape(text)
    titles = list(dict.fromkeys(mark.title for mark in covering if mark.title))
    title = "; ".join(titles[:_TITLES_SHOWN]) + (" …" if len(titles) > _TITLES_SHOWN else "")
    return format_html(
        '<mark class="{}" tabindex="0" title="{}" data-number="{}" data-n="{}">{}</mark>',
        min(mark.tone for mark in covering),
        title,
        _numbers(covering),
        _numbers(starting),
        text,
    )


def _numbers(marks: list[Mark]) -> str:
    return " ".join(dict.fromkeys(mark.number for mark in marks if mark.number))
