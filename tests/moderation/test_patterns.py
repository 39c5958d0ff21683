"""Patterns: RE2's syntax, spans in the original, nothing that could make them slow."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.entries import Entry
from moderation.normalisation import normalise
from moderation.patterns import MAX_PATTERNS, PatternError, Patterns, TooManyPatterns, checked


def pattern(value, number=1):
    return Entry(number, 1, value, "fraud", 3, "pattern")


def found(values, text):
    matches = Patterns([pattern(value, number) for number, value in enumerate(values)]).find(normalise(text))
    return [(match.entry.value, [text[start:end] for start, end in match.spans]) for match in matches]


@pytest.mark.parametrize(
    ("value", "text", "spans"),
    [
        (r"日赚\d{3,}元", "在家日赚500元，还有日赚3000元", ["日赚500元", "日赚3000元"]),
        (r"日赚\d{3,}元", "在家日賺５００元", ["日賺５００元"]),
        (r"加微信?\d{5,}", "加.微.信 １２３４５６", ["加.微.信 １２３４５６"]),
        (r"VIP\d+群", "进vip88群", ["vip88群"]),
        (r"[A-Z]{2}-\d{3}", "看AB-123", ["AB-123"]),  # only as written: folding takes the hyphen out
        (r"^客服", "客服你好，客服再见", ["客服"]),
        (r"(?s)先.*后", "先\n后", ["先\n后"]),
        (r"😀+", "好😀😀", ["😀😀"]),
        (r"转账|转賬", "请轉賬", ["轉賬"]),
    ],
)
def test_a_pattern_is_found_in_the_original_or_in_the_folded_text(value, text, spans):
    assert found([value], text) == [(value, spans)]


def test_all_patterns_are_looked_for_at_once():
    values = [f"词{number}号" for number in range(300)] + [r"第\d+名"]
    assert found(values, "词7号和词299号，第3名") == [
        ("词7号", ["词7号"]),
        ("词299号", ["词299号"]),
        (r"第\d+名", ["第3名"]),
    ]
    assert found(values, "什么都没有") == []
    assert Patterns([]).find(normalise("x")) == []


@pytest.mark.parametrize(
    ("value", "why", "position"),
    [
        ("a(b", "missing )", 1),
        ("好(坏", "missing )", 1),
        ("((a)", "missing )", 0),
        (r"\((a", "missing )", 2),
        ("[(](a", "missing )", 3),
        ("a)", "unexpected )", 1),
        ("x[a", "missing ]", 1),
        (r"(a)\1", "invalid escape sequence", 3),
        ("a(?=b)", "invalid perl operator", 1),
        ("x*", "matches where nothing stands", None),
        ("", "matches where nothing stands", None),
        ("(a{1000}){1000}", "invalid repetition size", 2),
        ("a{1000}b{1000}c{1000}d{1000}e{1000}f{1000}", "too big", None),
        ("a" * 1001, "longer than 1000 characters", 1000),
    ],
)
def test_a_pattern_that_cannot_be_is_refused_with_its_place(value, why, position):
    with pytest.raises(PatternError, match=why.replace("(", r"\(").replace(")", r"\)")) as refused:
        checked(value)
    assert refused.value.position == position


def test_a_refusal_says_the_place_as_people_count():
    with pytest.raises(PatternError, match="at character 2"):
        checked("a(b")


def test_more_patterns_than_can_be_looked_for_are_refused():
    with pytest.raises(TooManyPatterns):
        Patterns([pattern(f"词{number}") for number in range(MAX_PATTERNS + 1)])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("(a+)+$", "a" * 100_000 + "!"),
        ("(a|aa)+$", "a" * 100_000 + "!"),
        ("(x+x+)+y", "x" * 100_000),
        ("(.*)*=", "a" * 100_000),
        ("a.*b.*c.*d", "abc" * 33_000),
        (r"(\w+\s?)+!", "word " * 20_000),
    ],
)
def test_no_pattern_is_catastrophic(value, text):
    looking = Patterns([pattern(value)])
    folded = normalise(text)
    folded.text  # noqa: B018 - folding is timed elsewhere
    began = time.process_time()
    looking.find(folded)
    assert time.process_time() - began < 1.5


def test_no_more_than_a_bounded_number_of_places_is_named():
    ((_value, spans),) = found(["a"], "a," * 1000)
    assert len(spans) == 50


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("加微信a1 .*\u200b。，＋😀\ud800賬"), max_size=20))
def test_spans_lie_in_the_text(text):
    for match in Patterns([pattern("微.?信"), pattern("a+", 2), pattern("[^。]{3}", 3)]).find(normalise(text)):
        assert match.spans
        for start, end in match.spans:
            assert 0 <= start < end <= len(text)
