"""Near-duplicate texts: found with small changes, not with large ones, by one question for a batch."""

from __future__ import annotations

import random
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import library, near_text
from moderation.checks import Side, Text
from moderation.checks.near_text import NearText
from moderation.entries import Entry
from moderation.models import TextBand

LONG = (
    "恭喜您成为本平台幸运用户，您已获得一台最新款平板电脑和一张价值九千八百元的购物卡，请在今天晚上八点以前联系在线专员领取，"
    "逾期视为自动放弃，本次活动最终解释权归主办方所有，名额只剩最后三个，先到先得。"
)
SHORT = "老同学聚会照片在这里点开看看有没有你"  # 18 characters


def entry_of(feature, **options):
    return Entry(feature.pk, feature.version, feature.value, feature.category_id, feature.severity, "text", options)


@pytest.fixture
def feature(world):
    """A text in force, and its entry."""

    def in_force(value, **options):
        proposed = library.propose(
            value=value, category="fraud.part_time", severity=3, kind="text", options=options, by=world.lin
        )
        return library.approve(feature_id=proposed.pk, by=world.xu)

    return in_force


def look(entries, *texts):
    """What the check finds in each text, and the number of questions put to the database for all."""
    loaded = library.build(7, entries)
    sides = [Side("output", text, None, "text", loaded, item=uuid4()) for text in texts]
    check = NearText()
    with CaptureQueriesContext(connection) as asked:
        check.prepare(sides)
        found = [check.look(side, side.texts[0]) for side in sides]
    return found, len(asked)


def changed(text, share, seed=1):
    """The text with a share of its characters replaced."""
    draw = random.Random(seed)
    letters = list(text)
    for at in draw.sample(range(len(letters)), round(len(letters) * share)):
        letters[at] = draw.choice("甲乙丙丁戊己庚辛")
    return "".join(letters)


def test_a_text_is_found_with_a_few_characters_changed_and_says_how_far_it_is(feature):
    entry = entry_of(feature(LONG))
    near = changed(LONG, 0.03)
    ((same,), (close,), far), _asked = look([entry], LONG, near, changed(LONG, 0.4))
    assert (same.feature_id, same.score, same.distance) == (entry.id, 1.0, 0.0)
    assert same.spans == [[0, len(LONG)]]
    assert 0.8 <= close.score < 1
    assert close.distance == pytest.approx(1 - close.score, abs=1e-3)
    assert far == []


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text.replace("，", " "),
        lambda text: "\u200b".join(text),
        lambda text: text.replace("恭喜", "恭 喜").replace("电脑", "電腦").upper(),
        lambda text: "！！" + text + "😀",
    ],
)
def test_width_separators_and_traditional_characters_make_no_difference(feature, write):
    entry = entry_of(feature(LONG))
    ((found,),), _asked = look([entry], write(LONG))
    assert found.score > 0.97


def test_short_texts_are_compared_character_by_character(feature):
    entry = entry_of(feature(SHORT))
    near = SHORT.replace("照片", "相片")
    ((close,), far), _asked = look([entry], near, "老同学聚会改到下周六晚上七点在老地方见")
    assert close.score > 0.9
    assert far == []


def test_a_short_entry_is_not_found_in_a_long_text_that_only_holds_it(feature):
    entry = entry_of(feature(SHORT))
    (found,), _asked = look([entry], SHORT + LONG)
    assert found == []


def test_each_entry_has_its_own_threshold(feature):
    strict = feature(LONG, threshold=0.99)
    loose = feature(SHORT, threshold=0.6)
    entries = [entry_of(strict, threshold=0.99), entry_of(loose, threshold=0.6)]
    (none, (found,)), _asked = look(entries, changed(LONG, 0.03), changed(SHORT, 0.25))
    assert none == []
    assert found.feature_id == loose.pk


def test_a_whole_batch_is_one_question_and_none_without_entries(feature):
    entry = entry_of(feature(LONG))
    found, asked = look(
        [entry], *[changed(LONG, 0.03, seed) for seed in range(12)], "今天天气不错，我们去公园散步吧，好不好"
    )
    assert [len(one) for one in found] == [1] * 12 + [0]
    assert asked == 1
    assert look([], LONG, SHORT) == ([[], []], 0)


def test_a_text_read_out_of_a_file_later_is_asked_for_by_itself(feature):
    loaded = library.build(7, [entry_of(feature(LONG))])
    side = Side("output", "看图", None, "image_video", loaded, item=uuid4())
    check = NearText()
    check.prepare([side])
    read = Text("ocr", LONG, [{"start": 0, "end": len(LONG), "box": [1, 2, 30, 40]}])
    side.texts.append(read)
    (found,) = check.look(side, read)
    assert (found.field, found.score) == ("ocr", 1.0)


def test_an_entry_that_the_version_does_not_hold_is_not_found(feature):
    first, second = feature(LONG), feature(LONG + "另外还送一份神秘大礼，数量有限。")
    (found,), _asked = look([entry_of(first)], LONG)
    assert {one.feature_id for one in found} == {first.pk}
    assert second.pk not in {one.feature_id for one in found}


def test_bands_are_written_with_the_entry_and_written_again_are_the_same(feature):
    written = feature(LONG)
    before = set(TextBand.objects.filter(feature=written).values_list("band", "value"))
    assert before == set(near_text.bands_of(LONG))
    assert near_text.store_bands(written) == len(before)
    assert set(TextBand.objects.filter(feature=written).values_list("band", "value")) == before


def test_an_item_is_held_by_a_near_duplicate_from_end_to_end(world, feature):
    written = feature(LONG)
    library._look_at = 0.0
    item = world.submit(changed(LONG, 0.03))
    found = item.findings.get(feature_id=written.pk)
    assert found.check_name == "near_text"
    assert found.distance == pytest.approx(1 - found.score, abs=1e-3)


def test_what_is_too_short_has_no_bands():
    assert near_text.bands_of("好。") == near_text.bands_asked("！！") == []


def test_a_long_and_a_short_text_ask_in_overlapping_ways():
    assert {band >= 100 for band, _value in near_text.bands_asked("字" * 10)} == {True}
    assert {band >= 100 for band, _value in near_text.bands_asked("一二三四五六七八九十" * 2)} == {True, False}
    assert {band >= 100 for band, _value in near_text.bands_asked("一二三四五六七八九十" * 9)} == {False}


def test_nearly_every_pair_at_the_threshold_shares_a_band():
    draw = random.Random(5)
    alphabet = [chr(code) for code in range(0x4E00, 0x5200)]
    shared = total = 0
    for _n in range(300):
        text = "".join(draw.choices(alphabet, k=80))
        other = changed(text, 0.03, draw.random())
        if near_text.similarity(text, other) >= 0.8:
            total += 1
            shared += not set(near_text.bands_of(text)).isdisjoint(near_text.bands_asked(other))
    assert total > 100
    assert shared / total > 0.99


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_similarity_is_symmetric_between_0_and_1_and_1_for_the_same(one, other):
    assert near_text.similarity(one, one) == 1
    assert 0 <= near_text.similarity(one, other) <= 1
    assert near_text.similarity(one, other) == near_text.similarity(other, one)
    for band, value in near_text.bands_of(one):
        assert -(2**63) <= value < 2**63
        assert 0 <= band < 32000
