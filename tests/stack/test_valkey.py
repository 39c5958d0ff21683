import os
import signal
import time
from pathlib import Path

import pytest
import redis

from stack import addresses


@pytest.fixture
def servers(keep, tmp_path):
    keeper = keep(tmp_path / "var", "--servers").ready()
    where = addresses.resolve(Path("/nowhere"), {"MINGJIAN_DATA": str(keeper.data)})
    return keeper, redis.Redis.from_url(where.broker_client_url), redis.Redis.from_url(where.cache_url)


def answers(client):
    for _ in range(200):
        try:
            return client.ping()
        except redis.exceptions.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("it does not come up")


def test_the_broker_never_evicts_and_the_cache_may(servers):
    _, broker, cache = servers
    assert broker.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert broker.config_get("appendonly") == {"appendonly": "yes"}
    assert cache.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
    assert cache.config_get("maxmemory") == {"maxmemory": str(128 * 1024 * 1024)}


def test_they_are_two_servers(servers):
    _, broker, cache = servers
    cache.flushall()
    broker.set("message", "1")
    assert cache.get("message") is None
    cache.flushall()
    assert broker.get("message") == b"1"


def test_kill_9_of_the_broker_loses_no_message_and_the_cache_begins_empty(servers):
    keeper, broker, cache = servers
    broker.rpush("queue", *range(500))
    cache.set("page", "1")
    for name in ("valkey", "cache"):
        old = keeper.pids[name]
        os.kill(old, signal.SIGKILL)
        keeper.until_replaced(name, old)
    assert answers(broker)
    assert broker.llen("queue") == 500
    assert answers(cache)
    assert cache.get("page") is None


def test_only_its_owner_may_connect(servers):
    keeper, *_ = servers
    run = addresses.run_dir(keeper.data)
    assert run.stat().st_mode & 0o777 == 0o700
    assert addresses.broker_socket(run).stat().st_mode & 0o077 == 0
