"""backtest: a draft policy over 20,000 items, looked at again with all text checks by the worker of the queue with its
two processes, against the same looking one item after the other in a plain loop of one process; and an entry, and the
same policy on the stored findings. BENCH_ROWS changes the size."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from typing import Any

from bench import place

ROWS = int(os.environ.get("BENCH_ROWS", "20000"))
LOOPED = max(100, ROWS // 10)  # the loop's speed is known after a part of them
GOAL = 120.0  # seconds for 20,000
SUSPICIOUS = ("加入我们刷单返佣，日赚五百", "内部渠道包过，扫码进群", "加微信 vx10086 领取")
RULES = [
    {"id": "B-1", "name": "check", "then": "review", "when": {"check_failed": True}},
    {"id": "B-2", "name": "all", "then": "block", "when": {"min_severity": 3}},
]


def fill() -> None:
    """Items that were screened, written as rows: one in twenty suspicious."""
    from django.db import connection

    from accounts.models import User
    from bench.text_match import ordinary_texts
    from core.ids import uuid7
    from governance.models import Function, Service
    from moderation.models import Content, Submission

    draw = random.Random(ROWS)
    texts = ordinary_texts(min(ROWS, 5000))
    service, function = Service.objects.get(code="bench"), Function.objects.get(code="writing")
    users = list(User.objects.values_list("pk", flat=True)[:200])
    for first in range(0, ROWS, 1000):
        items, contents = [], []
        for n in range(first, min(first + 1000, ROWS)):
            text = texts[n % len(texts)].decode() + (draw.choice(SUSPICIOUS) if n % 20 == 0 else "")
            item = Submission(
                pk=uuid7(), service=service, user_id=users[n % len(users)], function=function, external_id=f"b{n}",
                technology="text", state="in_review", disposition="review" if n % 20 == 0 else "release",
                body_digest=b"", policy_version=1, library_version=1,
            )  # fmt: skip
            items.append(item)
            contents.append(Content(submission=item, input_text="写一段话", output_text=text))
        Submission.objects.bulk_create(items)
        Content.objects.bulk_create(contents)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE moderation_submission, moderation_content")


def loop() -> float:
    """Items a second of a plain loop: load one, look, judge, the next."""
    from moderation import policy, screening
    from moderation.models import Submission

    tried = policy.Policy(2, RULES)
    ids = list(Submission.objects.order_by("-pk").values_list("pk", flat=True)[:LOOPED])
    started = time.perf_counter()
    for pk in ids:
        item = Submission.objects.select_related("content", "function", "service").get(pk=pk)
        tried.judge(screening.look(item).findings)
    return len(ids) / (time.perf_counter() - started)


def run(kind: str, target: str, by: Any, **given: Any) -> float:
    """Seconds from pressing the button until the report is kept."""
    from core.ids import uuid7
    from moderation import backtests

    started = time.perf_counter()
    row = backtests.start(backtest_id=uuid7(), kind=kind, target=target, scope={"last": ROWS}, by=by, **given)
    while row.state == "running":
        time.sleep(0.05)
        row.refresh_from_db(fields=["state", "reason"])
        if time.perf_counter() - started > 20 * GOAL:
            raise SystemExit(f"not done: {backtests.progress(row)}")
    took = time.perf_counter() - started
    row.refresh_from_db()
    assert row.state == "done" and row.figures["items"] == ROWS, (row.state, row.reason, row.figures.get("items"))
    return took


@contextlib.contextmanager
def worker() -> Any:
    """Relay, and the worker of long work with the product's concurrency."""
    with (
        place.process([sys.executable, "manage.py", "relay"]),
        place.process(
            [sys.executable, "manage.py", "celery", "worker", "--queues", "bulk", "--concurrency", "2",
             "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
        ),
    ):  # fmt: skip
        yield


def main() -> dict[str, float]:
    """The loop first, then the worker."""
    with place.database("bench_backtest"):
        place.django()
        place.raise_world()
        fill()
        from django.db import connection

        from accounts.models import Staff
        from core.models import Heartbeat
        from moderation import library
        from moderation.models import PolicyVersion

        xu = Staff.objects.get(username="xu")
        lin = Staff.objects.get(username="lin")
        PolicyVersion.objects.create(number=2, name="bench", rules=RULES, made_by="bench", author=xu)
        entry = library.propose(value="扫码进群", category="fraud.part_time", severity=3, by=lin)
        plain = loop()
        with worker():
            while not Heartbeat.objects.filter(name="bulk").exists():
                time.sleep(0.1)
            again = run("policy", "2", xu, look_again=True)
            feature = run("feature", str(entry.pk), xu)
            stored = run("policy", "2", xu)
        connection.close()
    figures = {
        "rows": ROWS,
        "look_again_s": again,
        "feature_s": feature,
        "stored_s": stored,
        "rate": ROWS / again,
        "loop_rate": plain,
        "ratio": ROWS / again / plain,
    }
    place.line("backtest", f"{ROWS / again:.0f} items/s", f"plain loop {plain:.0f} items/s", figures["ratio"])
    goal = GOAL * ROWS / 20_000
    place.line("backtest_total", f"{again:.1f} s for {ROWS} items", f"goal {goal:.1f} s", goal / again)
    place.line("backtest_entry", f"{feature:.1f} s", f"goal {goal:.1f} s", goal / feature)
    place.line("backtest_stored", f"{stored:.1f} s", f"goal {goal:.1f} s", goal / stored)
    return figures
