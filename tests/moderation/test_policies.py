"""The life of a policy: every state × action, two persons, revisions, races, the shadow, and what is refused before it is
saved (contract.md rulings 4 and 7)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import measures
from core import roles
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.models import AuditEvent
from moderation import intake, library, policies, policy, policy_compare, policy_facts, policy_shadow, screening
from moderation.models import Backtest, Finding, PolicyVersion, ShadowVerdict, Task
from moderation.policy_validation import errors, vocabulary
from tests.world import BLOCKED, CLEAN, SCAM, World, work

FAILED = {"id": "R-01", "name": "检查未能完成", "when": {"check_failed": True}, "then": "review"}
MEDIA = {"id": "R-02", "name": "媒体", "when": {"check": ["media"]}, "then": "review"}
STRICT = {"id": "R-70", "name": "一律拦截诈骗", "name_en": "Fraud", "when": {"category": ["fraud"]}, "then": "block"}
WHY = "监管要求当日生效"


def drafted(world: World, *rules: dict[str, Any], by: Any = None) -> PolicyVersion:
    made = policies.draft(base=1, by=by or world.chen)
    if rules:
        made = policies.edit(number=made.pk, revision=made.revision, rules=list(rules), by=by or world.chen)
    return made


def in_force(world: World, *rules: dict[str, Any]) -> PolicyVersion:
    made = drafted(world, *rules)
    live = policies.go_live(number=made.pk, revision=made.revision, reason=WHY, by=world.xu)
    policy.forget()
    return live


def state(number: int) -> str:
    return PolicyVersion.objects.get(pk=number).state


def test_a_draft_is_a_copy_of_any_version_and_its_author_edits_it(world: World) -> None:
    made = drafted(world)
    first = PolicyVersion.objects.get(pk=1)
    assert (made.number, made.state, made.based_on, made.revision, made.author) == (2, "draft", 1, 1, world.chen)
    assert made.rules == first.rules
    saved = policies.edit(number=2, revision=1, rules=[FAILED, STRICT], name="更严", note="为何", by=world.chen)
    assert (saved.revision, saved.name, saved.rules) == (2, "更严", [FAILED, STRICT])
    assert policies.draft(base=2, by=world.xu).rules == [FAILED, STRICT]
    assert [e.action for e in AuditEvent.objects.filter(subject="policy:2").order_by("id")] == [
        "policy.drafted",
        "policy.edited",
    ]
    assert PolicyVersion.history.filter(number=2).count() == 2


def test_an_edit_names_the_revision_it_saw(world: World) -> None:
    made = drafted(world, FAILED, STRICT)
    with pytest.raises(Conflict) as refused:
        policies.edit(number=made.pk, revision=1, rules=[FAILED], by=world.chen)
    assert (refused.value.code, refused.value.extra) == ("revision_moved", {"revision": 2, "seen": 1})
    assert PolicyVersion.objects.get(pk=made.pk).rules == [FAILED, STRICT]


def test_only_its_author_edits_a_draft_or_lets_it_run_in_shadow(world: World) -> None:
    made = drafted(world)
    for command in (lambda: policies.edit(number=2, revision=1, rules=[FAILED], by=world.xu),
                    lambda: policies.shadow(number=2, revision=1, by=world.xu)):  # fmt: skip
        with pytest.raises(Forbidden) as refused:
            command()
        assert refused.value.code == "not_the_author"
    assert state(made.pk) == "draft"


def test_it_goes_live_by_another_person_and_retires_the_one_before(world: World) -> None:
    made = drafted(world, FAILED, STRICT)
    with pytest.raises(Forbidden) as refused:
        policies.go_live(number=made.pk, revision=2, reason=WHY, by=world.chen)
    assert refused.value.code == "own_policy"
    live = policies.go_live(number=made.pk, revision=2, reason=WHY, instead_of=1, by=world.xu)
    assert (live.state, live.approved_by, live.approved_revision) == ("live", world.xu, 2)
    assert live.approved_at and live.live_from and state(1) == "retired"
    events = {e.action: e for e in AuditEvent.objects.filter(subject__in=["policy:1", "policy:2"])}
    assert events["policy.retire"].data["replaced_by"] == 2
    gone_live = events["policy.go_live"]
    assert (gone_live.reason, gone_live.data["revision"], gone_live.data["instead_of"]) == (WHY, 2, 1)
    assert gone_live.data["rules_sha256"] == policies.digest([FAILED, STRICT]) and gone_live.data["backtest"] is None


def test_an_approval_names_the_revision_and_the_live_version_it_saw(world: World) -> None:
    made = drafted(world, FAILED, STRICT)
    for seen, instead_of, code in ((1, 1, "revision_moved"), (2, 7, "live_moved")):
        with pytest.raises(Conflict) as refused:
            policies.go_live(number=made.pk, revision=seen, reason=WHY, instead_of=instead_of, by=world.xu)
        assert refused.value.code == code
    assert (state(1), state(2)) == ("live", "draft")


def test_without_a_backtest_of_this_revision_a_reason_is_asked_for_or_it_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = drafted(world, FAILED, STRICT)
    old = Backtest.objects.create(kind="policy", target="2", target_revision=1, state="done", started_by=world.chen)
    Backtest.objects.create(kind="policy", target="2", target_revision=2, state="running", started_by=world.chen)
    with pytest.raises(Refusal) as refused:
        policies.go_live(number=2, revision=2, reason="  ", by=world.xu)
    assert refused.value.code == "reason_required" and refused.value.errors[0]["field"] == "reason"
    monkeypatch.setenv("MINGJIAN_POLICY_NEEDS_BACKTEST", "1")
    with pytest.raises(Refusal) as refused:
        policies.go_live(number=2, revision=2, reason=WHY, by=world.xu)
    assert refused.value.code == "backtest_needed"
    tried = Backtest.objects.create(kind="policy", target="2", target_revision=2, state="done", started_by=world.chen)
    policies.go_live(number=made.pk, revision=2, by=world.xu)
    event = AuditEvent.objects.get(action="policy.go_live", subject="policy:2")
    assert event.data["backtest"] == str(tried.pk) != str(old.pk)


def test_what_went_wrong_since_it_was_saved_is_found_at_the_approval(world: World) -> None:
    made = drafted(world, FAILED, {**STRICT, "when": {"function": ["portrait"], "check": ["terms"]}})
    world.portrait.delete()
    with pytest.raises(Refusal) as refused:
        policies.go_live(number=made.pk, revision=2, reason=WHY, by=world.xu)
    assert refused.value.errors[0]["field"] == "rules.1.when.function"


def _acts(world: World, number: int, revision: int) -> dict[str, Callable[[], Any]]:
    return {
        "edit": lambda: policies.edit(number=number, revision=revision, rules=[FAILED], by=world.chen),
        "shadow": lambda: policies.shadow(number=number, revision=revision, by=world.chen),
        "go_live": lambda: policies.go_live(number=number, revision=revision, reason=WHY, by=world.xu),
        "withdraw": lambda: policies.withdraw(number=number, reason=WHY, by=world.chen),
    }


ALLOWED = {
    "draft": {"edit": "draft", "shadow": "shadow", "go_live": "live", "withdraw": "retired"},
    "shadow": {"go_live": "live", "withdraw": "retired"},
    "live": {},
    "retired": {},
}


@pytest.mark.parametrize("before", sorted(ALLOWED))
@pytest.mark.parametrize("action", ["edit", "shadow", "go_live", "withdraw"])
def test_every_state_and_action(world: World, before: str, action: str) -> None:
    made = drafted(world, FAILED, STRICT)
    way = {"draft": [], "shadow": ["shadow"], "live": ["go_live"], "retired": ["withdraw"]}[before]
    for step in way:
        _acts(world, made.pk, 2)[step]()
    events = AuditEvent.objects.count()
    act = _acts(world, made.pk, 2)[action]
    if action in ALLOWED[before]:
        act()
        assert state(made.pk) == ALLOWED[before][action]
        assert AuditEvent.objects.count() > events
    else:
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.code == "state_forbids"
        assert (state(made.pk), AuditEvent.objects.count()) == (before, events)


def test_a_withdrawal_needs_a_reason_and_what_is_not_there_is_not_found(world: World) -> None:
    made = drafted(world)
    with pytest.raises(Refusal) as refused:
        policies.withdraw(number=made.pk, reason=" ", by=world.chen)
    assert refused.value.code == "reason_required"
    for act in _acts(world, 999, 1).values():
        with pytest.raises(NotFound):
            act()
    with pytest.raises(NotFound):
        policies.draft(base=999, by=world.chen)


@pytest.mark.parametrize("person", ["lin", "zhou", "he", "fang"])
def test_others_do_nothing_with_policies(world: World, person: str) -> None:
    who = world.staff[person]
    assert not roles.may(who, "policy.draft") and not roles.may(who, "policy.approve")
    made = drafted(world)
    for act in (
        lambda: policies.draft(base=1, by=who),
        lambda: policies.edit(number=made.pk, revision=1, rules=[FAILED], by=who),
        lambda: policies.shadow(number=made.pk, revision=1, by=who),
        lambda: policies.go_live(number=made.pk, revision=1, reason=WHY, by=who),
        lambda: policies.withdraw(number=made.pk, reason=WHY, by=who),
    ):
        with pytest.raises(Forbidden):
            act()


def test_the_database_itself_refuses_changed_rules_own_approvals_and_two_live_ones(world: World) -> None:
    made = drafted(world, FAILED, STRICT)
    policies.shadow(number=made.pk, revision=2, by=world.chen)
    for change in ({"rules": [FAILED]}, {"revision": 3}):
        with pytest.raises(IntegrityError, match="only while it is a draft"), transaction.atomic():
            PolicyVersion.objects.filter(pk=made.pk).update(**change)
    with pytest.raises(IntegrityError, match="stays"), transaction.atomic():
        PolicyVersion.objects.filter(pk=made.pk).delete()
    with pytest.raises(IntegrityError, match="nobody_approves_their_own_policy"), transaction.atomic():
        PolicyVersion.objects.filter(pk=made.pk).update(approved_by=world.chen)
    with pytest.raises(IntegrityError, match="a_persons_policy_goes_live_approved"), transaction.atomic():
        PolicyVersion.objects.filter(pk=1).update(state="retired")
        PolicyVersion.objects.filter(pk=made.pk).update(state="live")
    with pytest.raises(IntegrityError, match="one_policy_is_live"), transaction.atomic():
        PolicyVersion.objects.filter(pk=made.pk).update(state="live", approved_by=world.xu)


# Races: real threads, real commits.
def at_once(*calls: Callable[[], Any]) -> list[Any]:
    start, results = threading.Barrier(len(calls)), [None] * len(calls)

    def one(place: int, call: Callable[[], Any]) -> None:
        try:
            start.wait(10)
            results[place] = call()
        except Exception as exc:
            results[place] = exc
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_two_approvals_at_once_put_one_in_force(open_world: World) -> None:
    world = open_world
    a, b = drafted(world, FAILED, STRICT), drafted(world, FAILED, MEDIA)

    def go(number: int) -> Callable[[], Any]:
        return lambda: policies.go_live(number=number, revision=2, reason=WHY, instead_of=1, by=world.xu)

    results = at_once(go(a.pk), go(b.pk))
    refused = [r for r in results if isinstance(r, Exception)]
    assert [r.code for r in refused] == ["live_moved"]  # type: ignore[attr-defined]
    assert sorted(PolicyVersion.objects.values_list("state", flat=True)) == ["draft", "live", "retired"]


def test_the_same_approval_twice_at_once_is_one(open_world: World) -> None:
    world = open_world
    made = drafted(world, FAILED, STRICT)
    results = at_once(*[lambda: policies.go_live(number=made.pk, revision=2, reason=WHY, by=world.xu)] * 2)
    assert [r.code for r in results if isinstance(r, Exception)] == ["state_forbids"]  # type: ignore[attr-defined]
    assert AuditEvent.objects.filter(action="policy.go_live", subject=f"policy:{made.pk}").count() == 1


def test_an_edit_beside_the_approval_never_puts_unseen_rules_in_force(open_world: World) -> None:
    world = open_world
    for _turn in range(3):
        made = drafted(world, FAILED, STRICT)
        edited, approved = at_once(
            lambda n=made.pk: policies.edit(number=n, revision=2, rules=[FAILED], by=world.chen),  # type: ignore[misc]
            lambda n=made.pk: policies.go_live(number=n, revision=2, reason=WHY, by=world.xu),  # type: ignore[misc]
        )
        now = PolicyVersion.objects.get(pk=made.pk)
        if isinstance(edited, Exception):
            assert (now.state, now.rules, edited.code) == ("live", [FAILED, STRICT], "state_forbids")  # type: ignore[attr-defined]
        else:
            assert (now.state, now.rules, approved.code) == ("draft", [FAILED], "revision_moved")


def test_drafts_begun_at_once_get_numbers_of_their_own(open_world: World) -> None:
    made = at_once(*[lambda: policies.draft(base=1, by=open_world.chen)] * 4)
    assert sorted(one.pk for one in made) == [2, 3, 4, 5]


# What a version does to items.
def test_a_new_version_judges_what_comes_in_from_then_on_and_no_item_changes_its_policy(world: World) -> None:
    early = world.take(SCAM)
    live = in_force(world, FAILED, STRICT)
    late = world.submit(SCAM)
    early.refresh_from_db()
    assert (early.policy_version, early.state, early.rule) == (1, "in_review", "R-05")
    assert (late.policy_version, late.state, late.rule) == (live.pk, "blocked", "R-70")


def test_the_shadow_judges_every_item_and_has_no_effect(world: World) -> None:
    made = drafted(world, FAILED, STRICT)
    policies.shadow(number=made.pk, revision=2, by=world.chen)
    policy.forget()
    scam, clean = world.submit(SCAM), world.submit(CLEAN)
    assert (scam.state, scam.rule, scam.policy_version) == ("in_review", "R-05", 1)
    assert clean.state == "released"
    said = {v.submission_id: v for v in ShadowVerdict.objects.all()}
    verdict = said[scam.pk]
    assert (verdict.policy_version, verdict.disposition, verdict.rule) == (made.pk, "block", "R-70")
    assert (verdict.live_disposition, verdict.live_rule) == ("review", "R-05")
    assert said[clean.pk].disposition == said[clean.pk].live_disposition == "release"
    figures = policy_shadow.figures(made.pk)
    assert (figures.items, figures.same, figures.differ) == (2, 1, 1)
    assert figures.pairs == {("review", "block"): 1, ("release", "release"): 1}
    (row,) = figures.differing
    assert (row.category, row.items, row.samples) == ("fraud.part_time", 1, [scam.pk])
    policies.go_live(number=made.pk, revision=2, reason=WHY, by=world.xu)
    policy.forget()
    assert world.submit(SCAM).state == "blocked"
    assert ShadowVerdict.objects.count() == 2


def test_one_version_is_in_shadow_at_a_time(world: World) -> None:
    first, second = drafted(world, FAILED, STRICT), drafted(world, FAILED, MEDIA)
    policies.shadow(number=first.pk, revision=2, by=world.chen)
    with pytest.raises(Conflict) as refused:
        policies.shadow(number=second.pk, revision=2, by=world.chen)
    assert (refused.value.code, refused.value.extra) == ("another_in_shadow", {"number": first.pk})


def test_a_shadow_that_breaks_changes_nothing_for_the_item(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = drafted(world, FAILED, STRICT)
    policies.shadow(number=made.pk, revision=2, by=world.chen)
    policy.forget()
    real = policy.Policy.judge

    def judge(self: policy.Policy, *given: Any) -> policy.Verdict:
        if self.number == made.pk:
            raise RuntimeError("shadow")
        return real(self, *given)

    monkeypatch.setattr(policy.Policy, "judge", judge)
    assert world.submit(CLEAN).state == "released"
    assert not ShadowVerdict.objects.exists()


def _queries(world: World, *texts: str) -> list[str]:
    items = [world.take(text) for text in texts]
    with CaptureQueriesContext(connection) as seen:
        work()
    for item in items:
        item.refresh_from_db()
        assert item.state != "screening"
    return [q["sql"] for q in seen]


def test_facts_are_asked_for_once_a_batch_and_only_where_a_policy_asks(world: World) -> None:
    policy.shadow_number(), screening.categories()
    for number in (1,):
        policy.version(number)
    assert not any("policy_facts" in sql for sql in _queries(world, SCAM, CLEAN, CLEAN))
    by_item = {"id": "R-11", "name": "服务", "when": {"service": ["tuyan"], "check": ["links"]}, "then": "review"}
    in_force(world, FAILED, by_item)
    assert not any("policy_facts" in sql for sql in _queries(world, SCAM, CLEAN, CLEAN))
    by_user = {"id": "R-12", "name": "新账号", "when": {"max_account_days": 1}, "then": "review"}
    live = in_force(world, FAILED, by_user)
    policy.shadow_number(), policy.version(live.pk)
    seen = _queries(world, SCAM, CLEAN, CLEAN)
    assert len([sql for sql in seen if "policy_facts" in sql]) == 1


@pytest.mark.parametrize(
    ("when", "state"),
    [
        ({"max_account_days": 1}, "in_review"),
        ({"min_account_days": 1}, "released"),
        ({"user_kind": ["person"]}, "in_review"),
        ({"user_kind": ["organization"]}, "released"),
        ({"min_measures_in_force": 1}, "in_review"),
        ({"min_measures_in_force": 2}, "released"),
        ({"measure_within_days": 1}, "in_review"),
        ({"min_recent_blocks": 2}, "in_review"),
        ({"min_recent_blocks": 3}, "released"),
        ({"service": ["tuyan"], "function": ["writing"], "function_kind": ["dialogue"]}, "in_review"),
        ({"function": ["portrait"]}, "released"),
        ({"technology": ["text"], "has_file": False, "edits_biometrics": False}, "in_review"),
        ({"has_file": True}, "released"),
    ],
)
def test_what_is_known_of_item_and_user(world: World, when: dict[str, Any], state: str) -> None:
    measures.apply(user=world.wen, kind="warn", ground="测试", by=world.zhou)
    for _n in range(2):
        assert world.submit(BLOCKED).state == "blocked"
    in_force(world, FAILED, {"id": "R-20", "name": "按事实", "when": when, "then": "review"})
    item = world.submit(CLEAN)
    assert (item.state, item.rule) == (state, "R-20" if state == "in_review" else "-")


def test_a_measure_that_an_appeal_undid_and_an_item_that_was_restored_do_not_count(world: World) -> None:
    measure = measures.apply(user=world.wen, kind="warn", ground="测试", by=world.zhou)
    measures.lift(measure_id=measure.pk, reason="误判", by=world.zhou)
    measure.refresh_from_db()
    measure.overturned_at = measure.lifted_at
    measure.save(update_fields=["overturned_at"])
    asking = policy.Policy(5, [{"id": "a", "name": "a", "when": {"min_recent_blocks": 1}, "then": "review"}])
    item = world.take(CLEAN)
    (facts,) = policy_facts.gather([(item, [])], [asking]).values()
    assert (facts.measures_in_force, list(facts.recent_measures or ["?"]), facts.recent_blocks) == (0, ["?"], 0)
    assert facts.recent_measures == [] and facts.account_days is not None and facts.account_days < 1


def test_a_release_rule_by_the_source_of_the_entry_sets_its_findings_aside(world: World) -> None:
    entry = library.propose(value="内部演练词", category="fraud.loan", severity=3, source="演练", by=world.lin)
    library.approve(feature_id=entry.pk, by=world.xu)
    library._loaded = None
    drill = {"id": "R-30", "name": "演练", "when": {"feature_source": ["演练"]}, "then": "release"}
    in_force(world, FAILED, drill, {"id": "R-31", "name": "其余", "when": {"min_severity": 2}, "then": "review"})
    alone, beside = world.submit("这是内部演练词"), world.submit(f"这是内部演练词，{SCAM}")
    assert (alone.state, alone.rule) == ("released", "R-30")
    assert Finding.objects.filter(submission=alone, feature_id=entry.pk).exists()
    assert (beside.state, beside.rule) == ("in_review", "R-31")


def test_a_rule_names_queue_and_priority(world: World) -> None:
    urgent = {**STRICT, "then": "review", "queue": "senior", "priority": 77}
    in_force(world, FAILED, urgent)
    task = Task.objects.get(pk=world.submit(SCAM).pk)
    assert (task.queue, task.priority) == ("senior", 77)


def test_the_live_number_is_known_within_a_second(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(policy.time, "monotonic", lambda: now[0])
    intake.forget()
    assert (policy.live_number(), policy.shadow_number()) == (1, None)
    made = drafted(world, FAILED, STRICT)
    policies.go_live(number=made.pk, revision=2, reason=WHY, by=world.xu)
    assert policy.live_number() == 1
    now[0] += 1.001
    assert policy.live_number() == made.pk


def test_a_drafts_rules_are_never_kept_by_a_worker(world: World) -> None:
    made = drafted(world, FAILED, STRICT)
    assert policy.version(made.pk).rule("R-70")
    policies.edit(number=made.pk, revision=2, rules=[FAILED, MEDIA], by=world.chen)
    assert policy.version(made.pk).rule("R-70") is None


# What is refused before it is saved.
def rule(**changes: Any) -> dict[str, Any]:
    return {"id": "X", "name": "规则", "when": {"check": ["terms"]}, "then": "review", **changes}


@pytest.mark.parametrize(
    ("wrong", "field", "code"),
    [
        (rule(id="a b"), "rules.1.id", "id_wrong"),
        (rule(id="facts_missing"), "rules.1.id", "id_wrong"),
        (rule(id="R-01"), "rules.1.id", "duplicate"),
        (rule(name=" "), "rules.1.name", "required"),
        (rule(name="坏\x00"), "rules.1.name", "required"),
        (rule(name_en="x" * 121), "rules.1.name_en", "too_long"),
        (rule(then="burn"), "rules.1.then", "then_wrong"),
        (rule(colour="red"), "rules.1.colour", "unknown"),
        (rule(priority="9"), "rules.1.priority", "out_of_range"),
        (rule(priority=100), "rules.1.priority", "out_of_range"),
        (rule(priority=5, then="block"), "rules.1.priority", "only_review"),
        (rule(queue="nowhere"), "rules.1.queue", "queue_unknown"),
        (rule(queue="senior", then="block"), "rules.1.queue", "only_review"),
        (rule(when=[]), "rules.1.when", "type_wrong"),
        (rule(when={"colour": 1}), "rules.1.when.colour", "condition_unknown"),
        (rule(when={"min_severity": "x"}), "rules.1.when.min_severity", "type_wrong"),
        (rule(when={"min_score": 2}), "rules.1.when.min_score", "out_of_range"),
        (rule(when={"check": ["nobody"]}), "rules.1.when.check", "code_unknown"),
        (rule(when={"check": ["check_failed"]}), "rules.1.when.check", "code_unknown"),
        (rule(when={"category": ["fraud", "weather"]}), "rules.1.when.category", "code_unknown"),
        (rule(when={"service": ["nowhere"]}), "rules.1.when.service", "code_unknown"),
        (rule(when={"function": ["nothing"]}), "rules.1.when.function", "code_unknown"),
        (rule(when={"technology": "magic"}), "rules.1.when.technology", "code_unknown"),
        (rule(when={"side": "above"}), "rules.1.when.side", "code_unknown"),
        (rule(when={"check_failed": False}), "rules.1.when.check_failed", "pointless"),
        (rule(when={"check_failed": True, "min_severity": 1}), "rules.1.when.min_severity", "never"),
        (rule(when={"check_failed": True}, then="release"), "rules.1.then", "failed_never_released"),
        (rule(when={"check_failed": True}, then="block"), "rules.1.then", "failed_is_no_ground"),
        (rule(when={"service": ["tuyan"]}, then="block"), "rules.1.then", "block_needs_finding"),
        (rule(when={}, then="release"), "rules.1.then", "release_names_findings"),
        (rule(when={"service": ["tuyan"]}, then="release"), "rules.1.then", "release_names_findings"),
        (rule(when={"check": ["classifier"]}, then="release"), "rules.1.when.check", "classifier_never_releases"),
        (rule(when={"check": ["terms"], "min_findings": 2}, then="release"), "rules.1.when.min_findings",
         "never_released_by_number"),
        (rule(when={"check_failed": True, "service": ["tuyan"]}), "rules.1.when", "never_reached"),
    ],
)  # fmt: skip
def test_each_mistake_is_said_at_its_rule_and_field(world: World, wrong: dict[str, Any], field: str, code: str) -> None:
    found = {(e["field"], e["code"]) for e in errors([FAILED, wrong], vocabulary())}
    assert (field, code) in found
    made = drafted(world)
    with pytest.raises(Refusal) as refused:
        policies.edit(number=made.pk, revision=1, rules=[FAILED, wrong], by=world.chen)
    assert (field, code) in {(e["field"], e["code"]) for e in refused.value.errors}
    assert PolicyVersion.objects.get(pk=made.pk).revision == 1


@pytest.mark.parametrize(
    "rules",
    [[], [rule()], [{**FAILED, "then": "block"}], [{**FAILED, "when": {"check_failed": True, "service": ["tuyan"]}}]],
)
def test_a_rule_for_failed_checks_may_not_be_missing(world: World, rules: list[dict[str, Any]]) -> None:
    assert "failed_checks_missing" in {e["code"] for e in errors(rules, vocabulary())}


@pytest.mark.parametrize(
    ("earlier", "later", "reached"),
    [
        ({"when": {"check": ["terms", "links"]}}, {"when": {"check": ["links"]}, "then": "block"}, False),
        ({"when": {"check": ["links"]}}, {"when": {"check": ["links", "terms"]}, "then": "block"}, True),
        ({"when": {"category": ["fraud"]}}, {"when": {"category": ["fraud.loan"], "min_severity": 3}}, False),
        ({"when": {"category": ["fraud.loan"]}}, {"when": {"category": ["fraud"]}}, True),
        ({"when": {"min_severity": 2}}, {"when": {"min_severity": 3}, "then": "block"}, False),
        ({"when": {"min_severity": 3}}, {"when": {"min_severity": 2}}, True),
        ({"when": {"max_distance": 20}}, {"when": {"max_distance": 10}}, False),
        ({"when": {}}, {"when": {"check": ["terms"]}, "then": "block"}, False),
        ({"when": {}}, {"when": {"service": ["tuyan"]}}, True),
        ({"when": {"service": ["tuyan"]}}, {"when": {"service": ["tuyan"], "check": ["terms"]}}, False),
        ({"when": {"check": ["terms"], "min_findings": 2}}, {"when": {"check": ["terms"]}}, True),
        ({"when": {"check": ["terms"]}}, {"when": {"check": ["terms"], "min_findings": 2}}, False),
        ({"when": {"check": ["terms"]}}, {"when": {"check": ["terms"]}, "then": "release"}, False),
        ({"when": {"check": ["terms"]}, "then": "release"}, {"when": {"check": ["terms"], "side": "input"}}, False),
        ({"when": {"category": ["fraud"]}, "then": "release"}, {"when": {"category": ["fraud.loan"]}}, True),
        ({"when": {"category": ["fraud"]}, "then": "release"},
         {"when": {"category": ["fraud.loan"], "check": ["classifier"]}}, True),
        ({"when": {"category": ["fraud"]}, "then": "release"},
         {"when": {"category": ["fraud.loan"], "check": ["terms"]}}, False),
    ],
)  # fmt: skip
def test_a_rule_that_is_never_reached_is_an_error(
    world: World, earlier: dict[str, Any], later: dict[str, Any], reached: bool
) -> None:
    rules = [FAILED, rule(**{"id": "A", **earlier}), rule(**{"id": "B", **later})]
    found = errors(rules, vocabulary())
    assert [e["field"] for e in found] == ([] if reached else ["rules.2.when"])


def test_two_versions_are_compared_rule_by_rule_and_condition_by_condition() -> None:
    a = rule(id="A")
    b = rule(id="B", when={"check": ["terms"], "min_severity": 2})
    c, d = rule(id="C"), rule(id="D")
    changed = {**b, "when": {"check": ["terms"], "side": "output"}, "then": "block", "name": "新名"}
    rows = {row.id: row for row in policy_compare.compare([a, b, c], [c, a, d, changed])}
    assert [row.id for row in policy_compare.compare([a, b, c], [c, a, d, changed])] == ["C", "A", "D", "B"]
    assert {name: row.what for name, row in rows.items()} == {"A": "same", "B": "changed", "C": "same", "D": "added"}
    assert [name for name, row in rows.items() if row.moved] == ["C"]
    assert [(x.name, x.before, x.after) for x in rows["B"].conditions] == [
        ("min_severity", 2, None),
        ("side", None, "output"),
    ]
    assert {(x.name, x.before, x.after) for x in rows["B"].parts} == {
        ("name", "规则", "新名"),
        ("then", "review", "block"),
    }
    assert [row.what for row in policy_compare.compare([a, b], [a])] == ["same", "removed"]
    assert all(row.what == "same" and not row.moved for row in policy_compare.compare([a, b], [a, b]))
