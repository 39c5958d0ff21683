"""How much a key calls: counted without a query, brought together, written once, shown by hour and day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import counters, keys, tasks, usage
from accounts.models import ApiKey, KeyUsage
from tests.conftest import Api


@pytest.fixture(autouse=True)
def nothing_counted():
    """Tests share a cache."""
    usage.hand_over()
    counters.ask(lambda client: client.delete(usage.KEPT))
    yield
    usage.hand_over()
    counters.ask(lambda client: client.delete(usage.KEPT))


def sums(key):
    return [(row.calls, row.refused) for row in KeyUsage.objects.filter(key=key).order_by("hour")]


def test_calls_and_refusals_reach_the_database_once(world):
    key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    keys.limit_key(key_id=key.pk, networks=[], per_minute=4, by=world.fang)
    for _ in range(6):
        Api(secret).get("users/wen")
    assert sums(key) == []
    usage.hand_over()
    tasks.write_key_usage()
    assert sums(key) == [(4, 2)]
    tasks.write_key_usage()
    assert sums(key) == [(4, 2)]
    Api(secret).get("users/wen")
    usage.hand_over()
    tasks.write_key_usage()
    assert sums(key) == [(4, 3)]
    row = KeyUsage.objects.get(key=key)
    assert row.hour == row.hour.replace(minute=0, second=0, microsecond=0)
    assert usage.last_used([key.pk]) == {key.pk: row.hour}


def test_counting_costs_no_query_and_no_question_to_the_cache(world, django_assert_num_queries, monkeypatch):
    def fail(question):
        raise AssertionError

    key = ApiKey.objects.get()
    with monkeypatch.context() as patched, django_assert_num_queries(0):
        patched.setattr(counters, "ask", fail)
        for _ in range(1_000):
            usage.count(key.pk)
    usage.hand_over()
    assert usage.write() == 1 and sums(key) == [(1_000, 0)]


def test_several_processes_add_up(world):
    key = ApiKey.objects.get()
    for _ in range(3):
        usage.count(key.pk)
        usage.count(key.pk, refused=True)
        usage.hand_over()
    usage.write()
    assert sums(key) == [(3, 3)]


def test_while_the_cache_is_away_nothing_is_lost(world, monkeypatch):
    key = ApiKey.objects.get()

    def away(question):
        raise counters.Away

    with monkeypatch.context() as patched:
        patched.setattr(counters, "ask", away)
        for _ in range(3):
            usage.count(key.pk)
            usage.hand_over()
        assert usage.write() == 0
    usage.hand_over()
    usage.write()
    assert sums(key) == [(3, 0)]


def test_a_busy_process_hands_over_by_itself(world, monkeypatch):
    monkeypatch.setattr(usage, "HAND_OVER", 0.01)
    usage.count(ApiKey.objects.get().pk)
    usage._timer.join(10)
    assert usage._timer is None and counters.ask(lambda client: client.hlen(usage.KEPT)) == 1


def test_what_was_counted_of_a_key_that_is_gone_is_left_out(world):
    key, _secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    usage.count(key.pk)
    usage.count(ApiKey.objects.get(prefix=world.key.split("_")[1]).pk)
    key.delete()
    usage.hand_over()
    usage.write()
    assert KeyUsage.objects.count() == 1


def test_two_writers_at_once_add_up(open_world, at_once):
    key = ApiKey.objects.get()
    for _ in range(4):
        usage.count(key.pk)
        usage.hand_over()
        assert sorted(at_once(usage.write, usage.write)) == [0, 1]
    assert sums(key) == [(4, 0)]


def test_hours_and_days_are_whole_and_days_are_shanghais(world):
    key = ApiKey.objects.get()
    now = datetime(2026, 3, 10, 2, 30, tzinfo=UTC)  # 10:30 in Shanghai
    for back, calls in ((0, 1), (1, 2), (10, 4), (11, 8), (47, 16), (48, 32)):
        hour = now.replace(minute=0) - timedelta(hours=back)
        KeyUsage.objects.create(key=key, hour=hour, calls=calls, refused=calls * 100)
    hours = usage.by_hour([key.pk], hours=48, now=now)
    assert len(hours) == 48 and [calls for _hour, calls, _refused in hours][-2:] == [2, 1]
    assert sum(calls for _hour, calls, _refused in hours) == 31
    days = usage.by_day([key.pk], days=30, now=now)
    # 16:00 UTC is midnight in Shanghai: ten hours ago is today's first hour, eleven hours ago yesterday's last.
    assert len(days) == 30 and [calls for _day, calls, _refused in days][-3:] == [32 + 16, 8, 7]
    assert days[-1][2] == 700


def test_old_counts_go_but_never_the_last_of_a_key(world, settings):
    key = ApiKey.objects.get()
    now = timezone.now()
    for days in (500, 450, 30):
        KeyUsage.objects.create(key=key, hour=now - timedelta(days=days), calls=days)
    other, _secret = keys.issue_key(client=world.client, scopes=["submissions:read"], by=world.fang)
    KeyUsage.objects.create(key=other, hour=now - timedelta(days=900), calls=900)
    tasks.forget_key_usage()
    assert sorted(KeyUsage.objects.values_list("calls", flat=True)) == [30, 900]


def test_the_page_of_a_client_shows_keys_use_and_tables(world, login):
    key = ApiKey.objects.get()
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    KeyUsage.objects.create(key=key, hour=now, calls=4711, refused=17)
    page = login("he").get(reverse("client", args=[world.client.pk]))
    text = page.content.decode()
    assert page.status_code == 200 and text.count('class="chart"') == 2 and text.count('class="chart-table"') == 2
    assert text.count("4711") >= 2 and key.prefix in text
    assert "key_rotate" not in text and reverse("key_revoke", args=[key.pk]) not in text  # the auditor only looks
