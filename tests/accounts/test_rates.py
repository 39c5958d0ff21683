"""How often a key may call: exact at the limit, cheap below it, and still a limit while Valkey is away."""

from __future__ import annotations

import threading
import time

import pytest
from redis.exceptions import ConnectionError as CacheDown

from accounts import counters, hourly, keys, rates
from accounts.models import ApiKey
from core.ids import uuid7
from core.models import Alarm
from tests.conftest import Api


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(rates.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def asked(monkeypatch):
    """Every question to the cache."""
    questions = []
    ask = counters.ask
    monkeypatch.setattr(counters, "ask", lambda question: (questions.append(1), ask(question))[1])
    return questions


@pytest.fixture
def cache_down(monkeypatch):
    """No cache: every question that reaches it fails. Counts how many did."""
    tried = []

    def fail(*args, **kwargs):
        tried.append(1)
        raise CacheDown

    counters.forget()
    monkeypatch.setattr(counters, "_client", lambda: type("Down", (), {"__getattr__": lambda *_: fail})())
    monkeypatch.setattr(rates, "_script", lambda: fail)
    yield tried
    counters.forget()


def name():
    return f"test-{uuid7()}"


def another_process():
    """What this process took is unknown to another one."""
    rates._shares.clear()


def test_exactly_the_limit_is_let_through(db):
    who = name()
    assert [rates.take(who, 5) for _ in range(5)] == [0.0] * 5
    wait = rates.take(who, 5)
    assert 55 < wait <= 60
    assert 0 < rates.take(who, 5) <= wait


def test_processes_share_one_limit():
    who = name()
    passed = 0
    for _ in range(4):
        another_process()
        passed += sum(rates.take(who, 10) == 0.0 for _ in range(4))
    assert passed == 10


@pytest.mark.parametrize(("limit", "processes"), [(1_000, 3), (6_000, 3), (60_000, 2)])
def test_never_more_than_the_limit_and_hardly_less(limit, processes):
    """The accuracy that the module states: a process may lose what is left of its slice."""
    who, passed = name(), 0
    shares: list[dict] = [{} for _ in range(processes)]
    turn = 0
    while passed < limit:
        rates._shares = shares[turn % processes]
        turn += 1
        before = passed
        for _ in range(37):
            passed += rates.take(who, limit) == 0.0
        if passed == before:
            break
    for other in shares:
        rates._shares = other
        while rates.take(who, limit) == 0.0:
            passed += 1
    assert passed == limit
    # One process alone, while the others keep what they took:
    who, first, second = name(), {}, {}
    rates._shares = first
    assert rates.take(who, limit) == 0.0
    rates._shares = second
    alone = 0
    while rates.take(who, limit) == 0.0:
        alone += 1
    lost = limit - alone - 1
    assert 0 <= lost <= max(1, limit // rates.SLICES) - 1
    rates._shares = {}


def test_a_call_below_a_high_limit_seldom_asks_the_cache(asked):
    who = name()
    for _ in range(1_000):
        assert rates.take(who, 60_000) == 0.0
    assert len(asked) == 1_000 / (60_000 / rates.SLICES)


def test_what_was_refused_is_refused_without_asking(asked):
    who = name()
    assert rates.take(who, 1) == 0.0
    rates.take(who, 1)
    before = len(asked)
    for _ in range(100):
        assert rates.take(who, 1) > 0
    assert len(asked) == before


def test_a_new_minute_brings_a_new_allowance(clock):
    who = name()
    assert (rates.take(who, 1), rates.take(who, 1) > 0) == (0.0, True)
    counters.ask(lambda client: client.delete(f"mj:rate:{who}"))  # what Valkey does by itself after the minute
    clock.now += 59.0
    assert rates.take(who, 1) > 0  # the process believes what it was told
    clock.now += 1.1
    assert rates.take(who, 1) == 0.0


def test_threads_do_not_slip_past_each_other():
    who, passed, start = name(), [], threading.Barrier(8)

    def call():
        start.wait(10)
        passed.extend(rates.take(who, 200) == 0.0 for _ in range(100))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(passed), sum(passed)) == (800, 200)


# The cache away


def test_without_the_cache_the_limit_still_holds(cache_down):
    who = name()
    assert sum(rates.take(who, 7) == 0.0 for _ in range(50)) == 7
    assert len(cache_down) == 1  # found out once, not with every call


def test_the_cache_is_asked_again_after_a_pause_and_by_one_thread_only(cache_down, clock):
    for _ in range(5):
        rates.take(name(), 7)
    assert len(cache_down) == 1
    clock.now += counters.PAUSE + 0.1
    for _ in range(5):
        rates.take(name(), 7)
    assert len(cache_down) == 2


def test_a_cache_that_hangs_is_waited_for_once(monkeypatch):
    """A server that takes the connection and never answers, as a paused Valkey does."""
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        client = counters.Redis(
            host="127.0.0.1", port=server.getsockname()[1], socket_timeout=counters.PATIENCE,
            socket_connect_timeout=counters.PATIENCE, retry=counters.Retry(counters.NoBackoff(), 0),
        )  # fmt: skip
        monkeypatch.setattr(counters, "_client", lambda: client)
        monkeypatch.setattr(rates, "_script", lambda: client.register_script(rates.TAKE))
        counters.forget()
        started = time.perf_counter()
        assert all(rates.take(name(), 10) == 0.0 for _ in range(200))
        assert time.perf_counter() - started < 2.5  # 200 times half a second would be 100
        client.close()
    counters.forget()


def test_the_api_answers_without_the_cache(world, cache_down):
    assert Api(world.key).get("users/wen").status_code == 200


# At the API


def test_over_its_limit_a_key_gets_429_and_when_to_come_back(world):
    key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    keys.limit_key(key_id=key.pk, networks=[], per_minute=3, by=world.fang)
    caller = Api(secret)
    answers = [caller.get("users/wen") for _ in range(5)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["code"] == "rate_limited" and 1 <= int(answers[-1]["Retry-After"]) <= 60
    assert Api(world.key).get("users/wen").status_code == 200  # another key of the same client


def test_without_a_limit_of_its_own_a_key_has_the_general_one(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_KEY_PER_MINUTE", "2")
    keys.forget()
    assert [Api(world.key).get("users/wen").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("wrong", [0, -1, 2**31])
def test_a_limit_is_a_positive_number(world, wrong):
    with pytest.raises(keys.Refusal):
        keys.limit_key(key_id=ApiKey.objects.first().pk, networks=[], per_minute=wrong, by=world.fang)


def test_whoever_tries_wrong_keys_is_slowed_down_and_an_alarm_rings_once(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_KEY_GUESSES_PER_MINUTE", "5")
    tried = [f"mj_{number:010x}_{'x' * 43}" for number in range(8)]
    statuses = [Api(key).get("users/wen").status_code for key in tried]
    assert statuses == [401] * 5 + [429] * 3
    hourly.forget()
    assert Api("mj_nonsense").get("users/wen").status_code == 429
    alarm = Alarm.objects.get(kind="guessing")
    assert not any(key in f"{alarm.subject}{alarm.detail}{alarm.actor}" for key in tried)
    # Somebody else's address, and a right key from the noisy one, are served.
    assert Api("mj_nonsense").client.get("/api/v1/users/wen", REMOTE_ADDR="198.51.100.7").status_code == 401
    assert Api(world.key).get("users/wen").status_code == 200


def test_a_key_that_ended_is_no_guess(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_KEY_GUESSES_PER_MINUTE", "2")
    key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    keys.revoke_key(key_id=key.pk, reason="x", by=world.fang)
    assert [Api(secret).get("users/wen").status_code for _ in range(5)] == [401] * 5
    assert not Alarm.objects.exists()


def test_addresses_are_not_kept_in_the_clear(monkeypatch):
    monkeypatch.setenv("MINGJIAN_KEY_GUESSES_PER_MINUTE", "5")
    rates.wrong_key("198.51.100.77")
    kept = counters.ask(lambda client: [key.decode() for key in client.scan_iter("mj:rate:guess:*")])
    assert kept and not any("198.51" in key for key in kept)
    # One network of IPv6 is one caller.
    assert rates._place("2001:db8:1:2::1") == rates._place("2001:db8:1:2:ffff::9") != rates._place("2001:db8:1:3::1")
    rates.forget()


def test_a_flood_of_addresses_does_not_fill_the_memory(cache_down):
    for number in range(rates.REMEMBERED + 5_000):
        rates.take(f"flood-{number}", 5)
    assert len(rates._shares) <= rates.REMEMBERED
    rates._shares.clear()
