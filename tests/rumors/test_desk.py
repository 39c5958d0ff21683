"""The desk's choice: the item is blocked and its case opened, both or neither."""

from __future__ import annotations

import pytest

from core.errors import Refusal
from core.ids import uuid7
from moderation import decisions, queue
from moderation.models import Decision, StatementOfReasons
from rumors.models import RumorCase
from tests.world import SCAM

CHOICE = "rumor"


def held(world, text: str = SCAM):
    item = world.submit(text)
    assert item.state == "in_review"
    lease = queue.next_task(by=world.lin)
    assert lease.submission_id == item.pk
    return item, {
        "submission_id": item.pk,
        "token": lease.token,
        "category": "false_news.disaster",
        "reason": "虚假停水通知",
        "by": world.lin,
    }


@pytest.fixture
def leaf(world) -> str:
    from governance.models import Category

    return Category.objects.filter(leaf=True, code__startswith="false").values_list("code", flat=True).first()


def test_the_choice_blocks_the_item_and_opens_its_case(world, leaf):
    item, given = held(world)
    choice = decisions.CHOICES[CHOICE]
    assert choice.permission == "rumor.open"
    outcome = choice.run(**{**given, "category": leaf})
    assert outcome.result == "applied" and outcome.decision.outcome == "block"
    item.refresh_from_db()
    case = RumorCase.objects.get()
    assert item.state == "blocked" and case.number in str(outcome.detail)
    assert [link.submission_id for link in case.links.all()] == [item.pk]
    assert (case.claim, case.found, case.opened_by) == (SCAM, "desk", world.lin)
    assert StatementOfReasons.objects.filter(submission=item).count() == 1


def test_pressed_twice_it_is_one_decision_and_one_case(world, leaf):
    _item, given = held(world)
    run = decisions.CHOICES[CHOICE].run
    first, second = run(**{**given, "category": leaf}), run(**{**given, "category": leaf})
    assert first.decision == second.decision
    assert (RumorCase.objects.count(), Decision.objects.filter(by_kind="staff").count()) == (1, 1)


@pytest.mark.parametrize("wrong", [{"category": ""}, {"reason": " "}, {"token": uuid7()}])
def test_what_the_block_refuses_opens_no_case(world, leaf, wrong):
    item, given = held(world)
    with pytest.raises(Refusal):
        decisions.CHOICES[CHOICE].run(**{**given, "category": leaf, **wrong})
    item.refresh_from_db()
    assert item.state == "in_review" and RumorCase.objects.count() == 0


def test_an_item_released_by_the_same_form_before_opens_no_case(world, leaf):
    _item, given = held(world)
    released = decisions.decide(
        submission_id=given["submission_id"], token=given["token"], outcome="release", by=world.lin
    )
    assert released.result == "applied"
    outcome = decisions.CHOICES[CHOICE].run(**{**given, "category": leaf})
    assert outcome.decision.outcome == "release" and RumorCase.objects.count() == 0
