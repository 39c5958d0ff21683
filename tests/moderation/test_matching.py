"""Matching: the library's terms in all their disguises, nothing in ordinary sentences, spans in the original."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.matching import EmptyTermError, Hit, Matcher, Term
from moderation.normalisation import normalise


def term(value, number=1):
    return Term(number, 1, value, "fraud", 3)


def matcher(*values, **options):
    return Matcher([term(value, number) for number, value in enumerate(values)], **options)


def hits(values, text):
    """(value of the term, the original text it was found in) for each hit."""
    return [(hit.term.value, text[hit.start : hit.end]) for hit in matcher(*values).find(normalise(text))]


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("加微信", "请加微信领奖", "加微信"),
        ("加微信", "请加.微*信领奖", "加.微*信"),
        ("加微信", "請加 微 信領獎", "加 微 信"),
        ("加微信", "加\u200b微\u200d信", "加\u200b微\u200d信"),
        ("加微信", "【加】【微】【信】", "加】【微】【信"),
        ("加微信", "加，微，信", "加，微，信"),
        ("加微信", "快加💰微💰信呀", "加💰微💰信"),
        ("加微信", "加\n微\n信", "加\n微\n信"),
        ("加微信", "加̶微̶信", "加̶微̶信"),
        ("网络赌博", "網絡·賭博平台", "網絡·賭博"),
        ("網絡賭博", "网络赌博平台", "网络赌博"),
        ("vx", "联系ＶＸ", "ＶＸ"),
        ("vx", "联系 v-x 吧", "v-x"),
        ("vx", "联系🆅🆇吧", "🆅🆇"),
        ("vx", "加 v x 聊", "v x"),
        ("vx", "加vх聊", "vх"),  # the second letter is Cyrillic
        ("vx", "a.vx.b", "vx"),
        ("vx", "hello🆅🆇", "🆅🆇"),
        ("vx", "加vx10086", "vx"),
        ("vx", "加VX：10086", "VX"),
        ("10086", "加vx10086", "10086"),
        ("10086", "加vx①0-0-8❻", "①0-0-8❻"),
        ("13800138000", "电话138-0013-8000。", "138-0013-8000"),
        ("weixin", "w e i x i n", "w e i x i n"),
        ("paypal", "раyраl账户", "раyраl"),
        ("bet365.com", "上www.bet365.com/a注册", "bet365.com"),
        ("bet365.com", "上bet365*com注册", "bet365*com"),
        ("hello world", "say Hello\n  WORLD now", "Hello\n  WORLD"),
        ("c++", "学c++语言", "c++"),
        ("💊", "有💊吗", "💊"),
        ("💊", "有💊", "💊"),
        ("恭喜，中奖", "恭喜，中奖了", "恭喜，中奖"),
        ("加，微，信", "请加，微，信吧", "加，微，信"),
        ("加v", "加vx聊", "加v"),
        ("  刷单 ", "刷单返利", "刷单"),
        ("ℵ₀", "集合ℵ₀啊", "ℵ₀"),
        ("виагра", "купить виагра тут", "виагра"),
    ],
)
def test_a_disguised_term_is_found_where_it_stands(value, text, found):
    assert hits([value], text) == [(value, found)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("vx", "avxb"),
        ("vx", "vxb"),
        ("vx", "1vx"),
        ("vx", "a\u200bvx\u200bb"),
        ("sex", "essex and sussex"),
        ("sex", "the s-expression"),
        ("ass", "class, assess, pass"),
        ("ai", "grade a i think"),
        ("10086", "100861"),
        ("10086", "订单号2100086"),
        ("виагра", "превиаграция"),
        ("枪支", "他买了枪。支付用现金"),
        ("黄色", "我喜欢黄，色彩也好"),
        ("赌博", "他们打赌，博物馆明天开门"),
        ("毒品", "消毒；品质保证"),
        ("色情", "不好看的颜色\n情况不明"),
        ("发票", "“出发”票已订好"),
        ("加微信", "附加……微信上说"),
        ("加微信", "加微，信"),
    ],
)
def test_ordinary_sentences_are_no_hits(value, text):
    assert hits([value], text) == []


def test_overlapping_terms_come_by_position_the_longest_first():
    assert hits(["赌", "网络赌博", "赌博", "博彩", "赌博彩票"], "网络赌博彩票") == [
        ("网络赌博", "网络赌博"),
        ("赌博彩票", "赌博彩票"),
        ("赌博", "赌博"),
        ("赌", "赌"),
        ("博彩", "博彩"),
    ]


def test_terms_that_fold_to_one_pattern_are_all_reported():
    assert hits(["賭博", "赌博", "赌.博"], "赌博") == [("賭博", "赌博"), ("赌博", "赌博"), ("赌.博", "赌博")]


def test_a_term_is_reported_once_per_span():
    assert hits(["ss"], "ß") == [("ss", "ß")]
    assert hits(["加，微，信"], "加，微，信") == [("加，微，信", "加，微，信")]
    assert hits(["م"], "ﷴ") == [("م", "ﷴ")]  # one ligature of four letters, two of them this one


def test_a_hit_carries_its_term():
    wanted = Term("f-7", 4, "刷单", "fraud.brushing", 2)
    assert Matcher([wanted]).find(normalise("去刷单")) == [Hit(wanted, 1, 3)]


def test_no_terms_no_hits():
    assert Matcher([]).find(normalise("赌博")) == []


@pytest.mark.parametrize("value", ["", "  ", "\u200b\u200d", "\u0301", "\n\t", "\ue000", "\ud800"])
def test_a_term_of_which_nothing_is_left_is_refused_by_name(value):
    with pytest.raises(ValueError, match="term f-9 ") as refused:
        Matcher([term("好"), Term("f-9", 1, value, "fraud", 1)])
    assert isinstance(refused.value, EmptyTermError)
    assert pickle.loads(pickle.dumps(refused.value)).term == refused.value.term


def test_up_to_the_limit_all_hits_are_kept():
    found = matcher("赌博", max_hits=3).find(normalise("赌博赌博赌博"))
    assert [hit.start for hit in found] == [0, 2, 4]
    assert not found.truncated


def test_past_the_limit_each_term_keeps_its_first_hit():
    found = matcher("赌博", "枪支", max_hits=3).find(normalise("赌博" * 500 + "枪支" + "赌博"))
    assert [(hit.term.value, hit.start) for hit in found] == [("赌博", 0), ("赌博", 2), ("枪支", 1000)]
    assert found.truncated


def test_one_text_being_truncated_does_not_mark_the_next():
    limited = matcher("赌博", max_hits=1)
    assert limited.find(normalise("赌博赌博")).truncated
    assert not limited.find(normalise("赌博")).truncated


VALUES = st.text(st.sampled_from("加微信赌博賭ab1.v ，+😀é"), min_size=1, max_size=5)
TEXTS = st.text(st.sampled_from("加微信赌博賭ab1.v ，+😀é\u200b\u0301\n"), max_size=20)


@settings(max_examples=400, deadline=None)
@given(st.lists(VALUES.filter(lambda value: normalise(value).text.strip()), max_size=6), TEXTS)
def test_hits_lie_in_the_text_in_order_and_spell_their_term(values, text):
    found = matcher(*values).find(normalise(text))
    assert [(hit.start, -hit.end) for hit in found] == sorted((hit.start, -hit.end) for hit in found)
    assert len(set(found)) == len(found)
    for hit in found:
        assert 0 <= hit.start < hit.end <= len(text)
        pattern, part = normalise(hit.term.value), normalise(text[hit.start : hit.end])
        assert _letters(pattern.text) == _letters(part.text)


@settings(max_examples=400, deadline=None)
@given(TEXTS, VALUES.filter(lambda value: normalise(value).text.strip()), TEXTS)
def test_a_term_that_stands_in_the_text_as_it_is_written_is_found(before, value, after):
    """Whatever stands around it; 。 only gives Latin terms the word boundary they need."""
    value = value.strip()
    text = f"{before}。{value}。{after}"
    assert (value, value) in hits([value], text)


def _letters(text):
    return [character for character in text if character.isalnum()]
