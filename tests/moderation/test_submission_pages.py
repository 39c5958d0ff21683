"""Submissions on screen: found, paged, and one by one with everything that is recorded of them."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import pages
from moderation import decisions, queue
from moderation.models import Content, Submission
from tests.moderation.test_desk import HOSTILE, plain_static_files_and_an_empty_cache  # noqa: F401
from tests.moderation.test_queue import queued
from tests.world import BLOCKED, CLEAN, SCAM


@pytest.fixture
def he(login):
    return login("he")


def ids(answer):
    return [item.pk for item in answer.context["page"]]


def test_newest_first_page_by_page_each_once(world, he, monkeypatch):
    items = queued(world, 7)
    monkeypatch.setattr(pages.Page.__init__, "__kwdefaults__", {"size": 3, "before": "", "key": "pk"})
    seen, url = [], "/submissions/"
    while url:
        answer = he.get(url)
        seen += ids(answer)
        url = answer.context["next_url"] and "/submissions/" + answer.context["next_url"]
    assert seen == sorted((i.pk for i in items), reverse=True)


@pytest.mark.parametrize(("text", "state"), [(CLEAN, "released"), (SCAM, "in_review"), (BLOCKED, "blocked")])
def test_by_state(world, he, text, state):
    items = {t: world.submit(t) for t in (CLEAN, SCAM, BLOCKED)}
    assert ids(he.get("/submissions/", {"state": state})) == [items[text].pk]


def test_by_external_id_by_number_and_since(world, he):
    old, new = queued(world, 2)
    Submission.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=3))
    assert ids(he.get("/submissions/", {"external_id": old.external_id})) == [old.pk]
    assert ids(he.get("/submissions/", {"external_id": f" {new.pk} "})) == [new.pk]
    day = (timezone.now() - timedelta(days=1)).date().isoformat()
    assert ids(he.get("/submissions/", {"since": day})) == [new.pk]
    assert ids(he.get("/submissions/", {"external_id": "nobody"})) == []


@pytest.mark.parametrize(
    "query",
    [
        {"state": "exploded"},
        {"since": "yesterday"},
        {"since": "0001-01-01"},
        {"before": "x"},
        {"external_id": "a\x00b"},
        {"external_id": "x" * 500},
        {"state": "<script>alert(1)</script>"},
    ],
)
def test_a_filter_that_makes_no_sense_breaks_nothing(world, he, query):
    world.submit()
    answer = he.get("/submissions/", query)
    assert answer.status_code == 200
    assert b"<script>alert" not in answer.content


def test_an_empty_list_says_what_to_do(world, he):
    assert b"manage.py ingest" in he.get("/submissions/").content


def test_one_released_item_with_all_that_is_recorded(world, he):
    item = world.submit()
    answer = he.get(f"/submissions/{item.pk}/")
    html = answer.content.decode()
    assert "本内容由人工智能生成" in answer.context["labelled"]
    assert answer.context["labelled"].endswith(CLEAN)
    assert html.count(item.label["implicit"]["ContentProducer"]) == 2  # producer and propagator, in the record only
    assert "ProduceID" in html and "{&#x27;" not in html
    assert [e.action for e in answer.context["ledger"]] == ["submission.accepted", "submission.released"]
    assert {(row["verdict"]) for row in answer.context["checks"]} == {"clear"}


def test_one_blocked_item_with_its_statement_and_claim_log(world, he):
    item = world.submit(SCAM)
    held = queue.next_task(by=world.lin)
    decisions.decide(
        submission_id=item.pk, token=held.token, outcome="block", category="fraud.part_time", reason="涉嫌<刷单>",
        by=world.lin,
    )  # fmt: skip
    answer = he.get(f"/submissions/{item.pk}/")
    html = answer.content.decode()
    assert "涉嫌&lt;刷单&gt;" in html and "<刷单>" not in html
    assert answer.context["decisions"][0].statement.automated_decision is False
    assert [c["who"] for c in answer.context["claims"]] == ["林溪", "林溪"]
    assert answer.context["labelled"] == ""


def test_an_item_whose_screening_never_ended_is_shown_too(world, he):
    item = world.take()
    assert he.get(f"/submissions/{item.pk}/").status_code == 200
    Submission.objects.filter(pk=item.pk).update(state="in_review", rule="screening_failed", held_for="gate_closed")
    assert he.get(f"/submissions/{item.pk}/").status_code == 200


def test_hostile_text_stays_text(world, he):
    item = world.submit(HOSTILE)
    Content.objects.filter(pk=item.pk).update(input_text=HOSTILE)
    Submission.objects.filter(pk=item.pk).update(declared={"news": {"url": HOSTILE}, "<b>": True})
    for url in (f"/submissions/{item.pk}/", "/submissions/"):
        html = he.get(url).content.decode()
        assert "<script>alert" not in html and "<img src=x" not in html and "<b>:" not in html


def test_the_list_takes_the_same_few_queries_for_many_rows(world, he):
    queued(world, 2)
    he.get("/submissions/")
    with CaptureQueriesContext(connection) as few:
        he.get("/submissions/")
    queued(world, 40)
    with CaptureQueriesContext(connection) as many:
        he.get("/submissions/")
    assert len(many) <= len(few) <= 5


@pytest.mark.parametrize(
    ("name", "status"), [("lin", 200), ("xu", 200), ("chen", 200), ("he", 200), ("zhou", 403), ("fang", 403)]
)
def test_who_may_look(world, login, name, status):
    item = world.submit()
    client = login(name)
    for url in ("/submissions/", f"/submissions/{item.pk}/"):
        assert client.get(url).status_code == status
        assert client.post(url).status_code in (403, 405)


def test_what_is_not_there_is_not_found(world, he, client):
    assert he.get(f"/submissions/{uuid4()}/").status_code == 404
    assert client.get("/submissions/").status_code == 302
