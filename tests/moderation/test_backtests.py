"""Back-tests: what a draft, an entry or a model would have done to items of the past, in parts that survive anything."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from core import evidence, jobs, jsonbody
from core.errors import Conflict, Refusal
from core.ids import uuid7
from core.models import AuditEvent, Job, OutboxEvent, QuarantinedJob
from moderation import (
    backtest_figures,
    backtest_parts,
    backtest_trials,
    backtests,
    classifiers,
    decisions,
    intake,
    library,
    queue,
    screening,
)
from moderation.feature_from_file import propose_from_file
from moderation.models import (
    Backtest,
    BacktestPart,
    Decision,
    Feature,
    Finding,
    PolicyVersion,
    StatementOfReasons,
    Submission,
    Task,
)
from moderation.policy import Found
from tests.accounts import conftest as together
from tests.moderation import learning_rows, pictures
from tests.world import BLOCKED, CLEAN, SCAM, World
from tests.world import work as screen

at_once = together.at_once
STRICT = [
    {"id": "S-1", "name": "诈骗一律阻断", "then": "block", "when": {"category": ["fraud"]}},
    {"id": "S-2", "name": "其余交人", "then": "review", "when": {"min_severity": 4}},
]


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }


@pytest.fixture(autouse=True)
def no_memory():
    def forget():
        backtest_parts._trials.clear()
        classifiers.look_again()

    forget()
    yield
    forget()


@pytest.fixture
def past(world: World) -> dict[str, Submission]:
    """Items of every kind: released, blocked and held by the policy; blocked, released and not yet seen by a person."""
    items = {
        "clean": world.submit(CLEAN),
        "people_block": decided(world, SCAM, "block"),
        "people_release": decided(world, f"警惕！{SCAM}", "release"),
        "waiting": world.submit(f"{SCAM}！"),
        "policy_block": world.submit(f"前文{BLOCKED}后文"),
        "new_term": world.submit(f"{CLEAN}，内部渠道包过"),
    }
    return {name: Submission.objects.get(pk=item.pk) for name, item in items.items()}


def decided(world: World, text: str, outcome: str) -> Submission:
    item = world.submit(text)
    held = queue.next_task(by=world.lin)
    assert held.submission_id == item.pk
    given = {"category": "fraud.part_time", "reason": "涉嫌刷单诈骗"} if outcome == "block" else {}
    decisions.decide(submission_id=item.pk, token=held.token, outcome=outcome, by=world.lin, **given)
    return item


def draft(world: World, rules=STRICT) -> PolicyVersion:
    return PolicyVersion.objects.create(number=7, name="从严", rules=rules, made_by="xu", author=world.xu)


def start(world: World, target, *, by=None, scope=None, **given) -> Backtest:
    kind = {"PolicyVersion": "policy", "Feature": "feature", "Classifier": "model"}[type(target).__name__]
    return backtests.start(
        backtest_id=uuid7(), kind=kind, target=str(target.pk), scope=scope or {"last": 1000}, by=by or world.xu, **given
    )


def work() -> None:
    """What the worker of the queue does, until nothing is due."""
    while jobs.work(jobs.BULK, seconds=10.0):
        pass


def finished(world: World, target, **given) -> Backtest:
    run = start(world, target, **given)
    work()
    run.refresh_from_db()
    assert run.state == "done", (run.state, run.reason)
    return run


def proposal(world: World, value="内部渠道包过", category="fraud.part_time", **given) -> Feature:
    return library.propose(value=value, category=category, severity=3, by=world.lin, **given)


def everything() -> dict[str, list]:
    return {
        model.__name__: list(model.objects.order_by("pk").values())
        for model in (Submission, Finding, Task, Decision, StatementOfReasons, OutboxEvent)
    }


# Figures


def test_a_draft_policy_is_judged_against_what_was_decided(world, past):
    run = finished(world, draft(world))
    assert backtest_figures.matrix(run.figures, "standing") == {
        "people_release": {"release": 0, "review": 0, "block": 1},
        "people_block": {"release": 0, "review": 0, "block": 1},
        "policy_release": {"release": 2, "review": 0, "block": 0},
        "waiting": {"release": 0, "review": 0, "block": 1},
        "policy_block": {"release": 0, "review": 1, "block": 0},
    }
    assert backtest_figures.matrix(run.figures, "then")["review"] == {"release": 0, "review": 0, "block": 3}
    blocked = backtest_figures.changes(run.figures)["blocked"]
    assert dict(blocked) == {"items": 3, "nobody": 1, "right": 1, "wrong": 1}
    assert dict(backtest_figures.against_people(run.figures)) == {"items": 2, "right": 1, "wrong": 1}
    assert run.figures["rules"] == {"-": 2, "S-1": 3, "S-2": 1}
    assert run.figures["categories"]["fraud.part_time"]["blocked"] == 3
    assert run.figures["looked"] == {"stored": 6}


def test_the_effect_of_the_target_alone_is_told_apart_from_what_has_changed_since(world, past):
    """The library found more since: that is no effect of the draft."""
    library.approve(feature_id=proposal(world).pk, by=world.xu)
    library._loaded = None
    run = finished(world, draft(world, PolicyVersion.objects.get(state="live").rules), look_again=True)
    assert backtest_figures.matrix(run.figures, "then")["release"] == {"release": 1, "review": 1, "block": 0}
    effect = backtest_figures.matrix(run.figures, "effect")
    assert all(effect[row][column] == 0 for row in effect for column in effect if row != column)
    assert run.figures["looked"] == {"again": 6}
    assert run.figures["library"] == {str(library.current().version): 6}


def test_stored_findings_alone_don_t_know_of_a_newer_library(world, past):
    library.approve(feature_id=proposal(world).pk, by=world.xu)
    run = finished(world, draft(world, PolicyVersion.objects.get(state="live").rules))
    assert backtest_figures.matrix(run.figures, "then")["release"]["review"] == 0


def test_an_entry_shows_its_hits_and_its_misses(world, past):
    run = finished(world, proposal(world))
    hits = backtest_figures.hits(run.figures)
    assert (hits["policy_release"], hits["items"], hits["people_block"], hits["missed"]) == (1, 1, 0, 1)
    assert hits["share"] == pytest.approx(1 / 6) and hits["precision"] is None and hits["recall"] == 0.0
    assert backtest_figures.matrix(run.figures, "effect")["release"] == {"release": 1, "review": 1, "block": 0}
    cells = {(one["cell"], one["id"]) for one in run.figures["samples"]}
    assert ("hit:policy_release", str(past["new_term"].pk)) in cells
    assert ("missed", str(past["people_block"].pk)) in cells


def test_a_near_duplicate_text_a_pattern_and_a_link_are_tried_before_they_are_approved(world, past):
    advert = "本店国庆期间全场清仓大甩卖，进店就送精美礼品一份，先到先得送完为止，欢迎新老顾客光临"
    like, linked = world.submit(f"{advert}哦！"), world.submit("详情见 https://shop.example.cn/gift?id=7")
    for kind, value, item in (
        ("text", advert, like), ("pattern", "清仓.{1,4}卖", like), ("link", "shop.example.cn", linked),
    ):  # fmt: skip
        run = finished(world, proposal(world, value, kind=kind))
        hits = [one["id"] for one in run.figures["samples"] if one["cell"].startswith("hit:")]
        assert hits == [str(item.pk)], kind


def test_an_entry_in_force_shows_what_it_does(world, past):
    run = finished(world, Feature.objects.get(value="刷单返佣"))
    hits = backtest_figures.hits(run.figures)
    assert (hits["people_block"], hits["people_release"], hits["waiting"]) == (1, 1, 1)
    assert (hits["precision"], hits["recall"]) == (0.5, 1.0)
    assert backtest_figures.matrix(run.figures, "effect")["release"]["review"] == 3


def test_an_entry_in_roll_out_is_tried_on_every_item(world, past):
    feature = proposal(world)
    Feature.objects.filter(pk=feature.pk).update(rollout=1)
    assert backtest_figures.hits(finished(world, feature).figures)["items"] == 1


def test_an_allow_list_entry_hits_where_it_cancels(world, past):
    feature = proposal(world, "加入我们刷单返佣", note="单位名称")
    Feature.objects.filter(pk=feature.pk).update(allow=True)
    run = finished(world, feature)
    assert backtest_figures.hits(run.figures)["items"] == 3
    assert backtest_figures.matrix(run.figures, "effect")["review"]["release"] == 3


def test_a_revision_is_tried_in_place_of_what_it_replaces(world, past):
    old = Feature.objects.get(value="刷单返佣")
    new = proposal(world, "做一单返一单")
    Feature.objects.filter(pk=new.pk).update(replaces=old, severity=4, version=2)
    run = finished(world, new)
    effect = backtest_figures.matrix(run.figures, "effect")
    assert effect["review"] == {"release": 0, "review": 0, "block": 3}


FRAUD_IN_NEW_WORDS = "您的手机号涉嫌洗钱，市公安局要求马上汇款到核查账户，请保密"


def a_model(world: World, tmp_path):
    """A small model that learned fraud, adverts and ordinary sentences from invented lines."""
    path = learning_rows.write_rows(tmp_path / "lines.jsonl", learning_rows.FRAUDS + learning_rows.ORDINARY)
    return classifiers.train_from_file(name="desk", paths=[path], by=world.xu)[0]


def test_a_model_shows_its_hits_its_misses_and_what_it_changes(world, past, tmp_path):
    model = a_model(world, tmp_path)
    hit = world.submit(FRAUD_IN_NEW_WORDS)
    without = screening.look(Submission.objects.select_related("content", "function", "service").get(pk=hit.pk))
    run = finished(world, model)
    found = {one["id"]: one for one in run.figures["samples"] if one["cell"].startswith("hit:")}
    assert str(hit.pk) in found and str(past["clean"].pk) not in found
    effect = backtest_figures.matrix(run.figures, "effect")
    assert effect[without.verdict.disposition]["review"] >= 1
    assert run.figures["looked"] == {"again": 7} and run.figures["models"] == {"": 7}
    assert not any(one.check == "classifier" for one in without.findings), "it acts nowhere but in the trial"


def test_an_active_model_is_tried_against_a_day_without_it(world, past, tmp_path):
    model = a_model(world, tmp_path)
    classifiers.activate(classifier_id=model.pk, by=world.chen)
    classifiers.look_again()
    world.submit(FRAUD_IN_NEW_WORDS)
    run = finished(world, model)
    assert backtest_figures.hits(run.figures)["items"] == 1
    assert run.figures["models"] == {"": 7}
    classifiers.look_again()


@pytest.mark.parametrize("kind", ["image", "sha256"])
def test_an_entry_of_a_file_is_tried_on_the_files_of_the_past(world, past, tmp_path, kind):
    shown = tmp_path / "shown.png"
    shown.write_bytes(pictures.png(pictures.drawn(1, 640, 480)))
    copy = pictures.jpeg(pictures.drawn(1, 640, 480), 60) if kind == "image" else shown.read_bytes()
    for content in (copy, pictures.png(pictures.drawn(2, 640, 480))):
        stored = evidence.store([content]).pk
        line = intake.read_line(jsonbody.encode(world.body(CLEAN)), files={"output_file": stored})
        taken = intake.take(service=world.service, lines=[line], by="client:test")[0]
        if content is copy:
            expected = taken.id
    screen()
    feature = propose_from_file(kind=kind, path=shown, category="fraud.part_time", severity=4, by=world.lin)
    run = finished(world, feature)
    assert [one["id"] for one in run.figures["samples"] if one["cell"].startswith("hit:")] == [str(expected)]
    assert backtest_figures.matrix(run.figures, "effect")["review"]["block"] == 1


def test_texts_read_out_of_files_are_looked_at_again_without_opening_the_file(world, past, monkeypatch):
    from moderation.models import ExtractedText

    ExtractedText.objects.create(
        submission=past["clean"], side="output", field="ocr", text="扫码进群内部渠道包过", check_name="ocr"
    )
    looked = []
    from moderation import checks

    for check in checks.CHECKS.values():
        if check.modality == "file":
            monkeypatch.setattr(check, "look", lambda *_: looked.append(1) or [])
    hits = backtest_figures.hits(finished(world, proposal(world)).figures)
    assert (hits["items"], looked) == (2, [])


def test_what_a_file_check_found_stands(world, past):
    Finding.objects.create(submission=past["clean"], side="output", check_name="media", severity=0)
    rules = [{"id": "M", "name": "媒体", "then": "review", "when": {"check": ["media"]}}]
    run = finished(world, draft(world, rules), look_again=True)
    assert backtest_figures.matrix(run.figures, "then")["release"]["review"] == 1


def test_nothing_is_written_to_items_findings_tasks_or_news(world, past):
    before = everything()
    finished(world, draft(world), look_again=True)
    finished(world, proposal(world))
    assert everything() == before


# Scope


def test_the_last_items_are_the_newest(world, past):
    run = finished(world, draft(world), scope={"last": 2})
    assert run.total == run.figures["items"] == 2
    assert run.figures["cube"] == {"block/-/review": 1, "release/-/release": 1}


def test_a_period_begins_with_its_first_day_and_ends_before_its_last(world, past):
    today = timezone.localdate()
    days = {"clean": -2, "people_block": -1, "people_release": -1, "waiting": 0}
    for name, shift in days.items():
        moment = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=shift)
        pk = uuid7_at(moment, past[name].pk)
        copy_to(past[name], pk, moment)
    run = start(world, draft(world), scope={"from": today - timedelta(days=2), "to": today})
    assert (run.total, run.scope) == (3, {"from": str(today - timedelta(days=2)), "to": str(today)})


def uuid7_at(moment, like):
    from uuid import UUID

    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (like.int & ((1 << 80) - 1)))


def copy_to(item: Submission, pk, moment) -> None:
    """An item of another day; rows of the past can't be made by the real commands."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO moderation_submission SELECT (jsonb_populate_record(s, jsonb_build_object("
            "'id', %s::text, 'created_at', %s, 'external_id', %s::text))).* FROM moderation_submission AS s WHERE id = %s",
            [pk, moment.isoformat(), f"copy-{pk}", item.pk],
        )
        cursor.execute(
            "INSERT INTO moderation_content SELECT (jsonb_populate_record(c, jsonb_build_object("
            "'submission_id', %s::text))).* FROM moderation_content AS c WHERE submission_id = %s",
            [pk, item.pk],
        )


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ({"last": 0}, "range"),
        ({"last": 200_001}, "range"),
        ({"last": "9"}, "range"),
        ({}, "required"),
        ({"from": date(2026, 1, 2), "to": date(2026, 1, 2)}, "order"),
        ({"from": date(2020, 1, 1), "to": date(2020, 1, 2)}, "empty"),
        ({"from": date(2999, 1, 1), "to": date(2999, 1, 2)}, "empty"),
    ],
)
def test_a_scope_that_can_not_be_is_refused_and_leaves_nothing(world, past, scope, code):
    with pytest.raises(Refusal) as refused:
        backtests.start(backtest_id=uuid7(), kind="policy", target="1", scope=scope, by=world.xu)
    assert refused.value.errors[0]["code"] == code
    assert not Backtest.objects.exists() and not Job.objects.filter(kind=backtests.JOB).exists()


def test_a_period_with_more_than_may_be_is_refused(world, past, monkeypatch):
    monkeypatch.setenv("MINGJIAN_BACKTEST_MOST", "5")
    today = timezone.localdate()
    with pytest.raises(Refusal) as refused:
        start(world, draft(world), scope={"from": today, "to": today + timedelta(days=1)})
    assert refused.value.errors[0]["code"] == "too_many" and not Backtest.objects.exists()


@pytest.mark.parametrize(("kind", "target"), [("policy", "99"), ("feature", "x"), ("nothing", "1"), ("model", "1")])
def test_an_unknown_target_is_refused(world, past, kind, target):
    with pytest.raises(Refusal) as refused:
        backtests.start(backtest_id=uuid7(), kind=kind, target=target, scope={"last": 5}, by=world.xu)
    assert refused.value.errors[0]["field"] == "target"


def test_a_retired_entry_is_not_tried(world, past):
    feature = Feature.objects.get(value="刷单返佣")
    library.retire(feature_id=feature.pk, reason="误伤", by=world.xu)
    with pytest.raises(Refusal):
        start(world, feature)


def test_what_is_not_screened_yet_or_has_lost_its_content_is_counted_apart(world, past):
    from moderation.models import Content

    world.take("还在审核")
    Content.objects.filter(pk=past["clean"].pk).delete()
    run = finished(world, draft(world))
    assert run.figures["skipped"] == {"not_screened": 1, "without_content": 1}
    assert run.figures["items"] == 5 and run.total == 7


# Parts: written once, done again, cut, aborted, resumed


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(backtests, "PART", 2)


def do_parts(number: int) -> None:
    for _n in range(number):
        [job] = jobs.claim(backtest_parts.KIND)
        assert backtest_parts.run([job]) == {}


def test_parts_add_up_to_what_one_part_says(world, past, monkeypatch):
    target = draft(world)
    whole = finished(world, target)
    monkeypatch.setattr(backtests, "PART", 2)
    cut = finished(world, target)
    assert cut.parts.count() == 3 and whole.parts.count() == 1
    timeless = [{k: v for k, v in run.figures.items() if k != "seconds"} for run in (whole, cut)]
    assert timeless[0] == timeless[1]


def test_a_part_that_was_killed_half_way_is_done_again(world, past, small_parts):
    run = start(world, draft(world))
    jobs.claim(backtest_parts.KIND)  # a worker that dies with it
    Job.objects.filter(kind=backtests.JOB).update(due_at=timezone.now() - timedelta(seconds=1))
    work()
    run.refresh_from_db()
    assert (run.state, run.figures["items"]) == ("done", 6)


def test_a_part_that_has_two_jobs_counts_once(world, past, small_parts):
    run = start(world, draft(world))
    for job in list(Job.objects.filter(kind=backtests.JOB)):
        Job.objects.create(kind=job.kind, subject=job.subject)
    first, second = jobs.claim(backtest_parts.KIND)[0], None
    part = BacktestPart.objects.get(pk=int(first.subject))
    second = next(j for j in iter(lambda: jobs.claim(backtest_parts.KIND)[0], None) if j.subject == first.subject)
    figures = backtest_parts._look(second, part)
    backtest_parts.run([first])
    backtest_parts._write(second, part, *figures)
    Job.objects.filter(kind=backtests.JOB).update(due_at=timezone.now() - timedelta(seconds=1), attempts=0)
    work()
    run.refresh_from_db()
    assert (run.state, run.figures["items"]) == ("done", 6)


def test_a_worker_that_slept_past_its_lease_writes_nothing(world, past, small_parts):
    start(world, draft(world))
    [job] = jobs.claim(backtest_parts.KIND)
    part = BacktestPart.objects.get(pk=int(job.subject))
    looked = backtest_parts._look(job, part)
    Job.objects.filter(pk=job.id).update(lease_token=uuid7())
    assert backtest_parts._look(job, part) is None
    backtest_parts._write(job, part, *looked)
    part.refresh_from_db()
    assert part.done_at is None and part.figures is None


def test_a_part_that_takes_long_is_cut_and_counts_every_item_once(world, past, monkeypatch):
    target = draft(world)
    whole = finished(world, target)
    monkeypatch.setattr(backtest_parts, "BUDGET", -1.0)
    monkeypatch.setattr(backtest_parts, "BATCH", 2)
    run = finished(world, target)
    assert run.parts.count() == 3 and run.figures["items"] == run.total == 6
    assert run.figures["cube"] == whole.figures["cube"]
    bounds = sorted(run.parts.values_list("first_id", "last_id"))
    assert all(one[1] < following[0] for one, following in zip(bounds, bounds[1:], strict=False))


def figures_of_parts(run: Backtest) -> dict:
    _done, samples, figures = backtests.collected(run)
    return {**figures, "samples": samples}


def test_aborting_leaves_the_figures_of_the_parts_that_are_done(world, past, small_parts):
    run = start(world, draft(world))
    do_parts(1)
    [in_work] = jobs.claim(backtest_parts.KIND)
    part = BacktestPart.objects.get(pk=int(in_work.subject))
    looked = backtest_parts._look(in_work, part)
    run = backtests.abort(backtest_id=run.pk, by=world.chen)
    assert (run.state, run.figures["items"], run.report_id) == ("aborted", 2, None) and run.ended_at
    assert run.figures == figures_of_parts(run)
    backtest_parts._write(in_work, part, *looked)  # comes too late
    work()
    run.refresh_from_db()
    assert run.figures == figures_of_parts(run) and run.figures["items"] == 2
    assert not Job.objects.filter(kind=backtests.JOB).exists()
    event = AuditEvent.objects.get(subject=f"backtest:{run.pk}", action="backtest.abort")
    assert (event.actor, event.data["parts_done"], event.data["items"]) == ("staff:chen", 1, 2)


def test_going_on_does_only_what_is_missing(world, past, small_parts, monkeypatch):
    target = draft(world)
    whole = finished(world, target)
    run = start(world, target)
    do_parts(1)
    backtests.abort(backtest_id=run.pk, by=world.xu)
    backtests.resume(backtest_id=run.pk, by=world.chen)
    seen = []
    real = backtest_trials.Trial.outcomes
    monkeypatch.setattr(backtest_trials.Trial, "outcomes", lambda t, items: seen.extend(items) or real(t, items))
    work()
    run.refresh_from_db()
    assert (run.state, len(seen), run.figures["cube"]) == ("done", 4, whole.figures["cube"])
    actions = [event.action for event in AuditEvent.objects.filter(subject=f"backtest:{run.pk}").order_by("id")]
    assert actions == ["backtest.start", "backtest.abort", "backtest.resume", "backtest.finish"]


def test_one_that_has_ended_is_neither_aborted_nor_resumed(world, past):
    run = finished(world, draft(world))
    for command in (backtests.abort, backtests.resume):
        with pytest.raises(Conflict):
            command(backtest_id=run.pk, by=world.xu)
    run.refresh_from_db()
    assert run.state == "done" and run.report_id


def spend_tries(run: Backtest) -> None:
    for _try in range(4):
        jobs.work(jobs.BULK, seconds=5.0)
        Job.objects.filter(kind=backtests.JOB).update(due_at=timezone.now() - timedelta(seconds=1))
    run.refresh_from_db()


def test_a_part_that_fails_three_times_stops_the_run_which_can_go_on(world, past, small_parts, monkeypatch):
    run = start(world, draft(world))
    real = backtest_trials.Trial.outcomes

    def outcomes(self, items):
        if any(item.pk == past["waiting"].pk for item in items):
            raise MemoryError
        return real(self, items)

    with monkeypatch.context() as patched:
        patched.setattr(backtest_trials.Trial, "outcomes", outcomes)
        spend_tries(run)
    assert (run.state, run.reason) == ("failed", "part_failed") and run.ended_at
    assert QuarantinedJob.objects.get().attempts == 3
    assert run.figures["items"] == 4
    backtests.resume(backtest_id=run.pk, by=world.xu)
    assert not QuarantinedJob.objects.exists()
    work()
    run.refresh_from_db()
    assert (run.state, run.reason, run.figures["items"]) == ("done", "", 6)


def test_it_runs_with_the_rights_of_the_person_as_they_are_now(world, past, small_parts):
    run = start(world, draft(world))
    do_parts(1)
    world.xu.role = "auditor"
    world.xu.save(update_fields=["role"])
    work()
    run.refresh_from_db()
    assert (run.state, run.reason, run.figures["items"]) == ("failed", "grant_lost", 2)
    backtests.resume(backtest_id=run.pk, by=world.chen)
    work()
    run.refresh_from_db()
    assert run.state == "done"


def test_while_items_wait_for_screening_parts_wait_too(world, past):
    run = start(world, draft(world))
    item = world.take(CLEAN)
    Job.objects.filter(subject=str(item.pk)).update(due_at=timezone.now() - timedelta(seconds=30))
    jobs.work(jobs.BULK, seconds=1.0)
    job = Job.objects.get(kind=backtests.JOB)
    assert job.attempts == 0 and job.due_at > timezone.now()
    jobs.work("work")
    Job.objects.filter(pk=job.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    work()
    run.refresh_from_db()
    assert run.state == "done"


def test_the_sweep_in_the_screening_worker_does_no_part(world, past):
    from core import tasks

    run = start(world, draft(world))
    tasks.sweep()
    run.refresh_from_db()
    assert run.state == "running" and not run.parts.exclude(done_at=None).exists()


# Several at once


def test_the_same_form_twice_is_one_run(world, past):
    target, pk = draft(world), uuid7()
    for _press in range(2):
        run = backtests.start(backtest_id=pk, kind="policy", target=str(target.pk), scope={"last": 5}, by=world.xu)
    assert Backtest.objects.get() == run and Job.objects.filter(kind=backtests.JOB).count() == 1


def test_the_same_run_by_two_people_is_refused_with_the_first(world, past):
    target = draft(world)
    run = start(world, target)
    with pytest.raises(Conflict) as refused:
        start(world, target, by=world.chen)
    assert (refused.value.code, refused.value.extra["existing_id"]) == ("already_running", str(run.pk))


def test_a_third_run_is_refused_until_one_has_ended(world, past):
    target = draft(world)
    runs = [start(world, target, scope={"last": n}) for n in (2, 3)]
    with pytest.raises(Conflict) as refused:
        start(world, target, scope={"last": 4})
    assert refused.value.code == "backtests_busy"
    backtests.abort(backtest_id=runs[0].pk, by=world.xu)
    start(world, target, scope={"last": 4})
    with pytest.raises(Conflict):
        backtests.resume(backtest_id=runs[0].pk, by=world.xu)


def test_two_people_who_press_at_once_get_one_run_and_a_sentence(open_world, at_once):
    world = open_world
    world.submit(CLEAN)
    target = draft(world)
    answers = at_once(*[lambda by=by: start(world, target, by=by) for by in (world.xu, world.chen)])
    assert sorted(type(answer).__name__ for answer in answers) == ["Backtest", "Conflict"]
    assert Backtest.objects.count() == 1


def test_two_workers_share_the_parts_and_one_of_them_ends_the_run(open_world, at_once, monkeypatch):
    world = open_world
    monkeypatch.setattr(backtests, "PART", 1)
    for n in range(8):
        world.submit(f"{CLEAN}{n}")
    run = start(world, draft(world), look_again=True)
    done = at_once(*[lambda: jobs.work(jobs.BULK, seconds=20.0)] * 2)
    assert not any(isinstance(d, Exception) for d in done), done
    run.refresh_from_db()
    assert (run.state, run.figures["items"]) == ("done", 8)
    assert AuditEvent.objects.filter(action="backtest.finish").count() == 1


# The record


def test_a_draft_that_is_edited_meanwhile_is_tried_as_it_was(world, past, small_parts):
    target = draft(world)
    run = start(world, target)
    assert not backtests.changed_since(run)
    do_parts(1)
    target.rules, target.revision = [], 2
    target.save(update_fields=["rules", "revision"])
    backtest_parts._trials.clear()
    work()
    run.refresh_from_db()
    assert run.figures["rules"] == {"-": 2, "S-1": 3, "S-2": 1}
    assert run.target_revision == 1 and backtests.changed_since(run)


def test_the_report_is_kept_as_evidence_and_names_no_text(world, past):
    run = finished(world, draft(world))
    stored = b"".join(evidence.stream(run.report_id))
    assert hashlib.sha256(stored).hexdigest() == run.report_id
    said = json.loads(stored)
    assert {**said["figures"], "samples": said["samples"]} == run.figures
    assert said["used"]["target"]["rules"] == STRICT
    assert (said["target"], said["target_revision"], said["started_by"]) == ("7", 1, "staff:xu")
    assert str(past["waiting"].pk) in {one["id"] for one in said["samples"]}
    assert "刷单返佣" not in json.dumps(said["samples"], ensure_ascii=False)
    event = AuditEvent.objects.get(action="backtest.finish")
    assert event.data["report"] == run.report_id


def test_progress_counts_parts_items_and_time(world, past, small_parts):
    run = start(world, draft(world))
    assert backtests.progress(run)["left"] is None
    do_parts(2)
    at = backtests.progress(run)
    assert (at["parts_done"], at["parts"], at["items_done"], at["items"]) == (2, 3, 4, 6)
    assert at["rate"] > 0 and at["left"] == pytest.approx(2 / at["rate"])
    assert at["worker_silent"]
    from core import health

    health.beat(jobs.BULK)
    assert not backtests.progress(run)["worker_silent"]


def test_samples_are_few_and_the_same_in_whatever_order(world):
    rows = [{"cell": "missed", "id": str(uuid7())} for _n in range(100)]
    forwards = backtest_figures.merge_samples([rows[:30], rows[30:]])
    assert len(forwards) == backtest_figures.SAMPLES
    assert forwards == backtest_figures.merge_samples([rows[70:], rows[:70][::-1]])
    assert forwards != rows[: backtest_figures.SAMPLES]


def test_figures_add_up_in_depth():
    one = {"items": 2, "cube": {"a": 1, "b": 1}, "categories": {"x": {"held": 1}}}
    other = {"items": 1, "cube": {"b": 1}, "categories": {"x": {"held": 2}, "y": {"held": 1}}}
    assert backtest_figures.merge([one, other]) == {
        "items": 3, "cube": {"a": 1, "b": 2}, "categories": {"x": {"held": 3}, "y": {"held": 1}},
    }  # fmt: skip
    assert one == {"items": 2, "cube": {"a": 1, "b": 1}, "categories": {"x": {"held": 1}}}


def test_a_trial_looks_as_screening_looks(world):
    """The same text, the same findings: by the same code."""
    item = world.submit(f"{SCAM}，内部渠道包过")
    past = backtest_trials.remember([item])
    again = backtest_trials.look_again([item], past, library.current(), ())[item.pk]
    assert again == past.findings[item.pk] == screening.look(Submission.objects.get(pk=item.pk)).findings
    assert all(isinstance(one, Found) for one in again)
