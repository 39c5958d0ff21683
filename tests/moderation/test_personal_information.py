"""Personal information is found where it stands, in its disguises too, and what only looks like it is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation import personal_information
from moderation.models import Finding
from moderation.normalisation import normalise
from tests.world import ID_NUMBER, OTHER_ID_NUMBER

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "data" / "id_number_vectors" / "vectors.jsonl"


def found(text: str) -> list[tuple[str, str]]:
    return [(piece.kind, text[piece.start : piece.end]) for piece in personal_information.find(normalise(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"他的身份证是{ID_NUMBER}。", [("id_number", ID_NUMBER)]),
        ("身份证110101 19000102 9823请收好", [("id_number", "110101 19000102 9823")]),
        ("号码１１０１０１１９０００１０２９８２３", [("id_number", "１１０１０１１９０００１０２９８２３")]),
        ("打13912345678找我", [("mobile", "13912345678")]),
        ("打+86 139-1234-5678找我", [("mobile", "+86 139-1234-5678")]),
        ("打1\u200b3\u200b9\u200b12345678找我", [("mobile", "1\u200b3\u200b9\u200b12345678")]),
        ("打①③⑨①②③④⑤⑥⑦⑧", [("mobile", "①③⑨①②③④⑤⑥⑦⑧")]),
        ("座机 010-62345678 转人工", [("phone", "010-62345678")]),
        ("转到6222020200112230005就行", []),
        ("转到 6222 0202 0011 2230 004 就行", [("bank_card", "6222 0202 0011 2230 004")]),
        ("护照号EA1234567已过期", [("passport", "EA1234567")]),
        ("型号EA1234567已停产", []),
        ("车牌京A·12345停在门口", [("plate", "京A·12345")]),
        ("写信到 wen.ge@example.cn 吧", [("email", "wen.ge@example.cn")]),
        ("代码91990000TUYAN0007P", [("uscc", "91990000TUYAN0007P")]),
        ("身份证号110101900102982", [("id_number", "110101900102982")]),
    ],
)
def test_it_is_found_where_it_stands(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "今天是2026年11月22日，气温12.5度",
        "订单号202611221234567890123456",
        "110101190001029824",  # the last digit is wrong
        "3.14159265358979323846",
        "第 13 章 第 9 节 12345678 字",
        "2019-2020 赛季",
        "ISBN 978-7-302-51234-5",
        "192.168.100.200",
        "价格 1,234,567,890 元",
        "0000000000000000",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text):
    assert found(text) == []


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from([ID_NUMBER, OTHER_ID_NUMBER]))
def test_every_span_points_at_what_was_found(before, after, number):
    text = f"{before}，{number}，{after}"
    pieces = personal_information.find(normalise(text))
    assert any(text[p.start : p.end] == number for p in pieces)
    assert all(0 <= p.start < p.end <= len(text) for p in pieces)
    assert all(a.end <= b.start for a, b in zip(pieces, pieces[1:], strict=False))


@given(st.text(alphabet="0123456789xX -+.()·京A@e", max_size=80))
def test_no_heap_of_digits_breaks_it(text):
    personal_information.find(normalise(text))


def test_an_output_with_a_number_goes_to_a_person_and_the_finding_says_where_but_never_what(world):
    item = world.submit(f"联系人的身份证是{ID_NUMBER}")
    assert (item.state, item.rule) == ("in_review", "R-06")
    finding = Finding.objects.get(submission=item, check_name="personal_information")
    start, end = finding.spans[0]
    assert f"联系人的身份证是{ID_NUMBER}"[start:end] == ID_NUMBER
    assert finding.category_id == "personal_info.identity" and ID_NUMBER not in str(finding.__dict__)


def test_a_prompt_may_hold_its_writers_own_number(world):
    item = world.submit(input={"text": f"用{ID_NUMBER}写一份表格说明"})
    assert item.state == "released"
    assert Finding.objects.get(submission=item).side == "input"


@pytest.mark.skipif(not VECTORS.exists(), reason="needs the shared id_number_vectors")
def test_the_published_vectors_in_running_text():
    sentences = ("请联系{}咨询。", "身份证号{}，请核对", "电话:{}", "编号{}已登记")
    kinds = {"uscc": {"uscc"}, "resident_id": {"id_number"}, "phone": {"phone", "mobile"}}
    right = missed = wrong = 0
    for row in map(json.loads, VECTORS.read_text("utf-8").splitlines()):
        for sentence in sentences:
            text = sentence.format(row["value"])
            hit = bool(kinds[row["kind"]] & {kind for kind, _what in found(text)})
            right += hit and row["valid"]
            missed += row["valid"] and not hit
            wrong += hit and not row["valid"]
    assert wrong == 0
    assert 2 * right / (2 * right + missed + wrong) >= 0.98
