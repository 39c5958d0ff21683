"""The desk as a page: plain forms, every answer a sentence, hostile text harmless, few queries, little weight."""

from __future__ import annotations

import gzip
import re
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from core import context, gates
from moderation import decisions, desk, desk_item, queue, statistics
from moderation.models import ClaimEvent, Content, Decision, Finding, Submission, Task
from tests.moderation.test_queue import expire, queued
from tests.world import SCAM

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7|add:7 }}"
STATIC = (
    "css/theme.css",
    "css/shell.css",
    "css/content.css",
    "css/desk.css",
    "css/media.css",
    "js/mingjian.js",
    "js/keys.js",
    "js/desk.js",
    "js/media.js",
)


@pytest.fixture(autouse=True)
def plain_static_files_and_an_empty_cache(settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def lin(login):
    return login("lin")


def take(client):
    answer = client.post("/review/next", follow=True)
    assert answer.status_code == 200
    return answer


def form_of(answer, **changes):
    """What the page's decision form would send."""
    html = answer.content.decode()
    hidden = {n: re.search(rf'name="{n}" value="([^"]*)"', html)[1] for n in ("submission", "token", "prefilled")}
    reason = re.search(r"<textarea[^>]*>(.*?)</textarea>", html, re.S)[1]
    category = re.search(r'<option value="([^"]+)" selected', html)
    return {**hidden, "reason": reason, "category": category[1] if category else "", **changes}


def test_without_an_item_it_shows_what_waits_and_the_button(world, lin):
    answer = lin.get("/review/")
    assert b'data-action="next"' in answer.content
    assert b'data-action="submit"' not in answer.content
    queued(world, 3)
    assert lin.get("/review/").context["summary"]["waiting"] == 3


def test_next_shows_the_item_marked_with_its_evidence_rule_and_user(world, lin):
    item = world.submit(SCAM)
    answer = take(lin)
    html = answer.content.decode()
    assert answer.redirect_chain[0] == ("/review/", 302)
    assert item.external_id in html
    assert '<mark class="m2"' in html and "刷单返佣" in html
    assert "R-05" in html
    assert "闻**" in html and "闻歌" not in html
    for action in ("submit", "skip"):
        assert f'data-action="{action}"' in html
    for number, code in enumerate(("block", "release", *decisions.CHOICES, "escalate"), 1):
        assert re.search(rf'value="{code}" data-key="{number}"', html)
    assert re.search(r'<option value="fraud.part_time" selected', html)
    row = answer.context["evidence"].lines[0]
    assert (row.value, row.score, row.tone) == ("刷单返佣", "1.00", "m2")
    # Code points from 0 in the record, from 1 for people.
    start, end = item.findings.get().spans[0]
    assert row.where == f"{start + 1}–{end}"


def test_submit_decides_says_so_and_takes_the_next(world, lin):
    first, second = world.submit(SCAM), world.submit(SCAM)
    answer = lin.post("/review/decide", form_of(take(lin), outcome="block"), follow=True)
    first.refresh_from_db()
    assert first.state == "blocked"
    html = answer.content.decode()
    assert 'role="status"' in html and first.external_id in html
    assert answer.context["item"].pk == second.pk
    answer = lin.post("/review/decide", form_of(answer, outcome="release"), follow=True)
    second.refresh_from_db()
    assert second.state == "released"
    assert b'data-action="next"' in answer.content
    assert answer.context["summary"]["done_today"] == 2


def test_an_untouched_reason_is_none_for_a_release_and_follows_the_category_for_a_block(world, lin):
    world.submit(SCAM), world.submit(SCAM)
    answer = lin.post("/review/decide", form_of(take(lin), outcome="release"), follow=True)
    assert Decision.objects.get(by_kind="staff").reason == ""
    lin.post("/review/decide", form_of(answer, outcome="block", category="fraud.loan"))
    leaf = desk_item.categories()["fraud.loan"]
    assert Decision.objects.get(outcome="block").reason == leaf.reason_text
    world.submit(SCAM)
    lin.post("/review/decide", form_of(take(lin), outcome="block", category="fraud.loan", reason="我写的理由"))
    assert Decision.objects.filter(outcome="block").latest("decided_at").reason == "我写的理由"


def test_what_is_missing_is_said_and_what_was_typed_stays(world, lin):
    world.submit(SCAM)
    form = form_of(take(lin), outcome="block", category="", reason="写了一半<b>")
    answer = lin.post("/review/decide", form)
    html = answer.content.decode()
    assert answer.status_code == 422
    assert 'role="alert"' in html
    assert "写了一半&lt;b&gt;" in html
    assert re.search(r'value="block"[^>]*checked', html)
    assert not Decision.objects.filter(by_kind="staff").exists()
    assert lin.post("/review/decide", {**form, "outcome": ""}).status_code == 422


def test_on_a_lost_lease_the_sentence_names_the_holder_and_nothing_changes(world, lin, login):
    item = world.submit(SCAM)
    form = form_of(take(lin), outcome="block")
    expire()
    take(login("bai"))
    answer = lin.post("/review/decide", form)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert 'role="alert"' in html and "白薇" in html
    item.refresh_from_db()
    assert item.state == "in_review"
    assert not Decision.objects.filter(submission=item).exists()
    skipped = lin.post("/review/skip", {**form, "skip_reason": "x"})
    assert skipped.status_code == 409 and "白薇" in skipped.content.decode()


def test_the_same_form_twice_is_one_decision(world, lin):
    item = world.submit(SCAM)
    form = form_of(take(lin), outcome="block")
    for _n in range(2):
        assert lin.post("/review/decide", form).status_code == 302
    assert Decision.objects.filter(submission=item).count() == 1


@pytest.mark.parametrize(
    "form", [{}, {"submission": "x", "token": "y"}, {"submission": str(uuid4()), "token": str(uuid4())}]
)
def test_a_form_that_holds_nothing_is_refused(world, lin, form):
    queued(world, 1)
    for url in ("/review/decide", "/review/skip", "/review/heartbeat"):
        assert lin.post(url, {**form, "outcome": "release", "skip_reason": "x"}).status_code == 409
    assert not Decision.objects.exists()


def test_a_held_release_says_held_and_why(world, lin):
    world.submit(SCAM)
    form = form_of(take(lin), outcome="release")
    gates.close_gate(capability="release", by=world.chen, directive="令〔2026〕3号")
    answer = lin.post("/review/decide", form, follow=True)
    assert str(decisions.HELD_WORDS["gate_closed"]) in answer.content.decode()
    assert not Decision.objects.filter(by_kind="staff").exists()


def test_an_item_settled_elsewhere_says_skipped(world, lin):
    item = world.submit(SCAM)
    form = form_of(take(lin), outcome="block")
    Submission.objects.filter(pk=item.pk).update(state="withdrawn")
    answer = lin.post("/review/decide", form, follow=True)
    assert [m.level_tag for m in answer.context["messages"]] == ["info"]
    assert not Decision.objects.filter(submission=item).exists()


def test_skip_wants_a_reason_and_puts_it_into_the_claim_log(world, lin):
    item = world.submit(SCAM)
    form = form_of(take(lin))
    del form["reason"]
    refused = lin.post("/review/skip", form)
    assert refused.status_code == 422 and b'role="alert"' in refused.content
    assert queue.held_by(world.lin)
    lin.post("/review/skip", {**form, "skip_reason": "认识此人<i>"})
    assert ClaimEvent.objects.filter(submission_id=item.pk, event="released", reason="认识此人<i>").exists()
    html = lin.get("/review/").content.decode()
    assert "认识此人&lt;i&gt;" in html and "data-claim-log" in html


def test_escalate_is_a_choice_that_a_senior_item_no_longer_has(world, lin, login):
    item = world.submit(SCAM)
    lin.post("/review/decide", form_of(take(lin), outcome="escalate"))
    assert Task.objects.get(pk=item.pk).queue == queue.SENIOR
    assert ClaimEvent.objects.get(event="escalated").reason == ""  # the suggested reason was not one
    answer = take(login("xu"))
    assert "escalate" not in [choice["code"] for choice in answer.context["choices"]]


def test_a_registered_choice_is_offered_by_permission_and_carried_out(world, lin, monkeypatch):
    done = []

    def run(**given):
        done.append(given)
        queue.escalate(token=given["token"], reason="", by=given["by"])
        return decisions.Outcome("applied", "转交了")

    choice = decisions.Choice("hand_over", "转交", "send", "review.work", run)
    closed = decisions.Choice("closed", "不可见", "send", "staff.manage", run)
    monkeypatch.setattr(desk, "CHOICES", {"hand_over": choice, "closed": closed})
    item = world.submit(SCAM)
    answer = take(lin)
    assert [c["code"] for c in answer.context["choices"]] == ["block", "release", "hand_over", "escalate"]
    assert lin.post("/review/decide", form_of(answer, outcome="closed")).status_code == 422
    answer = lin.post("/review/decide", form_of(answer, outcome="hand_over", reason="请看"), follow=True)
    assert "转交了" in answer.content.decode()
    assert (done[0]["submission_id"], done[0]["reason"], done[0]["by"]) == (item.pk, "请看", world.lin)


def test_the_heartbeat_renews_and_a_lost_lease_answers_a_problem_with_the_sentence(world, lin, login):
    world.submit(SCAM)
    form = form_of(take(lin))
    answer = lin.post("/review/heartbeat", form)
    assert answer.status_code == 200 and answer.json()["seconds"] > 60
    expire()
    take(login("bai"))
    answer = lin.post("/review/heartbeat", form)
    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    assert "白薇" in answer.json()["detail"]


@pytest.mark.parametrize("url", ["/review/next", "/review/decide", "/review/skip", "/review/heartbeat"])
def test_nothing_is_done_by_get(lin, url):
    assert lin.get(url).status_code == 405


@pytest.mark.parametrize(
    ("name", "status"),
    [("lin", 200), ("bai", 200), ("xu", 200), ("zhou", 403), ("chen", 403), ("he", 403), ("fang", 403)],
)
def test_who_may_work_at_the_desk(world, login, name, status):
    queued(world, 1)
    client = login(name)
    assert client.get("/review/").status_code == status
    for url in ("/review/next", "/review/decide", "/review/skip", "/review/heartbeat"):
        assert (client.post(url).status_code == 403) == (status == 403)
    assert Task.objects.count() == (0 if status == 200 else 1)


def test_nobody_signed_in_is_sent_to_the_door(client, world):
    assert client.get("/review/").status_code == 302
    assert client.post("/review/next").status_code == 401


def test_hostile_text_stays_text(world, lin):
    item = queued(world, 1)[0]
    Submission.objects.filter(pk=item.pk).update(external_id=HOSTILE[:100])
    Content.objects.filter(pk=item.pk).update(input_text=HOSTILE, output_text=HOSTILE * 3)
    type(world.wen).objects.filter(pk=world.wen.pk).update(display_name=HOSTILE[:60], region="<b>地</b>")
    for spans in ([[0, 8], [3, 30]], [[-4, 9999], [5, 5], ["x", None], [7]], "nonsense"):
        Finding.objects.create(
            submission=item, side="output", check_name="terms", category_id="fraud.loan", severity=4,
            spans=spans if isinstance(spans, list) and all(len(s) == 2 and isinstance(s[0], int) for s in spans) else [],
            detail=HOSTILE[:100],
        )  # fmt: skip
    html = take(lin).content.decode()
    for bad in ("<script>alert", "<img src=x", "<b>地</b>"):
        assert bad not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7|add:7 }}" in html


def test_a_text_stuffed_with_terms_does_not_make_the_page_endless(world, lin):
    item = queued(world, 1)[0]
    Finding.objects.bulk_create(
        Finding(
            submission=item, side="output", check_name="terms", category_id="fraud.loan", severity=2, spans=[[0, n]]
        )
        for n in range(1, 301)
    )
    answer = take(lin)
    assert len(answer.context["evidence"].lines) == 100
    assert answer.context["evidence"].more == 200


def test_findings_of_a_second_look_are_not_shown_twice(world, lin):
    item = world.submit(SCAM)
    finding = item.findings.get()
    finding.pk = None
    finding.save(force_insert=True)
    assert len(take(lin).context["evidence"].lines) == 1


def test_the_users_other_items_and_their_decisions_are_beside_it(world, lin):
    clean = world.submit()
    world.submit("测试专用违禁词甲")
    item = world.submit(SCAM)
    answer = take(lin)
    assert answer.context["item"].pk == item.pk
    card = answer.context["user_card"]
    assert (card["items"], card["released"], card["blocked"], card["by_day"][-1]) == (3, 1, 1, 3)
    assert {d.outcome for d in answer.context["earlier"]} == {"release", "block"}
    assert reverse("submission", args=[clean.pk]) in answer.content.decode()


def queries(client, method, *args, **kwargs):
    context.badge_counts()  # the rail's numbers are shared by everybody for five seconds
    with CaptureQueriesContext(
        connection,
    ) as seen:
        answer = getattr(client, method)(*args, **kwargs)
    return answer, [q["sql"] for q in seen if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))]


def test_how_many_queries_a_page_and_a_decision_take(world, lin):
    for _n in range(3):
        world.submit(SCAM)
    answer, empty = queries(lin, "get", "/review/")
    assert len(empty) <= 6, empty
    page = take(lin)
    answer, full = queries(lin, "get", "/review/")
    assert len(full) <= 16, full
    answer, decided = queries(lin, "post", "/review/decide", form_of(page, outcome="block"))
    assert answer.status_code == 302
    assert len(decided) <= 20, decided
    # More items, findings and decisions of the same user cost no more queries.
    for _n in range(5):
        world.submit(SCAM)
    answer, more = queries(lin, "get", "/review/")
    assert len(more) <= len(full) + 1, more


def test_the_desk_weighs_less_than_300_kilobytes(world, lin):
    from django.conf import settings

    item = world.submit(SCAM)
    Content.objects.filter(pk=item.pk).update(output_text="".join(chr(0x4E00 + n * 7919 % 20000) for n in range(5000)))
    page = len(gzip.compress(take(lin).content))
    root = settings.BASE_DIR / "platform" / "static"
    files = [
        root / name
        for name in (*STATIC, "vendor/tabler/tabler.min.css", "vendor/htmx/htmx.min.js", "vendor/icons/icons.svg")
    ]
    total = page + sum(len(gzip.compress(file.read_bytes())) for file in files)
    assert total < 300 * 1024, total


def test_the_rail_counts_what_waits_up_to_a_thousand(world, monkeypatch):
    queued(world, 7)
    assert statistics.waiting() == 7
    assert context._badges["review"]() == 7
    monkeypatch.setattr(statistics, "_BADGE_BOUND", 5)
    assert statistics.waiting() == 5
