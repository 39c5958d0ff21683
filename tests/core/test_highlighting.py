"""Findings shown in hostile text: nothing of the text becomes markup, nothing of it is lost."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.highlighting import highlight

MARK = re.compile(r'<mark class="(m[1-4])" tabindex="0" title="([^"<>]*)" data-number="([^"<>]*)" data-n="([^"<>]*)">')


def span(start, end, tone="m1", title="", number=None):
    return {"start": start, "end": end, "tone": tone, "title": title, "number": number}


def plain(markup: str) -> str:
    """What a reader sees of the markup: the only tags there may be are ours."""
    return html.unescape(MARK.sub("", markup).replace("</mark>", ""))


@pytest.mark.parametrize(
    "text", ["", "普通", "<script>alert(1)</script>", "\"'&<>", "&lt;b&gt;", "</mark><img src=x onerror=1>", "😀𠮷<b>"]
)
def test_text_without_spans_is_escaped_and_whole(text: str) -> None:
    shown = highlight(text, [])
    assert shown == html.escape(text)
    assert plain(shown) == text


def test_a_span_is_counted_in_code_points() -> None:
    text = "😀加微信𠮷再说"
    assert highlight(text, [span(2, 5, title="引流", number=3)]) == (
        '😀加<mark class="m1" tabindex="0" title="引流" data-number="3" data-n="3">微信𠮷</mark>再说'
    )


def test_titles_and_numbers_cannot_break_out_of_their_attributes() -> None:
    shown = highlight("ab", [span(0, 1, title='" onfocus="x" <b>', number='"><script>')])
    assert "<script" not in shown and "<b>" not in shown
    assert shown.count('"') == 10  # five attributes, each with its two quotes
    assert plain(shown) == "ab"


def test_an_unknown_tone_never_reaches_the_class() -> None:
    assert 'class="m4"' in highlight("ab", [span(0, 1, tone='m1" onclick="')])


def test_where_spans_overlap_the_strongest_colours_and_all_are_named() -> None:
    shown = highlight("abcdef", [span(0, 4, "m2", "wide", 1), span(2, 6, "m1", "strong", 2)])
    assert MARK.findall(shown) == [
        ("m2", "wide", "1", "1"),
        ("m1", "wide; strong", "1 2", "2"),
        ("m1", "strong", "2", ""),
    ]
    assert plain(shown) == "abcdef"


def test_the_same_span_twice_is_one_piece() -> None:
    shown = highlight("abc", [span(0, 2, number=1), span(0, 2, number=1)])
    assert MARK.findall(shown) == [("m1", "", "1", "1")]


@pytest.mark.parametrize(
    "odd",
    [
        span(2, 2),
        span(3, 1),
        span(90, 99),
        span(-5, 0),
        {"start": None, "end": 2},
        {"end": 2},
        span("x", "y"),
        span(0, float("inf")),
    ],
)
def test_odd_spans_are_left_out(odd) -> None:
    assert highlight("abc", [odd]) == "abc"


def test_spans_past_the_text_are_cut_to_it() -> None:
    assert plain(highlight("abc", [span(-3, 99)])) == "abc"
    assert highlight("abc", [span(-3, 99)]).endswith(">abc</mark>")


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(
        st.builds(
            span,
            st.integers(-5, 70),
            st.integers(-5, 70),
            st.sampled_from(["m1", "m2", "m3", "m4", "?"]),
            st.text(max_size=8),
            st.integers(0, 9),
        ),
        max_size=8,
    ),
)
def test_nothing_is_lost_added_or_left_unmarked(text: str, spans: list[dict]) -> None:
    shown = highlight(text, spans)
    assert plain(shown) == text
    marked = "".join(html.unescape(part) for part in re.findall(r"<mark [^>]*>(.*?)</mark>", shown, re.DOTALL))
    covered = {i for s in spans for i in range(max(0, s["start"]), min(len(text), s["end"]))}
    assert marked == "".join(c for i, c in enumerate(text) if i in covered)
