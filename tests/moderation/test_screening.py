"""Screening: both sides are looked at, the pinned policy judges, release is asked again (DS-10a, contract.md ruling 4)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import identities, measures
from core import gates, jobs
from core.models import AuditEvent, Job, OutboxEvent, QuarantinedJob
from labeling import text as text_label
from moderation import checks, library, screening
from moderation.library import Loaded
from moderation.models import Decision, Finding, StatementOfReasons, Submission, Task
from moderation.policy import Found, Policy
from tests.world import BLOCKED, CLEAN, SCAM, USCC, World, work


def test_a_harmless_item_is_released_with_both_sides_looked_at_and_its_label(world: World) -> None:
    item = world.submit(CLEAN)
    assert (item.state, item.disposition, item.decided_by) == ("released", "release", "policy")
    assert set(item.screened) == {"input", "output"}
    for side in item.screened.values():
        assert side["checks"]["terms"].startswith("clear@library 2")
    assert text_label.inspect(text_label.apply(CLEAN, item.label), text_label.ordered(item.label)) == []
    assert item.label["implicit"]["ContentProducer"] == f"0011{USCC}00000"
    decision = Decision.objects.get(submission=item)
    assert (decision.outcome, decision.by_kind, decision.policy_version) == ("release", "policy", 1)
    assert OutboxEvent.objects.filter(topic="submission.released", subject=str(item.pk)).count() == 1
    assert not Job.objects.filter(kind="moderation.screen").exists()


def test_a_suspicious_item_waits_for_a_person_with_its_finding(world: World) -> None:
    item = world.submit(SCAM)
    assert (item.state, item.rule) == ("in_review", "R-05")
    found = Finding.objects.get(submission=item)
    assert [SCAM[a:b] for a, b in found.spans] == ["刷单返佣"]
    assert (found.side, found.category_id, found.severity, found.feature_version) == ("output", "fraud.part_time", 3, 1)
    assert Task.objects.get(pk=item.pk).priority == 30
    assert not Decision.objects.filter(submission=item).exists()


def test_the_severest_output_is_blocked_with_a_statement_of_reasons(world: World) -> None:
    item = world.submit(f"前文{BLOCKED}后文")
    assert (item.state, item.rule) == ("blocked", "R-03")
    statement = StatementOfReasons.objects.get(submission=item)
    assert (statement.automated_detection, statement.automated_decision) == (True, True)
    assert statement.explanation and statement.clause and statement.decision.category_id == "drugs.sale"
    assert item.label is None


def test_a_severe_prompt_is_reviewed_though_its_result_is_clean(world: World) -> None:
    item = world.submit(CLEAN, input={"text": BLOCKED})
    assert (item.state, item.rule) == ("in_review", "R-04")


def test_spans_are_code_points_of_the_original(world: World) -> None:
    text = "😀加入 刷.单\u200b返－佣 吧"
    item = world.submit(text)
    start, end = Finding.objects.get(submission=item).spans[0]
    assert text[start:end] == "刷.单\u200b返－佣"


def test_a_check_that_fails_leads_to_review_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(checks.Check):
        name = "broken"

        def version(self, library: Loaded) -> str:
            return "1"

        def look(self, side: checks.Side, text: checks.Text) -> list[Found]:
            raise RuntimeError("broken")

    monkeypatch.setitem(checks.CHECKS, "broken", Broken())
    item = world.submit(CLEAN)
    assert (item.state, item.rule) == ("in_review", "R-01")
    assert item.screened["output"]["checks"]["broken"] == "failed@1"
    assert {f.detail for f in Finding.objects.filter(submission=item)} == {"broken: RuntimeError"}


def test_a_check_that_does_not_end_is_stopped_and_leads_to_review(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless(checks.Check):
        name = "endless"
        limit = 0.05

        def version(self, library: Loaded) -> str:
            return "1"

        def look(self, side: checks.Side, text: checks.Text) -> list[Found]:
            while True:
                pass

    monkeypatch.setitem(checks.CHECKS, "endless", Endless())
    item = world.submit(CLEAN)
    assert (item.state, item.rule) == ("in_review", "R-01")
    assert {f.detail for f in Finding.objects.filter(submission=item)} == {"endless: OutOfTime"}


def test_an_item_that_can_not_be_screened_goes_to_a_person_after_three_tries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = screening.look

    def look(item: Submission, sides: Any = None) -> Any:
        if item.content.output_text == "坏":
            raise MemoryError
        return real(item, sides)

    monkeypatch.setattr(screening, "look", look)
    bad, good = world.take("坏"), world.take(CLEAN)
    for _try in range(4):
        work()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE core_job SET due_at = statement_timestamp() - interval '1 second'")
    bad.refresh_from_db()
    good.refresh_from_db()
    assert good.state == "released"
    assert (bad.state, bad.rule) == ("in_review", "screening_failed")
    assert QuarantinedJob.objects.get().attempts == 3
    assert Task.objects.filter(pk=bad.pk).exists()


@pytest.mark.parametrize("cause", ["gate", "suspended", "limited", "identity"])
def test_what_may_not_go_out_now_is_held_and_evaluated_again_when_the_cause_ends(world: World, cause: str) -> None:
    item = world.take(CLEAN)
    if cause == "gate":
        gate = gates.close_gate(capability="release", by=world.chen, directive="令1号")
    elif cause == "suspended":
        measure = measures.apply(user=world.wen, kind="suspend", ground="测试", by=world.zhou)
    elif cause == "limited":
        measure = measures.apply(user=world.wen, kind="limit", ground="测试", functions=["writing"], by=world.zhou)
    else:
        identity = identities.submit(
            user=world.wen, method="id_number", name="新名", number="360120190001039832", by="client:test"
        )
    work()
    item.refresh_from_db()
    held = {
        "gate": "gate_closed", "suspended": "account_suspended", "limited": "function_limited",
        "identity": "identity_not_verified",
    }[cause]  # fmt: skip
    assert (item.state, item.held_for, item.label) == ("in_review", held, None)
    assert not Decision.objects.filter(submission=item).exists()
    if cause == "gate":
        gates.open_gate(gate_id=gate.pk, by=world.chen, reason="令已解除")
    elif cause in ("suspended", "limited"):
        measures.lift(measure_id=measure.pk, reason="申诉成立", by=world.zhou)
    else:
        identities.verify(identity_id=identity.pk, by=world.zhou)
    from core import outbox

    outbox.relay()
    work()
    item.refresh_from_db()
    assert (item.state, item.held_for) == ("released", "")
    assert AuditEvent.objects.filter(subject=f"submission:{item.pk}", action="submission.evaluated_again").exists()


def test_an_item_keeps_the_policy_that_was_live_when_it_came_in(world: World) -> None:
    item = world.take(SCAM)
    from moderation.models import PolicyVersion

    with transaction.atomic():
        PolicyVersion.objects.filter(pk=1).update(state="retired")
        PolicyVersion.objects.create(number=2, name="v2", rules=[], state="live", made_by="test")
    work()
    item.refresh_from_db()
    assert (item.state, item.policy_version) == ("in_review", 1)


def test_a_retired_entry_no_longer_hits_and_the_version_counts_up(world: World) -> None:
    from moderation.models import Feature, Library

    before = Library.objects.get().version
    library.retire(feature_id=Feature.objects.get(value="刷单返佣").pk, reason="误伤", by=world.xu)
    library._loaded = None
    item = world.submit(SCAM)
    assert item.state == "released"
    assert item.library_version == before + 1


def test_nothing_is_released_without_both_reviews_whoever_writes_the_row(world: World) -> None:
    item = world.take(CLEAN)
    with pytest.raises(IntegrityError, match="released_needs_input_and_output_reviewed"), transaction.atomic():
        Submission.objects.filter(pk=item.pk).update(state="released")


def test_decisions_findings_and_statements_only_grow(world: World) -> None:
    world.submit(BLOCKED)
    for table in ("moderation_decision", "moderation_finding", "moderation_statementofreasons", "core_auditevent"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET id = id"):
            with pytest.raises(Exception, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)


def test_a_lost_lease_writes_nothing(world: World) -> None:
    item = world.take(CLEAN)
    late = jobs.claim(screening.KIND)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_job SET lease_token = gen_random_uuid()")
    screening.screen(late)
    item.refresh_from_db()
    assert item.state == "screening"
    assert Job.objects.count() == 1


class TestPolicy:
    def rules(self, *rules: dict[str, Any]) -> Policy:
        return Policy(9, [{"name": r["id"], **r} for r in rules])

    def test_the_first_rule_that_fits_decides(self) -> None:
        policy = self.rules(
            {"id": "a", "when": {"min_severity": 4}, "then": "block"}, {"id": "b", "when": {}, "then": "review"}
        )
        assert policy.judge([Found("output", "terms", "drugs.sale", 2)]).rule == "b"
        assert policy.judge([Found("output", "terms", "drugs.sale", 4)]).disposition == "block"
        assert policy.judge([]).disposition == "release"

    def test_a_category_condition_means_the_leaf_and_what_is_under_it(self) -> None:
        policy = self.rules({"id": "a", "when": {"category": ["fraud"]}, "then": "review"})
        assert policy.judge([Found("output", "terms", "fraud.loan", 1)]).rule == "a"
        assert policy.judge([Found("output", "terms", "fraudulent", 1)]).rule == "-"

    def test_a_failed_check_never_meets_an_ordinary_rule(self) -> None:
        policy = self.rules({"id": "a", "when": {"min_severity": 0}, "then": "block"})
        verdict = policy.judge([Found("output", "check_failed", None, 0)])
        assert (verdict.disposition, verdict.rule) == ("review", "check_failed")

    def test_a_rule_that_is_not_understood_is_refused(self) -> None:
        for rule in ({"id": "a", "when": {"colour": 1}, "then": "block"}, {"id": "a", "when": {}, "then": "burn"}):
            with pytest.raises(ValueError, match="not understood"):
                self.rules(rule)
