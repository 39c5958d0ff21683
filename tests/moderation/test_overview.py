"""The overview: every figure true, from the database, cheap, and helpful when there is nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core import health
from core.calendar import SHANGHAI
from core.models import OutboxEvent, QuarantinedJob
from core.sql import load
from moderation import overview, statistics
from moderation.models import Decision, Finding, Submission, Task
from tests.moderation.test_desk import plain_static_files_and_an_empty_cache  # noqa: F401
from tests.moderation.test_queue import queued
from tests.world import BLOCKED, CLEAN, SCAM


@pytest.fixture
def noon(monkeypatch):
    """The last half past noon in Shanghai, so that "an hour ago" is today. Never one ahead: an item's id says when it
    was really made, and the figures don't look for items of this hour among older ids."""
    real = timezone.now().astimezone(SHANGHAI)
    now = real.replace(hour=12, minute=30, second=0, microsecond=0)
    now -= timedelta(days=1) if now > real else timedelta(0)
    monkeypatch.setattr(statistics.timezone, "now", lambda: now)
    return now


def decided(item, at, outcome="release", by=None):
    return Decision.objects.create(
        submission=item,
        outcome=outcome,
        by_kind="staff" if by else "policy",
        staff=by,
        policy_version=1,
        category_id="fraud.loan" if outcome == "block" else None,
        reason="x" if outcome == "block" else "",
        decided_at=at,
    )


def test_an_empty_database_says_what_to_do_next(login, world):
    Submission.objects.all().delete()
    answer = login("lin").get("/")
    html = answer.content.decode()
    assert answer.status_code == 200
    assert "curl http://testserver/api/v1/submissions" in html
    assert "manage.py ingest" in html
    assert "data-chart" not in html


def test_the_tiles_say_what_the_database_says(world, login):
    for text in (CLEAN, CLEAN, CLEAN, SCAM, SCAM, BLOCKED):
        world.submit(text)
    Task.objects.filter(pk=Task.objects.order_by("pk").first().pk).update(due_at=timezone.now() - timedelta(minutes=1))
    type(world.liu).objects.filter(pk=world.liu.pk).update(identity_status="pending")
    answer = login("lin").get("/")
    figures, today = answer.context["figures"], answer.context["today"]
    assert (figures["waiting"], figures["overdue"], figures["to_verify"], figures["held"]) == (2, 1, 1, 0)
    assert (today["received"], today["released"], today["blocked"], today["automatic"]) == (6, 3, 1, "100")
    assert today["median"]
    assert list(figures["ages"]) == [2, 0, 0, 0, 0, 0]


def test_every_chart_has_its_table(world, login):
    world.submit(SCAM)
    html = login("he").get("/").content.decode()
    assert html.count('data-chart="') == html.count('class="chart-table"') == 3
    assert "刷单兼职诈骗" in html


def test_days_are_shanghai_days(world, noon):
    item = queued(world, 1)[0]
    midnight = statistics.start_of(noon.date())
    decided(item, midnight - timedelta(seconds=1))
    decided(item, midnight, by=world.lin)
    decided(item, midnight + timedelta(hours=3), "block")
    decided(item, midnight - timedelta(days=7))  # before the seven days
    found = statistics.overview()["counts"]
    today, yesterday = noon.date().isoformat(), (noon.date() - timedelta(days=1)).isoformat()
    assert found.released == {yesterday: 1, today: 1}
    assert found.by_policy == {yesterday: 1}
    assert found.blocked == {today: 1}


def test_the_hours_that_are_over_and_the_one_that_runs_meet_without_gap_or_overlap(world, noon):
    item = queued(world, 1)[0]
    hour = noon.replace(minute=0)
    for at in (hour - timedelta(microseconds=1), hour, hour + timedelta(microseconds=1)):
        decided(item, at)
    assert sum(statistics.overview()["counts"].released.values()) == 3


def test_received_counts_by_the_moment_of_receipt(world, noon):
    items = queued(world, 3)
    yesterday = noon - timedelta(days=1)
    Submission.objects.filter(pk=items[0].pk).update(created_at=yesterday)
    Submission.objects.filter(pk=items[1].pk).update(created_at=noon - timedelta(days=8))
    Submission.objects.filter(pk=items[2].pk).update(created_at=noon)
    assert statistics.overview()["counts"].received == {yesterday.date().isoformat(): 1, noon.date().isoformat(): 1}


def test_hits_are_counted_by_category_over_seven_days(world, noon):
    item = queued(world, 1)[0]
    for category, days in (("fraud.loan", 0), ("fraud.loan", 2), ("fraud.part_time", 1), ("fraud.loan", 9), (None, 0)):
        Finding.objects.create(
            submission=item,
            side="output",
            check_name="terms",
            category_id=category,
            created_at=noon - timedelta(days=days),
        )
    assert statistics.overview()["counts"].hits == {"fraud.loan": 2, "fraud.part_time": 1}


def test_the_ages_of_the_queue(world):
    items = queued(world, 6)
    for item, minutes in zip(items, (1, 20, 90, 300, 800, 3000), strict=True):
        Task.objects.filter(pk=item.pk).update(entered_at=timezone.now() - timedelta(minutes=minutes))
    assert list(statistics.overview()["ages"]) == [1, 1, 1, 1, 1, 1]


def test_an_item_that_somebody_holds_still_waits(world):
    from moderation import queue

    queued(world, 2)
    queue.next_task(by=world.lin)
    figures = statistics.overview()
    assert (figures["waiting"], figures["at_the_desk"]) == (2, 1)


def test_the_machinery(world, login):
    world.submit()
    page = login("fang").get("/")
    assert {part["tone"] for part in page.context["system"][:1]} == {"bad"}  # no worker ever answered
    cache.clear()
    for name in statistics.WORKERS:
        health.beat(name)
    QuarantinedJob.objects.create(id=1, kind="k", subject="s", attempts=3)
    before = OutboxEvent.objects.count()
    figures = statistics.overview()
    assert figures["silent"] == []
    assert (figures["quarantined"], figures["outbox"]) == (1, before)
    assert [part["tone"] for part in overview.system(figures)] == ["ok", "ok", "bad", "ok"]


def test_figures_are_at_most_five_seconds_old(world, monkeypatch):
    kept, keep = {}, cache.set

    def note(key, value, seconds):
        kept[key.rpartition(":")[2]] = seconds
        keep(key, value, seconds)

    monkeypatch.setattr(statistics.cache, "set", note)
    world.submit()
    assert statistics.overview()["waiting"] == 0
    assert kept.pop("now") <= 5
    assert [name for name in kept if not name.startswith("until-")] == []  # hours that are over may be kept longer
    world.submit(SCAM)
    assert statistics.overview()["waiting"] == 0
    cache.delete(f"overview:{connection.settings_dict['NAME']}:now")
    assert statistics.overview()["waiting"] == 1


def test_a_cache_that_is_away_costs_queries_not_the_page(world, login, monkeypatch):
    world.submit()
    client = login("lin")

    def away(*args, **kwargs):
        raise ConnectionError

    monkeypatch.setattr(statistics.cache, "get", away)
    monkeypatch.setattr(statistics.cache, "set", away)
    assert client.get("/").status_code == 200


def test_the_page_takes_at_most_nine_queries_with_nothing_kept(world, login):
    world.submit(SCAM)
    client = login("lin")
    client.get("/submissions/")
    cache.clear()
    with CaptureQueriesContext(connection) as seen:
        assert client.get("/").status_code == 200
    assert len(seen) <= 9, [q["sql"][:120] for q in seen]
    with CaptureQueriesContext(connection) as again:
        client.get("/")
    assert len(again) <= 3, [q["sql"][:120] for q in again]


def plan(name, parameters):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + load(name), parameters)
        return "\n".join(row[0] for row in cursor.fetchall())


def test_every_count_over_the_big_tables_can_use_an_index(world):
    """A sequential scan that the planner can't avoid would show even when it is told to avoid them."""
    since, until = timezone.now() - timedelta(days=7), timezone.now()
    counted = plan(
        "moderation/overview_counts",
        {
            "since": since,
            "until": until,
            "first_id": statistics.first_id_at(since),
        },
    )
    now = plan("moderation/overview_now", {"since": since, "today": until})
    for table in ("moderation_submission", "moderation_decision", "moderation_finding", "accounts_user"):
        assert f"Seq Scan on {table}" not in counted + now, counted + now
    assert "decision_by_day" in counted and "finding_by_day" in counted and "decision_by_day" in now
    assert "submission_held" in now


def test_the_smallest_id_of_a_moment(world):
    at = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
    assert statistics.first_id_at(at) < statistics.first_id_at(at + timedelta(milliseconds=1))
    before = statistics.first_id_at(timezone.now() - timedelta(milliseconds=50))
    item = world.take()
    assert before < item.pk < statistics.first_id_at(timezone.now() + timedelta(milliseconds=50))


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, ""), (0.0384, "38 ms"), (1.26, "1.3 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_short_times_in_words(seconds, shown):
    from django.utils import translation

    with translation.override("en"):
        assert overview.in_words(seconds) == shown


@pytest.mark.parametrize("name", ["lin", "xu", "zhou", "chen", "he", "fang"])
def test_everybody_on_staff_sees_it(world, login, name):
    assert login(name).get("/").status_code == 200


def test_nobody_else_does(world, client):
    assert client.get("/").status_code == 302
