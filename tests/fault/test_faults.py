"""The fault matrix of the main road: whatever is killed, paused or emptied in the middle of 1,000 items, each accepted
item reaches its end once (design.md §3.4)."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fault.poison import MARK
from tests.installation import LEASE, Stack, alive, children, group

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]
ITEMS = 1_000


def lines(run: str, first: int, count: int, text: str = "秋天的旧书店里有阳光和灰尘") -> bytes:
    return b"\n".join(
        json.dumps(
            {
                "external_id": f"{run}-{n}", "user": "tuyan-u0001", "function": "writing", "technology": "text",
                "input": {"text": "写一段话"},
                "output": {"text": "加入我们刷单返佣，日赚五百" if n % 20 == 0 else f"{text}{n}"},
            }, ensure_ascii=False,
        ).encode()
        for n in range(first, first + count)
    )  # fmt: skip


def feed(stack: Stack, count: int = ITEMS) -> str:
    """Hand in `count` items by batch; answers the run's name once all were accepted."""
    run = uuid.uuid4().hex[:8]
    for first in range(0, count, 500):
        status, answer, _took = stack.call(
            "/api/v1/submissions/batch",
            lines(run, first, min(500, count - first)),
            **{"Content-Type": "application/x-ndjson"},
        )
        assert status == 200
        assert {json.loads(line)["status"] for line in answer.splitlines()} == {202}
    return run


def states(stack: Stack, run: str) -> dict[str, int]:
    with stack.database() as db:
        return dict(
            db.execute(
                "SELECT state, count(*) FROM moderation_submission WHERE external_id LIKE %s GROUP BY state",
                [f"{run}-%"],
            ).fetchall()
        )


def settled_once(stack: Stack, run: str, within: float, count: int = ITEMS) -> dict[str, int]:
    """Wait until nothing of the run is in screening, at most `within` seconds; check that each item was settled once."""
    until = time.monotonic() + within
    while (found := states(stack, run)).get("screening"):
        assert time.monotonic() < until, f"still in screening after {within} s: {found}"
        time.sleep(0.1)
    assert sum(found.values()) == count
    with stack.database() as db:
        doubled = db.execute(
            "SELECT count(*) FROM (SELECT d.submission_id FROM moderation_decision d JOIN moderation_submission s"
            " ON s.id = d.submission_id WHERE s.external_id LIKE %s GROUP BY 1 HAVING count(*) > 1) AS twice",
            [f"{run}-%"],
        ).fetchone()
        decided = db.execute(
            "SELECT count(*) FROM moderation_decision d JOIN moderation_submission s ON s.id = d.submission_id"
            " WHERE s.external_id LIKE %s",
            [f"{run}-%"],
        ).fetchone()
        waiting = db.execute(
            "SELECT count(*) FROM moderation_task t JOIN moderation_submission s ON s.id = t.submission_id"
            " WHERE s.external_id LIKE %s",
            [f"{run}-%"],
        ).fetchone()
    assert doubled == (0,)
    assert decided == (found.get("released", 0) + found.get("blocked", 0),)
    assert waiting == (found.get("in_review", 0),)
    return found


def halfway(stack: Stack, run: str) -> None:
    """Return as soon as some items of the run are done and, if it can be caught, others are not."""
    until = time.monotonic() + 20
    while not states(stack, run).get("released"):
        assert time.monotonic() < until
        time.sleep(0.005)


def test_the_worker_group_is_killed(stack: Stack) -> None:
    run = feed(stack)
    halfway(stack, run)
    group(stack.pid("worker"), signal.SIGKILL)
    found = settled_once(stack, run, LEASE + 10)
    assert found == {"released": ITEMS - ITEMS // 20, "in_review": ITEMS // 20}
    stack.wait_ready()


def test_a_single_child_is_killed(stack: Stack) -> None:
    run = feed(stack)
    halfway(stack, run)
    for child in children(stack.pid("worker"))[:1]:
        os.kill(child, signal.SIGKILL)
    settled_once(stack, run, LEASE + 10)
    stack.wait_ready()


def test_the_worker_sleeps_past_its_lease_and_its_late_results_are_fenced(stack: Stack) -> None:
    run = feed(stack)
    halfway(stack, run)
    pid = stack.pid("worker")
    group(pid, signal.SIGSTOP)
    time.sleep(LEASE + 1)
    group(pid, signal.SIGCONT)
    settled_once(stack, run, LEASE + 10)


def test_the_broker_is_emptied(stack: Stack) -> None:
    run = feed(stack)
    stack.broker().flushall()
    halfway(stack, run)
    stack.broker().flushall()
    settled_once(stack, run, LEASE + 10)


def test_postgresql_is_restarted(stack: Stack) -> None:
    run = feed(stack)
    halfway(stack, run)
    os.kill(stack.pid("postgres"), signal.SIGINT)  # a fast shutdown; the supervisor starts it again
    stack.wait_ready()
    settled_once(stack, run, LEASE + 10)


def test_postgresql_crashes(stack: Stack) -> None:
    run = feed(stack)
    halfway(stack, run)
    os.kill(stack.pid("postgres"), signal.SIGKILL)
    stack.wait_ready()
    settled_once(stack, run, LEASE + 10)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL], ids=["restart", "crash"])
def test_idle_workers_answer_again_after_postgresql_went_away(stack: Stack, sig: int) -> None:
    """Celery keeps connections over many tasks; one that died must not make an idle worker deaf."""
    os.kill(stack.pid("postgres"), sig)
    stack.wait_ready()
    with stack.database() as db:
        since = db.execute("SELECT now()").fetchone()
        until = time.monotonic() + 20
        while True:
            rows = db.execute("SELECT name FROM core_heartbeat WHERE at > %s ORDER BY name", since).fetchall()
            if [row[0] for row in rows] == ["bulk", "courier", "media", "work"]:
                break
            assert time.monotonic() < until, rows
            time.sleep(0.2)


def test_with_the_broker_paused_a_post_still_answers_within_half_a_second(stack: Stack) -> None:
    broker = stack.pid("valkey")
    os.kill(broker, signal.SIGSTOP)
    try:
        run = uuid.uuid4().hex[:8]
        took = []
        for n in range(20):
            body = lines(run, n, 1)
            status, _answer, seconds = stack.call("/api/v1/submissions", body)
            assert status == 202
            took.append(seconds)
        assert max(took) < 0.5, took
    finally:
        os.kill(broker, signal.SIGCONT)
    settled_once(stack, run, LEASE + 20, count=20)
    stack.wait_ready()


def test_the_web_process_is_killed_and_a_repeated_post_gives_the_same_item(stack: Stack) -> None:
    body = lines(uuid.uuid4().hex[:8], 1, 1)
    _status, first, _took = stack.call("/api/v1/submissions", body)
    group(stack.pid("web"), signal.SIGKILL)
    stack.wait_ready()
    status, again, _took = stack.call("/api/v1/submissions", body)
    assert (status, json.loads(again)["id"]) == (200, json.loads(first)["id"])


def test_a_poison_item_is_quarantined_after_exactly_three_tries_and_its_neighbours_are_done(stack: Stack) -> None:
    run = uuid.uuid4().hex[:8]
    rows = lines(run, 1, 60).splitlines()
    poison = json.loads(rows[30])
    poison["output"]["text"] = MARK
    rows[30] = json.dumps(poison).encode()
    status, _answer, _took = stack.call(
        "/api/v1/submissions/batch", b"\n".join(rows), **{"Content-Type": "application/x-ndjson"}
    )
    assert status == 200
    found = settled_once(stack, run, 3 * (LEASE + 10), count=60)
    assert found == {"released": 56, "in_review": 4}
    with stack.database() as db:
        row = db.execute(
            "SELECT q.attempts, s.state, s.rule FROM core_quarantinedjob q JOIN moderation_submission s"
            " ON s.id = q.subject::uuid WHERE s.external_id = %s",
            [poison["external_id"]],
        ).fetchone()
    assert row == (3, "in_review", "screening_failed")
    stack.wait_ready()


class Receiver:
    """A webhook receiver that fails at first and remembers what it was sent."""

    def __init__(self, failures: int):
        self.seen: list[tuple[dict[str, str], bytes]] = []
        outer = self
        left = [failures]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
                left[0] -= 1
                self.send_response(500 if left[0] >= 0 else 200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def receiver(stack: Stack) -> Iterator[Receiver]:
    running = Receiver(failures=2)
    _status, answer, _took = stack.call("/api/v1/webhooks", json.dumps({"url": running.url}).encode())
    running.secret = json.loads(answer)["secret"]  # type: ignore[attr-defined]
    yield running
    with stack.database() as db:
        db.execute("UPDATE core_webhookendpoint SET active = false WHERE url = %s", [running.url])
    running.server.shutdown()


def test_the_webhook_arrives_signed_the_same_on_every_attempt(stack: Stack, receiver: Receiver) -> None:
    from standardwebhooks.webhooks import Webhook

    assert receiver.secret == stack.ready["webhook_secret"]  # type: ignore[attr-defined]
    run = uuid.uuid4().hex[:8]
    stack.call("/api/v1/submissions", lines(run, 1, 1))
    until = time.monotonic() + 30
    while len(receiver.seen) < 3:
        assert time.monotonic() < until, f"only {len(receiver.seen)} attempts"
        time.sleep(0.1)
    assert len({headers["webhook-id"] for headers, _body in receiver.seen}) == 1
    assert len({body for _headers, body in receiver.seen}) == 1
    for headers, body in receiver.seen:
        told = Webhook(stack.ready["webhook_secret"]).verify(body, headers)
        assert told["type"] == "submission.released"
        assert told["data"]["external_id"] == f"{run}-1"


def test_prefer_wait_answers_with_the_verdict(stack: Stack) -> None:
    stack.wait_ready()
    for n, state in ((1, "released"), (20, "in_review")):
        status, answer, took = stack.call("/api/v1/submissions", lines(uuid.uuid4().hex[:8], n, 1), Prefer="wait=5")
        told = json.loads(answer)
        assert (status, told["state"], told["disposition"]) == (200, state, "release" if n == 1 else "review")
        assert took < 5


def test_everything_is_killed_at_once_but_the_supervisor(stack: Stack) -> None:
    run = feed(stack)
    halfway(stack, run)
    before = stack.ready["pids"]
    for name, pid in before.items():
        if name != "supervisor" and alive(pid):
            os.kill(pid, signal.SIGKILL)
    stack.wait_ready(90)
    settled_once(stack, run, LEASE + 10)
    assert stack.pid("postgres") != before["postgres"]
