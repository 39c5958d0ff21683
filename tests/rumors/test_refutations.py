"""Refutations: drafts, publishing once, corrections, and what the services are told."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from core import outbox, webhooks
from core.errors import Conflict, NotFound, Refusal
from core.ids import uuid7
from core.models import OutboxEvent, WebhookDelivery
from rumors import cases, refutations
from rumors.models import CaseEvent, Refutation
from tests.rumors import acts


def told() -> list[dict]:
    return [e.payload for e in OutboxEvent.objects.filter(topic="refutation.published").order_by("id")]


def test_a_draft_is_rewritten_in_place_and_counts_its_revisions(world):
    draft = acts.drafted(world)
    assert draft.revision == 1
    same = refutations.draft_refutation(
        case_id=draft.case_id, title="停水三天不实", text="近期没有停水计划。", by=world.chen
    )
    assert (same.pk, same.revision) == (draft.pk, 1)
    other = refutations.draft_refutation(
        case_id=draft.case_id, title="另一个标题", text="近期没有停水计划。", by=world.chen
    )
    assert (other.pk, other.revision) == (draft.pk, 2)
    assert [row.title for row in other.history.order_by("history_id")] == ["停水三天不实", "另一个标题"]
    assert told() == []


def test_what_is_published_is_what_was_read(world):
    draft = acts.drafted(world)
    refutations.draft_refutation(case_id=draft.case_id, title="改了", text="改了", by=world.chen)
    with pytest.raises(Conflict) as caught:
        refutations.publish_refutation(refutation_id=draft.pk, revision=1, by=world.chen)
    assert caught.value.code == "draft_changed" and told() == []
    refutations.publish_refutation(refutation_id=draft.pk, revision=2, by=world.chen)
    assert told()[0]["title"] == "改了"


def test_publishing_twice_publishes_once_and_sets_nothing_else(world):
    item = world.submit()
    draft = acts.drafted(world)
    cases.involve_submission(case_id=draft.case_id, submission=item.external_id, by=world.chen)
    state = item.state
    first = refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    second = refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    assert first.published_at == second.published_at
    assert CaseEvent.objects.filter(event="published").count() == 1
    item.refresh_from_db()
    assert item.state == state
    payload = told()
    assert len(payload) == 1
    assert payload[0]["number"] == draft.case.number and payload[0]["version"] == 1
    assert payload[0]["path"] == f"/public/refutations/{draft.case.number}/"
    assert payload[0]["published_at"].endswith("Z")


def test_two_people_publishing_at_once_publish_once(open_world):
    draft = acts.drafted(open_world)
    failed, start = [], threading.Barrier(4)

    def press() -> None:
        try:
            start.wait(10)
            refutations.publish_refutation(refutation_id=draft.pk, by=open_world.chen)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == [] and len(told()) == 1


def test_every_service_hears_of_it(world):
    for service in (world.service, world.other_service):
        webhooks.register_endpoint(service_id=service.pk, url="http://127.0.0.1:9/hook", by="system:test")
    acts.refuted(world)
    while outbox.relay():
        pass
    assert WebhookDelivery.objects.filter(topic="refutation.published").count() == 2


def test_nothing_is_told_when_the_transaction_fails(world):
    from django.db import transaction

    draft = acts.drafted(world)
    with pytest.raises(RuntimeError), transaction.atomic():
        refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
        raise RuntimeError
    assert told() == [] and Refutation.objects.get(pk=draft.pk).published_at is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": " "}, "title"),
        ({"text": "\u0000\u0007"}, "text"),
        ({"title": "长" * 121}, "title"),
        ({"text": "长" * 5001}, "text"),
        ({"title_en": "Only a title"}, "text_en"),
        ({"text_en": "Only a text"}, "title_en"),
        ({"sources": ["javascript:alert(1)"]}, "sources"),
        ({"sources": ["https://"]}, "sources"),
        ({"sources": ["http://[::1"]}, "sources"),
        ({"sources": ["https://a.example/"] * 21}, "sources"),
        ({"channels": ["rooftop"]}, "channels"),
    ],
)
def test_a_draft_that_does_not_fit_is_refused_by_field(world, changes, field):
    with pytest.raises(Refusal) as caught:
        acts.drafted(world, **changes)
    assert [error["field"] for error in caught.value.errors] == [field]
    assert Refutation.objects.count() == 0


def test_texts_are_kept_without_what_feeds_and_pages_cannot_carry(world):
    draft = acts.drafted(world, text="一\r\n二\x0b\u0000\ud800三\ufffe", sources=["", " https://a.example/x "])
    draft.refresh_from_db()
    assert (draft.text, draft.sources, draft.channels) == ("一\n二三", ["https://a.example/x"], ["public_page"])


@pytest.mark.parametrize("stage", [acts.opened, acts.verifying])
def test_nothing_is_drafted_or_waived_before_the_verdict(world, stage):
    case = stage(world)
    for command, words in (
        (refutations.draft_refutation, {"title": "t", "text": "x"}),
        (refutations.waive_refutation, {"reason": "x"}),
    ):
        with pytest.raises(Conflict):
            command(case_id=case.pk, by=world.chen, **words)


def test_a_draft_is_not_published_once_the_refutation_was_waived_or_the_verdict_changed(world):
    draft = acts.drafted(world)
    refutations.waive_refutation(case_id=draft.case_id, reason="无人看到", by=world.chen)
    with pytest.raises(Conflict):
        refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    cases.reopen_case(case_id=draft.case_id, reason="新情况", by=world.chen)
    cases.conclude(case_id=draft.case_id, verdict="true", summary="属实", by=world.chen)
    with pytest.raises(Conflict) as caught:
        refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    assert caught.value.code == "verdict_changed" and told() == []


def test_a_correction_is_the_next_version_and_the_first_stays_as_it_was(world):
    case = acts.refuted(world)
    first = refutations.standing(case)
    second = acts.correct(case, world)
    assert (second.version, acts.fresh(case).state) == (2, "refuted")
    assert refutations.standing(case) == second
    assert Refutation.objects.get(pk=first.pk).text == "近期没有停水计划。"
    assert list(refutations.published()) == [second]
    assert [payload["version"] for payload in told()] == [1, 2]
    assert told()[1]["correction_note"] == "补充检修时间"
    with pytest.raises(Conflict) as caught:
        refutations.draft_refutation(case_id=case.pk, title="t", text="x", by=world.chen)
    assert caught.value.code == "refutation_published"


def test_a_correction_sent_twice_is_one_and_never_runs_over_another(world):
    case = acts.refuted(world)
    first = acts.correct(case, world, corrects=1)
    assert acts.correct(case, world, corrects=1) == first
    with pytest.raises(Conflict) as caught:
        acts.correct(case, world, corrects=1, text="别的话")
    assert caught.value.code == "already_corrected"
    assert acts.correct(case, world, corrects=2, text="别的话").version == 3


def test_a_closed_case_s_text_can_be_corrected_without_reopening(world):
    case = acts.closed(world)
    assert acts.correct(case, world).version == 2
    assert acts.fresh(case).state == "closed"


def test_a_correction_needs_a_note_and_something_to_correct(world):
    case = acts.refuted(world)
    with pytest.raises(Refusal) as caught:
        acts.correct(case, world, correction_note=" ")
    assert caught.value.errors[0]["field"] == "correction_note"
    with pytest.raises(Conflict) as nothing:
        acts.correct(acts.concluded(world), world)
    assert nothing.value.code == "nothing_to_correct"
    with pytest.raises(NotFound):
        refutations.publish_refutation(refutation_id=uuid7(), by=world.chen)


def test_a_case_that_is_open_again_is_concluded_before_its_text_is_corrected(world):
    case = acts.closed(world)
    cases.reopen_case(case_id=case.pk, reason="新情况", by=world.chen)
    with pytest.raises(Conflict) as caught:
        acts.correct(case, world)
    assert caught.value.code == "verdict_missing"
