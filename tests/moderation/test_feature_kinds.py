"""The entry standard as code (DS-10b): what passes, by what the same entry is known, what is refused and why."""

from __future__ import annotations

import hashlib
import random

import pytest

from moderation.entries import Entry
from moderation.feature_kinds import KINDS, Unfit, fit
from moderation.matching import Matcher
from moderation.models import Feature
from moderation.normalisation import normalise

PDQ = "".join(f"{random.Random(n).getrandbits(64):016x}" for n in range(4))
SHA = hashlib.sha256(b"x").hexdigest()
FRAMES = {"frames": [PDQ], "bare": [PDQ], "seconds": 3.5}
PRINTS = {"prints": [random.Random(5).getrandbits(32) | 1 for _ in range(80)]}


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("term", "  刷单返佣 ", "刷单返佣"),
        ("pattern", "加微信[a-z0-9_-]{6,20}", "加微信[a-z0-9_-]{6,20}"),
        ("text", "家里有闲置手机的朋友看过来，高价回收旧手机，当场付款不拖欠。", None),
        ("link", "HTTPS://www.Example.CN/page/?from=1#top", "example.cn/page"),
        ("sha256", SHA.upper(), SHA),
        ("image", PDQ.upper(), PDQ),
    ],
)
def test_what_passes_is_kept_in_one_form(kind, value, kept):
    assert fit(kind, value).value == (kept or value)


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("term", "a", "length"),
        ("term", "x" * 201, "length"),
        ("term", "。。。", "empty"),
        ("term", "坏\x00词", "characters"),
        ("term", "两\n行", None),
        ("pattern", "(开", "pattern"),
        ("pattern", "a*", "pattern"),
        ("pattern", r"(?=x)y", "pattern"),
        ("pattern", r"(a)\1", "pattern"),
        ("pattern", "x{1000}{1000}", "pattern"),
        ("pattern", "a" * 1001, "pattern"),
        ("text", "短", "length"),
        ("text", "长" * 20_001, "length"),
        ("link", "没有点", "link"),
        ("link", "10.0.0.1", "link"),
        ("link", "example.1", "link"),
        ("link", "javascript:alert(1)", "link"),
        ("sha256", SHA[:-1], "hash"),
        ("sha256", "g" * 64, "hash"),
        ("image", PDQ + "0", "hash"),
        ("image", PDQ[:30] + "    " + PDQ[34:], "hash"),
        ("image", "0" * 64, "plain"),
        ("video", "片名", "form"),
        ("audio", "曲名", "form"),
        ("nonsense", "x", "unknown"),
    ],
)
def test_what_does_not_pass_says_why(kind, value, code):
    if code is None:
        assert fit(kind, value)
        return
    with pytest.raises(Unfit) as unfit:
        fit(kind, value)
    assert unfit.value.code == code and str(unfit.value.why)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("video", {"frames": []}),
        ("video", {"frames": ["x" * 64]}),
        ("video", {"frames": [PDQ], "bare": []}),
        ("video", {"frames": [PDQ], "seconds": "3"}),
        ("video", {"frames": [PDQ] * 2001}),
        ("audio", {"prints": [1, 2, 3]}),
        ("audio", {"prints": ["x"] * 80}),
        ("audio", {"prints": [2**40] * 80}),
        ("image", {"variants": ["0"]}),
    ],
)
def test_hashes_that_are_none_are_refused(kind, data):
    with pytest.raises(Unfit):
        fit(kind, PDQ, {}, data)


def test_a_video_and_a_sound_are_known_by_what_they_are_not_by_their_name():
    assert fit("video", "甲", {}, FRAMES).digest == fit("video", "乙", {}, FRAMES).digest
    assert fit("video", "甲", {}, FRAMES).digest != fit("video", "甲", {}, {**FRAMES, "seconds": 4}).digest
    assert fit("audio", "甲", {}, PRINTS).digest == fit("audio", "乙", {}, PRINTS).digest
    assert fit("audio", "甲", {}, {**PRINTS, "more": 1}).data == PRINTS


@pytest.mark.parametrize("same", [("link", "Example.cn", "http://www.example.cn/"), ("sha256", SHA, SHA.upper())])
def test_two_ways_to_write_one_entry_are_one_entry(same):
    kind, one, other = same
    assert fit(kind, one).digest == fit(kind, other).digest


@pytest.mark.parametrize(
    ("kind", "options", "kept"),
    [
        ("term", {"pinyin": True, "split": False}, {"pinyin": True}),
        ("image", {"max_distance": 12}, {"max_distance": 12}),
        ("text", {"threshold": 0.9}, {"threshold": 0.9}),
    ],
)
def test_options_are_checked(kind, options, kept):
    value = {"term": "刷单返佣", "image": PDQ, "text": "高价回收旧手机，当场付款不拖欠"}[kind]
    assert fit(kind, value, options).options == kept
    for wrong in ({"nonsense": True}, dict.fromkeys(options, "yes"), dict.fromkeys(options, -1), ["pinyin"]):
        with pytest.raises(Unfit) as unfit:
            fit(kind, value, wrong)
        assert unfit.value.field == "options"


def test_every_kind_of_the_table_has_its_standard():
    assert set(KINDS) == set(Feature.KINDS)


@pytest.mark.parametrize(
    "value", ["刷单返佣", "c++", "💊", "💊💊", "\u200b\u200b", "。。", "①②", "\ufffd\ufffd", "ab", "\u0301\u0301"]
)
def test_a_term_that_passes_can_be_matched(value):
    try:
        kept = fit("term", value).value
    except Unfit:
        return
    assert Matcher([Entry(1, 1, kept, "fraud.loan", 2)]).find(normalise(kept))
