"""Fraud by its signs alone, and weighed with a model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.models import Category
from moderation import checks, classifiers, evaluation, fraud_signs, labelled, library
from moderation.checks.fraud import WORDS
from moderation.normalisation import normalise
from moderation.policy import version
from tests.moderation.learning_rows import FRAUDS, ORDINARY

POSING = "您好，我是市公安局的民警，您的银行卡涉嫌洗钱，请立即把资金转账到安全账户接受核查，不要告诉任何人"
FRAUD_CALLS = {
    POSING: "fraud.impersonation",
    "恭喜您被抽中为幸运用户，获得一等奖奖金十万元，请先缴纳手续费和个人所得税，逾期作废，兑奖点击链接": "fraud.prize",
    "内部消息，这个投资项目稳赚保本，高收益零风险，名额有限，尽快充值入金，跟单就能翻倍": "fraud.investment",
    "我是你领导，我现在出差，急用钱，你先帮我转五万，马上转账到这个账户，单独处理，不要声张": "fraud.acquaintance",
    "您购买的商品需要退款，我是客服，请尽快提供银行卡号和验证码，否则退款失效": "fraud.refund",
    "招兼职刷单，日结佣金，先垫付后返佣，立即扫码下载，名额有限": "fraud.part_time",
}
HARMLESS = [
    "快递到了，放在小区门口的柜子里",
    "请尽快把作业交给老师",
    "他在银行工作，今天办了一张新卡",
    "退款已经原路返回，请注意查收",
    "警察抓住了偷车的人，大家都很高兴",
    "这家公司的客服态度很好，马上就回复了",
    "妈妈问我密码是多少，我说忘了",
]
WARNINGS = [
    "警方提醒：谨防冒充公安局的电话，凡是要求转账到安全账户的都是诈骗，切勿透露验证码",
    "反诈宣传：不轻信中奖短信，不透露银行卡号，不转账手续费，以免上当",
]


def look(text: str):
    """What the check finds without any model."""
    side = checks.Side("output", text, None, "text", None)
    side.notes["classifier"] = ()
    return checks.CHECKS["fraud"].look(side, side.texts[0])


@pytest.mark.parametrize(("text", "category"), FRAUD_CALLS.items())
def test_common_frauds_are_found_by_their_signs(text, category):
    (found,) = look(text)
    assert found.category == category and found.severity >= 2 and found.score >= 0.5
    assert all(0 <= start < end <= len(text) for start, end in found.spans)


@pytest.mark.parametrize("text", HARMLESS + WARNINGS + [text for text, _label in ORDINARY[:20]])
def test_single_signs_and_warnings_are_no_fraud(text):
    assert look(text) == []


def test_a_fraud_is_held_by_the_shipped_policy(world):
    item = world.submit(POSING)
    assert item.state == "in_review"
    assert item.findings.filter(check_name="fraud", category_id="fraud.impersonation").exists()


def test_disguises_do_not_hide_the_signs():
    disguised = POSING.replace("公安局", "公 安 局").replace("转账", "轉賬").replace("洗钱", "洗\u200b钱")
    (plain,), (found,) = look(POSING), look(disguised)
    assert found.detail == plain.detail
    assert "轉賬" in "".join(disguised[a:b] for a, b in found.spans)


def test_signs_far_apart_are_not_put_together():
    apart = "民警来学校做了讲座。" + "今天天气很好，我们去公园散步。" * 40 + "妈妈转账给我买书。"
    assert look(apart) == []
    together = "请马上把钱转账到安全账户，民警说你涉嫌洗钱"
    (found,) = look("今天天气很好，我们去公园散步。" * 40 + together + "今天天气很好。" * 40)
    assert all(start >= 500 for start, _end in found.spans)


@pytest.mark.django_db
def test_a_model_that_knows_better_silences_and_supports(world):
    shop = "我们客服会尽快为您办理退款，请提供订单号，押金当天退回"
    lines = [labelled.Line(at, text, label) for at, (text, label) in enumerate(FRAUDS + ORDINARY)]
    one = evaluation.acting(evaluation.learn(lines))

    def with_model(probability: float):
        side = checks.Side("output", shop, None, "text", library.current())
        side.notes["classifier"] = (one,)
        opinion = one.model.opinion(shop)
        said = type(opinion)(opinion.label, {"fraud": probability})
        side.notes["opinions"] = {id(side.texts[0]): [(one, said)]}
        return checks.CHECKS["fraud"].look(side, side.texts[0])

    alone = fraud_signs.look(normalise(shop)).logit
    assert -2 < alone < 2.5
    assert with_model(0.001) == []
    assert with_model(0.999) != []


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([w for s in fraud_signs.SIGNS.values() for w in s.words] + ["，", "x", "\u200b", "轉"]),
        max_size=60,
    )
)
def test_any_mix_of_words_gives_spans_inside_the_text(words):
    text = "".join(words)
    seen = fraud_signs.look(normalise(text))
    assert all(0 <= start < end <= len(text) for start, end in seen.spans)
    assert list(seen.spans) == sorted(seen.spans)


@pytest.mark.django_db
def test_every_leaf_that_a_sign_speaks_for_is_in_the_tree(world):
    named = {sign.category for sign in fraud_signs.SIGNS.values() if sign.category}
    assert named <= set(Category.objects.filter(leaf=True).values_list("code", flat=True))
    assert set(fraud_signs.SIGNS) == set(WORDS)


@pytest.mark.django_db
def test_the_signs_alone_never_block(world):
    (found,) = look(POSING)
    assert version(1).judge([found]).disposition == "review"
    assert classifiers.current() == ()
