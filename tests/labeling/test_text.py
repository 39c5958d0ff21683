"""Labels of text: written, read back, refused where they would not hold (GB 45438-2025 5.1, Annex E)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import uscc

from labeling import text
from tests.world import USCC


def test_the_producer_code_has_27_characters_around_a_valid_uscc() -> None:
    code = text.producer_code(USCC)
    assert len(code) == 27 and code.startswith("0011") and code.endswith("00000")
    assert uscc.is_valid(code[4:22])


@given(st.text())
def test_every_text_carries_its_notice_first_and_reads_back_whole(content: str) -> None:
    record = text.label(content, producer=text.producer_code(USCC), content_number="n1", explicit=True)
    labelled = text.apply(content, record)
    assert text.inspect(labelled, record) == []
    assert labelled.split(text.SEPARATOR, 1)[1] == content


def test_where_no_notice_is_required_the_text_is_untouched_and_the_seven_fields_are_there() -> None:
    """DS-17b: offered, not forced; DS-16a: the implicit label always."""
    record = text.label("诗", producer=text.producer_code(USCC), content_number="n1", explicit=False)
    assert text.apply("诗", record) == "诗"
    assert tuple(record["implicit"]) == text.KEYS
    assert record["implicit"]["ContentPropagator"] == record["implicit"]["ContentProducer"]


@pytest.mark.parametrize("producer", ["", "某某公司", 'a"b', "a b", "a\\b"])
def test_a_producer_outside_the_character_rule_is_refused(producer: str) -> None:
    with pytest.raises(text.NotLabelled):
        text.label("诗", producer=producer, content_number="n1", explicit=True)


def test_a_notice_that_was_removed_is_noticed() -> None:
    record = text.label("诗", producer=text.producer_code(USCC), content_number="n1", explicit=True)
    assert text.inspect("诗", record) == ["explicit label: missing at the start"]


def test_the_order_of_the_seven_fields_survives_the_database() -> None:
    record = text.label("诗", producer=text.producer_code(USCC), content_number="n1", explicit=True)
    shuffled = {"implicit": dict(sorted(record["implicit"].items())), "explicit": record["explicit"]}
    ordered = text.ordered(shuffled)
    assert ordered is not None and tuple(ordered["implicit"]) == text.KEYS
    assert text.ordered(None) is None
