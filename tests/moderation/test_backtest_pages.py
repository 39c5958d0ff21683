"""Back-tests on screen: started from a form, followed with and without scripts, read as tables."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from core import jobs
from core.ids import uuid7
from core.models import Job
from moderation import backtests
from moderation.models import Backtest, Feature
from tests.moderation import test_backtests as trials
from tests.moderation.test_backtests import do_parts, draft, finished, proposal, start, work
from tests.moderation.test_desk import plain_static_files_and_an_empty_cache  # noqa: F401

past, small_parts, storage, no_memory = trials.past, trials.small_parts, trials.storage, trials.no_memory


@pytest.fixture(autouse=True)
def in_english(settings):
    settings.LANGUAGE_CODE = "en"
    with translation.override("en"):
        yield


@pytest.fixture
def xu(login):
    browser = login("xu")
    browser.cookies["django_language"] = "en"
    return browser


def form(target="policy:7", **changes):
    return {"run_id": str(uuid7()), "what": target, "scope": "last", "last": "100", "start": "", "to": "", **changes}


def text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def test_the_form_begins_a_run_and_leads_to_it(world, past, xu):
    draft(world)
    answer = xu.post("/backtests/start", form())
    run = Backtest.objects.get()
    assert answer.status_code == 302 and answer["Location"] == f"/backtests/{run.pk}/"
    assert (run.kind, run.target, run.scope, run.started_by) == ("policy", "7", {"last": 100}, world.xu)
    assert not run.used["look_again"]


def test_the_same_form_twice_is_one_run(world, past, xu):
    draft(world)
    given = form(look_again="on")
    places = [xu.post("/backtests/start", given)["Location"] for _press in range(2)]
    assert places[0] == places[1] and Backtest.objects.get().used["look_again"]


def test_a_period_is_given_in_days(world, past, xu):
    draft(world)
    today = timezone.localdate()
    xu.post("/backtests/start", form(scope="period", start=str(today), to=str(today + timedelta(days=1))))
    assert Backtest.objects.get().scope == {"from": str(today), "to": str(today + timedelta(days=1))}


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"what": ""}, "what", "required"),
        ({"what": "policy:99"}, "what", "Choose what is tried"),
        ({"what": "feature:x;drop"}, "what", "Choose what is tried"),
        ({"last": ""}, "last", "from 1 to 200,000"),
        ({"last": "200001"}, "last", "from 1 to 200,000"),
        ({"scope": "period"}, None, "from which day"),
        ({"scope": "period", "start": "2026-03-02", "to": "2026-03-02"}, "to", "ends before it begins"),
        ({"scope": "all"}, "scope", "valid choice"),
        ({"run_id": "x"}, "run_id", "UUID"),
    ],
)
def test_a_form_that_can_not_be_says_why_and_starts_nothing(world, past, xu, changes, field, sentence):
    draft(world)
    answer = xu.post("/backtests/start", form(**changes))
    assert answer.status_code == 422 and not Backtest.objects.exists()
    errors = answer.context["form"].errors
    assert sentence in str(errors[field or "__all__"])
    if field not in ("run_id",):
        assert sentence in text(answer)


def test_a_third_run_is_refused_with_a_sentence(world, past, xu):
    target = draft(world)
    for n in (2, 3):
        start(world, target, scope={"last": n})
    answer = xu.post("/backtests/start", form())
    assert answer.status_code == 409 and 'role="alert"' in text(answer) and "2 back-tests are running" in text(answer)


def test_whoever_starts_what_a_colleague_started_is_led_there(world, past, xu):
    run = start(world, draft(world), scope={"last": 100}, by=world.chen)
    answer = xu.post("/backtests/start", form(), follow=True)
    assert answer.redirect_chain == [(f"/backtests/{run.pk}/", 302)]
    assert "running already" in text(answer)


def test_the_form_is_filled_in_from_the_link(world, past, xu):
    draft(world)
    entry = Feature.objects.get(value="刷单返佣")  # in force: not among those offered of themselves
    page = text(xu.get(f"/backtests/?kind=feature&target={entry.pk}"))
    assert f'<option value="feature:{entry.pk}" selected>' in page
    assert '<option value="policy:7" selected>' in text(xu.get("/backtests/?kind=policy&target=7"))
    assert f'value="feature:{entry.pk}"' not in text(xu.get("/backtests/?kind=policy&target=7"))
    for nonsense in ("kind=x&target=1", "kind=policy&target=%00", "kind=feature&target=99999999999", "before=x"):
        assert xu.get(f"/backtests/?{nonsense}").status_code == 200


def test_who_may_only_look_sees_no_form_and_no_buttons(world, past, login):
    run = start(world, draft(world))
    browser = login("he")
    assert "/backtests/start" not in text(browser.get("/backtests/"))
    page = text(browser.get(f"/backtests/{run.pk}/"))
    assert f"/backtests/{run.pk}/abort" not in page
    assert browser.post(f"/backtests/{run.pk}/abort").status_code == 403
    assert login("lin").get("/backtests/").status_code == 403


def test_progress_is_seen_without_scripts_and_asked_for_with_them(world, past, small_parts, xu):
    run = start(world, draft(world))
    do_parts(1)
    page = text(xu.get(f"/backtests/{run.pk}/"))
    assert '<progress value="2" max="6" aria-label="Items done">' in page and "1 of 3" in page
    assert 'hx-trigger="every 2s"' in page and f'hx-get="/backtests/{run.pk}/"' in page
    assert "These are the figures of the parts that are done" in page
    part = xu.get(f"/backtests/{run.pk}/", HTTP_HX_REQUEST="true")
    assert part.content.decode().startswith('<section id="progress"') and "HX-Refresh" not in part
    assert "HX-Request" in part["Vary"]
    work()
    part = xu.get(f"/backtests/{run.pk}/", HTTP_HX_REQUEST="true")
    assert part["HX-Refresh"] == "true" and "hx-get" not in part.content.decode()


def test_a_run_without_a_worker_says_so(world, past, xu):
    from core import health

    run = start(world, draft(world))
    assert "No worker of the queue bulk" in text(xu.get(f"/backtests/{run.pk}/"))
    health.beat(jobs.BULK)
    assert "No worker of the queue bulk" not in text(xu.get(f"/backtests/{run.pk}/"))


def test_abort_and_go_on_are_buttons_that_need_no_script(world, past, small_parts, xu):
    run = start(world, draft(world))
    do_parts(1)
    answer = xu.post(f"/backtests/{run.pk}/abort", follow=True)
    assert "Aborted" in text(answer) and f'action="/backtests/{run.pk}/resume"' in text(answer)
    answer = xu.post(f"/backtests/{run.pk}/resume", follow=True)
    assert f'action="/backtests/{run.pk}/abort"' in text(answer)
    work()
    run.refresh_from_db()
    assert run.state == "done"
    refused = xu.post(f"/backtests/{run.pk}/abort")
    assert refused.status_code == 409 and 'role="alert"' in text(refused)


def test_a_failed_run_says_why_and_can_go_on(world, past, xu):
    run = start(world, draft(world))
    Job.objects.filter(kind=backtests.JOB).update(attempts=3, due_at=timezone.now() - timedelta(seconds=1))
    jobs.work(jobs.BULK, seconds=1.0)
    page = text(xu.get(f"/backtests/{run.pk}/"))
    assert "could not be done in three tries" in page and f'action="/backtests/{run.pk}/resume"' in page


def test_the_figures_are_tables_whose_cells_lead_to_items(world, past, xu):
    run = finished(world, draft(world))
    page = text(xu.get(f"/backtests/{run.pk}/"))
    assert 'class="num cell-bad"><a href="#people-release-block">1</a>' in page
    assert 'id="people-release-block"' in page
    assert f'/submissions/{past["people_release"].pk}/"' in page
    assert "S-1" in page and "No rule: release" in page


def test_an_entry_shows_hits_misses_and_its_share(world, past, xu):
    run = finished(world, proposal(world))
    page = text(xu.get(f"/backtests/{run.pk}/"))
    assert "1 items, 16.67% of all" in page and 'href="#hit-policy_release"' in page and 'href="#missed"' in page
    assert f'/submissions/{past["people_block"].pk}/"' in page


def test_the_page_says_that_the_draft_was_edited_since(world, past, xu):
    target = draft(world)
    run = finished(world, target)
    assert "It was changed after this run began" not in text(xu.get(f"/backtests/{run.pk}/"))
    target.revision, target.rules = 2, []
    target.save(update_fields=["revision", "rules"])
    assert "It was changed after this run began" in text(xu.get(f"/backtests/{run.pk}/"))


def test_the_report_is_downloaded_as_it_was_kept(world, past, xu):
    run = finished(world, draft(world))
    page = text(xu.get(f"/backtests/{run.pk}/"))
    assert run.report_id in page
    answer = xu.get(f"/backtests/{run.pk}/report.json")
    assert hashlib.sha256(b"".join(answer.streaming_content)).hexdigest() == run.report_id
    assert answer["Content-Disposition"].startswith("attachment") and answer["X-Content-Type-Options"] == "nosniff"


def test_there_is_no_report_before_the_end_and_no_page_of_nothing(world, past, xu):
    run = start(world, draft(world))
    assert xu.get(f"/backtests/{run.pk}/report.json").status_code == 404
    assert xu.get(f"/backtests/{uuid7()}/").status_code == 404


def test_a_hostile_name_is_shown_as_text(world, past, xu):
    target = draft(world)
    target.name = "<script>alert(1)</script>"
    target.save(update_fields=["name"])
    run = finished(world, target)
    for address in ("/backtests/", f"/backtests/{run.pk}/"):
        assert "<script>alert" not in text(xu.get(address))


def test_the_list_costs_the_same_however_many_there_are(world, past, xu, django_assert_max_num_queries):
    target = draft(world)
    for n in range(2, 6):
        backtests.abort(backtest_id=start(world, target, scope={"last": n}).pk, by=world.xu)
    xu.get("/backtests/")
    with django_assert_max_num_queries(14):
        xu.get("/backtests/")
