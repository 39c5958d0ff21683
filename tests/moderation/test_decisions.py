"""Decisions by people: grounds, reasons, what is asked again, and that nothing is decided twice."""

from __future__ import annotations

import pytest

from accounts import measures
from core import audit, gates
from core.errors import Refusal
from core.models import OutboxEvent
from moderation import decisions, queue
from moderation.models import Decision, Lease, StatementOfReasons, Submission, Task
from tests.moderation.test_queue import expire
from tests.world import SCAM, work


@pytest.fixture
def held(world):
    """A suspicious item that Lin holds."""
    item = world.submit(SCAM)
    assert item.state == "in_review"
    return queue.next_task(by=world.lin)


def decide(world, held, outcome="block", by=None, **given):
    given = {"category": "fraud.part_time", "reason": "涉嫌刷单诈骗"} | given
    return decisions.decide(
        submission_id=held.submission_id, token=held.token, outcome=outcome, by=by or world.lin, **given
    )


def test_a_block_is_recorded_with_clause_reason_statement_and_news(world, held):
    said = decide(world, held)
    item = Submission.objects.get(pk=held.submission_id)
    assert (said.result, item.state, item.decided_by) == ("applied", "blocked", "staff")
    decision = said.decision
    assert (decision.staff, decision.category_id, decision.reason) == (world.lin, "fraud.part_time", "涉嫌刷单诈骗")
    assert decision.clause and decision.policy_version == item.policy_version and decision.rule == "R-05"
    statement = StatementOfReasons.objects.get(decision=decision)
    assert (statement.automated_detection, statement.automated_decision) == (True, False)
    assert OutboxEvent.objects.filter(topic="submission.blocked", subject=str(item.pk)).count() == 1
    assert "submission.block" in [e.action for e in audit.of(f"submission:{item.pk}")]
    assert not Lease.objects.exists()


def test_a_release_is_labelled(world, held):
    """DS-16a, DS-17a."""
    assert decide(world, held, "release", category="", reason="").result == "applied"
    item = Submission.objects.get(pk=held.submission_id)
    assert item.state == "released"
    assert item.label["explicit"] and item.label["implicit"]["ProduceID"] == item.pk.hex


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"category": ""}, "category"),
        ({"category": "fraud"}, "category"),  # a root is no ground
        ({"category": "nothing.like_it"}, "category"),
        ({"reason": "   "}, "reason"),
        ({"outcome": ""}, "outcome"),
        ({"outcome": "explode"}, "outcome"),
    ],
)
def test_what_is_missing_is_named_and_nothing_changes(world, held, given, field):
    with pytest.raises(Refusal) as refused:
        decide(world, held, **given)
    assert [e["field"] for e in refused.value.errors] == [field]
    assert not Decision.objects.filter(by_kind="staff").exists()
    assert queue.held_by(world.lin).token == held.token


def test_on_a_lost_lease_it_is_refused_with_the_holder_and_nothing_changes(world, held):
    expire()
    taken = queue.next_task(by=world.bai)
    assert taken.submission_id == held.submission_id
    with pytest.raises(queue.LeaseLost) as lost:
        decide(world, held)
    assert "白薇" in str(lost.value.detail)
    assert not Decision.objects.filter(submission_id=held.submission_id).exists()
    assert Submission.objects.get(pk=held.submission_id).state == "in_review"
    assert queue.held_by(world.bai).token == taken.token


def test_on_a_lease_that_ran_out_and_nobody_took_it_is_refused_too(world, held):
    expire()
    with pytest.raises(queue.LeaseLost) as lost:
        decide(world, held)
    assert lost.value.status == 409
    assert not Decision.objects.filter(submission_id=held.submission_id).exists()


def test_with_another_items_number_it_is_refused(world, held):
    other = world.submit(SCAM)
    with pytest.raises(queue.LeaseLost):
        decisions.decide(submission_id=other.pk, token=held.token, outcome="release", by=world.lin)
    assert Submission.objects.get(pk=other.pk).state == "in_review"
    assert Submission.objects.get(pk=held.submission_id).state == "in_review"


def test_the_same_form_twice_is_one_decision(world, held):
    first, second = decide(world, held), decide(world, held, "release")
    assert second.decision == first.decision
    assert Decision.objects.filter(submission_id=held.submission_id).count() == 1
    assert OutboxEvent.objects.filter(topic="submission.blocked").count() == 1


def test_another_persons_token_decides_nothing_even_after_the_fact(world, held):
    decide(world, held)
    with pytest.raises(queue.LeaseLost):
        decide(world, held, by=world.bai)


def test_an_item_settled_elsewhere_is_skipped_with_the_reason(world, held):
    Submission.objects.filter(pk=held.submission_id).update(state="withdrawn")
    said = decide(world, held)
    assert said.result == "skipped" and str(said.detail)
    assert not Decision.objects.filter(submission_id=held.submission_id).exists()
    assert not Lease.objects.exists()


@pytest.mark.parametrize("cause", ["gate", "identity", "suspended", "limited"])
def test_a_release_is_held_when_it_may_not_happen_now(world, held, cause):
    """Ruling 4: intake is not the last gate."""
    if cause == "gate":
        gates.close_gate(capability="release", by=world.chen, directive="令〔2026〕3号")
    elif cause == "identity":
        type(world.wen).objects.filter(pk=world.wen.pk).update(identity_status="pending")
    elif cause == "suspended":
        measures.apply(user=world.wen, kind="suspend", ground="测试", by=world.zhou)
    else:
        measures.apply(user=world.wen, kind="limit", functions=["writing"], ground="测试", by=world.zhou)
    said = decide(world, held, "release", category="", reason="")
    item = Submission.objects.get(pk=held.submission_id)
    assert said.result == "held" and str(said.detail)
    assert item.state == "in_review" and item.held_for and item.label is None
    assert not Decision.objects.filter(submission_id=item.pk).exists()
    assert not OutboxEvent.objects.filter(topic="submission.released", subject=str(item.pk)).exists()


def test_a_held_item_comes_back_to_a_person_when_the_gate_opens(world, held):
    gate = gates.close_gate(capability="release", by=world.chen, directive="令〔2026〕3号")
    decide(world, held, "release", category="", reason="")
    gates.open_gate(gate_id=gate.pk, reason="指令到期", by=world.chen)
    from core import outbox

    while outbox.relay():
        pass
    work()
    assert Task.objects.filter(pk=held.submission_id).exists()
    again = queue.next_task(by=world.lin)
    assert decide(world, again, "release", category="", reason="").result == "applied"
