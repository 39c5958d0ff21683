"""Cases (DS-11a): the whole road, what is refused on it, and what is written down."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import audit, calendar
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.management.commands import statediagram
from core.models import OutboxEvent
from rumors import cases, demo, refutations
from rumors.models import AuthorityReport, CaseEvent, CaseEvidence, CaseNumber, Refutation, RumorCase
from rumors.states import RUMOR_CASE
from tests.rumors import acts


def events(case: RumorCase) -> list[str]:
    return list(CaseEvent.objects.filter(case=case).order_by("id").values_list("event", flat=True))


def refused(code: str, command, **given) -> Refusal:
    with pytest.raises(Refusal) as caught:
        command(**given)
    assert caught.value.code == code, caught.value.code
    return caught.value


def test_a_case_goes_the_whole_road_and_every_step_is_written_down(world):
    case = acts.opened(world)
    year = timezone.now().astimezone(calendar.SHANGHAI).year
    assert (case.number, case.state) == (f"R-{year}-0001", "open")
    cases.add_evidence(case_id=case.pk, text="供水单位否认", by=world.chen)
    assert acts.fresh(case).state == "verifying"
    cases.conclude(case_id=case.pk, verdict="false", summary="文号不存在", by=world.chen)
    assert acts.fresh(case).state == "confirmed_false"
    draft = refutations.draft_refutation(case_id=case.pk, title="不实", text="没有停水计划", by=world.chen)
    assert refutations.standing(case) is None
    refutations.publish_refutation(refutation_id=draft.pk, revision=1, by=world.chen)
    assert acts.fresh(case).state == "refuted"
    acts.report(case, world)
    assert acts.fresh(case).state == "refuted"
    acts.report(case, world, "competent_department")
    assert acts.fresh(case).state == "reported"
    closed = cases.close_case(case_id=case.pk, by=world.chen)
    assert (closed.state, closed.closed_by) == ("closed", world.chen)
    assert timezone.now() - closed.closed_at < timedelta(minutes=1)
    assert events(case) == [
        "opened", "evidence_added", "concluded", "refutation_drafted", "published", "reported", "reported", "closed",
    ]  # fmt: skip
    lines = audit.of(f"rumor_case:{case.pk}")
    assert [line.action.removeprefix("rumor_case.") for line in lines] == [
        "opened", "evidence", "verify", "confirm", "refutation_drafted", "refutation_published", "refute",
        "report_recorded", "report_recorded", "report", "close",
    ]  # fmt: skip
    assert lines[0].actor == "staff:lin" and {line.actor for line in lines[1:]} == {"staff:chen"}
    assert not any(acts.CLAIM in f"{line.reason}{line.data}" for line in lines)
    assert [row.state for row in case.history.order_by("history_id")][-1] == "closed"


STAGES = {
    "opened": (acts.opened, {"records", "verdict", "refutation", "report_cac", "report_competent_department"}),
    "verifying": (acts.verifying, {"verdict", "refutation", "report_cac", "report_competent_department"}),
    "concluded": (acts.concluded, {"refutation", "report_cac", "report_competent_department"}),
    "refuted": (acts.refuted, {"report_cac", "report_competent_department"}),
}


@pytest.mark.parametrize("stage", STAGES)
def test_closing_is_refused_by_the_name_of_each_missing_part(world, stage):
    reach, missing = STAGES[stage]
    case = reach(world)
    before = acts.fresh(case).state
    refusal = refused("parts_missing", cases.close_case, case_id=case.pk, by=world.chen)
    assert {error["field"] for error in refusal.errors} == missing
    assert all(str(error["detail"]) for error in refusal.errors)
    assert acts.fresh(case).state == before and acts.fresh(case).closed_at is None


@pytest.mark.parametrize("told", ["cac", "competent_department"])
def test_one_report_is_not_both(world, told):
    case = acts.refuted(world)
    acts.report(case, world, told)
    acts.report(case, world, told, reference="第二份")
    refusal = refused("parts_missing", cases.close_case, case_id=case.pk, by=world.chen)
    other = {"cac": "report_competent_department", "competent_department": "report_cac"}[told]
    assert [error["field"] for error in refusal.errors] == [other]


def test_a_false_claim_without_refutation_closes_with_a_reason_and_both_reports(world):
    case = acts.concluded(world)
    refused("fields_invalid", refutations.waive_refutation, case_id=case.pk, reason="  \n", by=world.chen)
    refutations.waive_refutation(case_id=case.pk, reason="从未发布，无人看到", by=world.chen)
    refused("parts_missing", cases.close_case, case_id=case.pk, by=world.chen)
    acts.report(case, world)
    acts.report(case, world, "competent_department")
    assert cases.close_case(case_id=case.pk, by=world.chen).state == "closed"
    assert refutations.standing(case) is None


def test_reports_may_come_before_the_refutation(world):
    draft = acts.drafted(world)
    acts.report(draft.case, world)
    acts.report(draft.case, world, "competent_department")
    assert acts.fresh(draft.case).state == "confirmed_false"
    refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    assert acts.fresh(draft.case).state == "reported"


@pytest.mark.parametrize("verdict", ["true", "unverifiable"])
def test_a_claim_that_is_not_found_false_closes_with_a_reason_and_owes_no_report(world, verdict):
    case = acts.concluded(world, verdict)
    assert case.state == "not_false"
    refused("state_forbids", refutations.draft_refutation, case_id=case.pk, title="x", text="y", by=world.chen)
    refusal = refused("parts_missing", cases.close_case, case_id=case.pk, by=world.chen)
    assert [error["field"] for error in refusal.errors] == ["refutation"]
    refutations.waive_refutation(case_id=case.pk, reason="属实", by=world.chen)
    assert cases.close_case(case_id=case.pk, by=world.chen).state == "closed"


def test_a_verdict_needs_evidence_and_a_summary(world):
    case = acts.opened(world)
    refused("evidence_missing", cases.conclude, case_id=case.pk, verdict="false", summary="就是假的", by=world.chen)
    cases.add_evidence(case_id=case.pk, text="否认", by=world.chen)
    refused("fields_invalid", cases.conclude, case_id=case.pk, verdict="false", summary="", by=world.chen)
    refused("fields_invalid", cases.conclude, case_id=case.pk, verdict="maybe", summary="x", by=world.chen)


def test_what_is_pressed_twice_happens_once(world):
    pk, piece, sent = uuid7(), uuid7(), uuid7()
    case = acts.opened(world, case_id=pk)
    assert acts.opened(world, case_id=pk) == case
    second = acts.opened(world)
    assert int(second.number[-4:]) == int(case.number[-4:]) + 1
    for _press in (1, 2):
        cases.add_evidence(case_id=pk, text="否认", evidence_id=piece, by=world.chen)
        cases.conclude(case_id=pk, verdict="false", summary="假", by=world.chen)
        refutations.waive_refutation(case_id=pk, reason="无人看到", by=world.chen)
        acts.report(case, world, report_id=sent)
    acts.report(case, world, "competent_department")
    cases.close_case(case_id=pk, by=world.chen)
    cases.close_case(case_id=pk, by=world.chen)
    assert events(case) == ["opened", "evidence_added", "concluded", "waived", "reported", "reported", "closed"]
    assert (CaseEvidence.objects.count(), AuthorityReport.objects.count()) == (1, 2)
    with pytest.raises(Conflict):
        acts.opened(world, case_id=pk, by=world.bai)


def test_reopening_asks_for_verdict_refutation_and_reports_anew_and_keeps_what_was_published(world):
    case = acts.closed(world)
    refused("fields_invalid", cases.reopen_case, case_id=case.pk, reason="", by=world.chen)
    case = cases.reopen_case(case_id=case.pk, reason="供水公司改口", by=world.chen)
    assert (case.state, case.round, case.verdict, case.closed_at) == ("verifying", 2, "", None)
    missing = {"verdict", "refutation", "report_cac", "report_competent_department"}
    assert set(cases.missing_parts(case)) == missing
    cases.conclude(case_id=case.pk, verdict="true", summary="确有停水", by=world.chen)
    refused("correction_needed", refutations.waive_refutation, case_id=case.pk, reason="属实", by=world.chen)
    acts.correct(case, world)
    case = acts.fresh(case)
    assert case.state == "refuted" and refutations.standing(case).verdict == "true"
    # The authorities were told that it is false: they must hear that it isn't.
    assert set(cases.missing_parts(case)) == {"report_cac", "report_competent_department"}
    acts.report(case, world)
    acts.report(case, world, "competent_department")
    assert cases.close_case(case_id=case.pk, by=world.chen).state == "closed"


def test_a_closed_case_takes_no_more_evidence_items_or_reports(world):
    case, item = acts.closed(world), world.submit()
    refused("state_forbids", cases.add_evidence, case_id=case.pk, text="x", by=world.chen)
    refused("state_forbids", cases.involve_submission, case_id=case.pk, submission=item.external_id, by=world.chen)
    refused("state_forbids", acts.report, case=case, world=world)


# From items


def test_an_item_opens_one_case_however_often_it_is_asked(world):
    item = world.submit("青禾市停水三天，请储水")
    case = cases.open_case_from_submission(submission_id=item.pk, by=world.lin)
    assert case.claim == "青禾市停水三天，请储水"
    assert cases.open_case_from_submission(submission_id=item.pk, by=world.bai) == case
    assert [link.submission for link in case.links.all()] == [item]
    assert [line.action for line in audit.of(f"submission:{item.pk}")][-1] == "submission.rumor_case"
    with pytest.raises(NotFound):
        cases.open_case_from_submission(submission_id=uuid7(), by=world.lin)


def test_items_are_linked_by_either_id_once_and_an_ambiguous_one_is_refused(world):
    case = acts.opened(world)
    first, second = world.submit(), world.submit()
    for said in (first.external_id, str(second.pk), f" {first.external_id} "):
        cases.involve_submission(case_id=case.pk, submission=said, by=world.chen)
    assert case.links.count() == 2
    for said in ("nobody", "", "a\x00b", str(uuid7())):
        refusal = refused("fields_invalid", cases.involve_submission, case_id=case.pk, submission=said, by=world.chen)
        assert refusal.errors[0]["field"] == "submission"


def test_a_long_output_becomes_a_claim_that_fits(world):
    item = world.submit("长" * 9000)
    case = cases.open_case_from_submission(submission_id=item.pk, by=world.lin)
    assert len(case.claim) == 5000 and case.claim.endswith("…")


# Who may


OPENERS = {"lin", "bai", "xu", "chen"}


@pytest.mark.parametrize("name", ["lin", "bai", "xu", "zhou", "chen", "he", "fang"])
def test_who_may_open_and_who_may_work(world, name):
    person = world.staff[name]
    if name in OPENERS:
        acts.opened(world, by=person)
    else:
        with pytest.raises(Forbidden):
            acts.opened(world, by=person)
    draft, case = acts.drafted(world), acts.verifying(world)
    refuted = acts.refuted(world)
    works = [
        lambda: cases.add_evidence(case_id=case.pk, text="又一条", by=person),
        lambda: cases.conclude(case_id=case.pk, verdict="true", summary="真", by=person),
        lambda: refutations.waive_refutation(case_id=case.pk, reason="真", by=person),
        lambda: cases.close_case(case_id=case.pk, by=person),
        lambda: cases.reopen_case(case_id=case.pk, reason="新", by=person),
        lambda: refutations.draft_refutation(case_id=draft.case_id, title="t", text="x", by=person),
        lambda: refutations.publish_refutation(refutation_id=draft.pk, by=person),
        lambda: acts.correct(refuted, world, by=person),
        lambda: acts.report(refuted, world, by=person),
        lambda: cases.involve_submission(case_id=case.pk, submission=world.submit().external_id, by=person),
    ]
    for work in works:
        if name == "chen":
            work()
        else:
            with pytest.raises(Forbidden):
                work()


def test_a_stranger_may_nothing(world):
    for nobody in (None, "client:test", world.wen):
        with pytest.raises(Forbidden):
            acts.opened(world, by=nobody)
    assert RumorCase.objects.count() == 0


# Numbers


def test_eight_openings_at_once_get_eight_numbers_without_a_gap_though_some_fail(open_world):
    failed: list[BaseException] = []
    start = threading.Barrier(8)

    def open_one(n: int) -> None:
        try:
            start.wait(10)
            with transaction.atomic():
                acts.opened(open_world, claim=f"传言{n}")
                if n % 4 == 3:
                    raise KeyError(n)
        except KeyError:
            pass
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=open_one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    found = sorted(int(number[-4:]) for number in RumorCase.objects.values_list("number", flat=True))
    assert found == [1, 2, 3, 4, 5, 6]
    assert CaseNumber.objects.get().last == 6


def test_the_same_form_sent_at_once_is_one_case_and_the_next_number_follows(open_world):
    pk, got = uuid7(), []
    start = threading.Barrier(4)

    def press() -> None:
        try:
            start.wait(10)
            got.append(acts.opened(open_world, case_id=pk).number)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 4 and len(set(got)) == 1 and RumorCase.objects.count() == 1
    assert int(acts.opened(open_world).number[-4:]) == int(got[0][-4:]) + 1


def test_a_new_year_begins_at_one(world):
    CaseNumber.objects.create(year=2001, last=77)
    assert acts.opened(world).number.endswith("-0001")


# Reports


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "mayor"}, "kind"),
        ({"level": "galactic"}, "level"),
        ({"authority": " "}, "authority"),
        ({"reference": ""}, "reference"),
        ({"kind": "competent_department", "department": "weather"}, "department"),
        ({"reported_at": timezone.now() + timedelta(days=1)}, "reported_at"),
    ],
)
def test_a_report_names_authority_kind_level_and_receipt(world, changes, field):
    case = acts.refuted(world)
    with pytest.raises(Refusal) as caught:
        acts.report(case, world, **changes)
    assert caught.value.errors[0]["field"] == field
    assert AuthorityReport.objects.count() == 0


def test_a_report_keeps_what_it_said(world):
    case = acts.refuted(world)
    item = world.submit()
    cases.involve_submission(case_id=case.pk, submission=str(item.pk), by=world.chen)
    report = acts.report(case, world, note="已附截图")
    acts.correct(case, world)
    report.refresh_from_db()
    assert report.content["refutation"]["version"] == 1 and report.content["submissions"] == [str(item.pk)]
    assert (report.content["users_affected"], report.content["note"]) == (1, "已附截图")
    line = next(x for x in audit.of(f"rumor_case:{case.pk}") if x.action == "rumor_case.report_recorded")
    assert line.data["content_sha256"] == report.content_sha256 and len(report.content_sha256) == 64


def test_no_report_before_the_verdict(world):
    refused("state_forbids", acts.report, case=acts.verifying(world), world=world)


# What the database itself refuses


def violates(name: str, write) -> None:
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        write()


def test_constraints_hold_whatever_the_code_does(world):
    case = acts.verifying(world)
    rows = RumorCase.objects.filter(pk=case.pk)
    violates("a_closed_case_says_who_closed_it_and_when", lambda: rows.update(state="closed"))
    violates("a_closed_case_says_who_closed_it_and_when", lambda: rows.update(closed_at=timezone.now()))
    closing = {"state": "closed", "closed_at": timezone.now(), "closed_by": world.chen}
    violates("a_closed_case_was_refuted_or_says_why_not", lambda: rows.update(**closing))
    violates("a_verdict_names_who_when_and_why", lambda: rows.update(verdict="false"))
    verdict = {"verdict": "maybe", "summary": "x", "concluded_at": timezone.now(), "concluded_by": world.chen}
    violates("verdict_is_false_true_or_unverifiable", lambda: rows.update(**verdict))
    violates("rumor_case_state_is_known", lambda: rows.update(state="lost"))
    violates("a_waived_refutation_gives_a_reason", lambda: rows.update(waived_at=timezone.now()))
    violates("a_rumor_case_has_a_claim", lambda: rows.update(claim=""))
    violates(
        "number", lambda: RumorCase.objects.create(number=case.number, claim="x", found="desk", opened_by=world.lin)
    )
    refuted = acts.refuted(world)
    violates("a_closed_false_case_was_reported", lambda: RumorCase.objects.filter(pk=refuted.pk).update(**closing))
    draft = acts.drafted(world)
    drafts = Refutation.objects.filter(pk=draft.pk)
    violates("a_published_refutation_has_text", lambda: drafts.update(published_at=timezone.now()))
    whole = {"published_at": timezone.now(), "published_by": world.chen}
    violates("a_published_refutation_has_text", lambda: drafts.update(text="", **whole))
    violates("a_correction_says_what_it_corrects", lambda: drafts.update(version=2))
    violates(
        "one_refutation_draft_per_case",
        lambda: Refutation.objects.create(
            case=draft.case, version=9, verdict="false", claim="x", correction_note="x", drafted_by=world.chen
        ),
    )


@pytest.mark.parametrize("table", ["refutation", "caseevidence", "authorityreport", "caseevent", "casesubmission"])
def test_records_only_grow(world, table):
    case = acts.reported(world)
    cases.involve_submission(case_id=case.pk, submission=world.submit().external_id, by=world.chen)
    for statement in (f"UPDATE rumors_{table} SET case_id = case_id", f"DELETE FROM rumors_{table}"):
        with pytest.raises((IntegrityError, InternalError), match="append-only"):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)


def test_case_events_carry_the_transaction_that_wrote_them(world):
    case = acts.opened(world)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.transaction_id = pg_current_xact_id()::text::bigint, e.at <= statement_timestamp()"
            " FROM rumors_caseevent e WHERE e.case_id = %s",
            [case.pk],
        )
        assert cursor.fetchall() == [(True, True)]


# States


def test_the_diagram_of_the_states_is_printed():
    printed = statediagram.documents()["rumor_case.md"]
    for move in RUMOR_CASE.moves:
        for source in move.sources:
            assert f"    {source} --> {move.target}: {move.action} ({move.by})" in printed


def test_every_state_leads_to_closed_and_closing_always_needs_what_the_law_asks(world):
    reached = {"closed"}
    for _round in RUMOR_CASE.states:
        reached |= {source for move in RUMOR_CASE.moves if move.target in reached for source in move.sources}
    assert reached == set(RUMOR_CASE.states)
    assert {source for move in RUMOR_CASE.moves if move.target == "closed" for source in move.sources} == {
        "waived",
        "reported",
    }


STEPS = st.sampled_from(
    ["evidence", "false", "true", "draft", "publish", "correct", "waive", "cac", "department", "reopen", "close"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, max_size=14))
def test_no_order_of_steps_closes_a_case_with_a_part_missing(world, steps):
    with transaction.atomic():
        case, chen = acts.opened(world), world.chen
        does = {
            "evidence": lambda: cases.add_evidence(case_id=case.pk, text="x", by=chen),
            "false": lambda: cases.conclude(case_id=case.pk, verdict="false", summary="x", by=chen),
            "true": lambda: cases.conclude(case_id=case.pk, verdict="true", summary="x", by=chen),
            "draft": lambda: refutations.draft_refutation(case_id=case.pk, title="t", text="x", by=chen),
            "publish": lambda: refutations.publish_refutation(refutation_id=refutations.draft_of(case).pk, by=chen),
            "correct": lambda: acts.correct(case, world),
            "waive": lambda: refutations.waive_refutation(case_id=case.pk, reason="x", by=chen),
            "cac": lambda: acts.report(case, world),
            "department": lambda: acts.report(case, world, "competent_department"),
            "reopen": lambda: cases.reopen_case(case_id=case.pk, reason="x", by=chen),
            "close": lambda: cases.close_case(case_id=case.pk, by=chen),
        }
        for step in steps:
            if step == "publish" and refutations.draft_of(case) is None:
                continue
            before = acts.fresh(case)
            try:
                does[step]()
            except Refusal:
                assert acts.fresh(case).state == before.state
            now = acts.fresh(case)
            assert now.state in RUMOR_CASE.states
            if now.state == "closed":
                kinds = set(now.reports.filter(round=now.round).values_list("kind", flat=True))
                assert now.evidence.exists() and now.verdict and (now.refuted_at or now.waive_reason)
                assert now.verdict != "false" or kinds == {"cac", "competent_department"}
            public = refutations.standing(now)
            if now.state == "closed" and public:
                assert public.verdict == now.verdict
        transaction.set_rollback(True)


# The demonstration


def test_the_demonstration_is_made_once_by_the_commands(world):
    people = {person.role: person for person in world.staff.values()}
    demo.fill(world.service, people)
    demo.fill(world.service, people)
    assert sorted(RumorCase.objects.values_list("state", flat=True)) == ["closed", "verifying"]
    assert OutboxEvent.objects.filter(topic="refutation.published").count() == 1
