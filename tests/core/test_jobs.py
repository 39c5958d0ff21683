"""Jobs: nothing is lost, nothing is done twice, a poison job leaves after three tries (design.md §3.4)."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from typing import Any

import pytest
from django.db import connection, transaction

from core import jobs
from core.models import Job, QuarantinedJob


class Recording:
    """A kind of job whose runs are recorded; delegates to the registered kind."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.failing: set[str] = set()
        self.given_up: list[str] = []
        self.kind = jobs.register(
            jobs.Kind("test.kind", self.run, batch=4, queue="test", give_up=lambda j: self.given_up.append(j.subject))
        )

    def run(self, claimed: Any) -> dict[int, str]:
        self.runs.append([job.subject for job in claimed])
        failed = {job.id: "Broken" for job in claimed if job.subject in self.failing}
        with transaction.atomic():
            fine = [job for job in claimed if job.id not in failed]
            ours = jobs.still_ours(fine)
            jobs.finish([job for job in fine if job.id in ours])
        return failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kind, name)


@pytest.fixture
def kind() -> Any:
    yield Recording()
    del jobs.KINDS["test.kind"]


def make_due() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_job SET due_at = statement_timestamp() - interval '1 second'")


def test_jobs_run_once_and_are_gone(kind: Any, db: None) -> None:
    for n in range(10):
        jobs.enqueue("test.kind", f"s{n}")
    assert jobs.work("test") == 10
    assert Counter(s for run in kind.runs for s in run) == Counter(f"s{n}" for n in range(10))
    assert max(len(run) for run in kind.runs) == 4
    assert not Job.objects.exists()


def test_an_attempt_is_counted_before_the_run(kind: Any, db: None) -> None:
    jobs.enqueue("test.kind", "s")
    claimed = jobs.claim(kind)
    assert claimed[0].attempts == 1
    row = Job.objects.get()
    assert (row.attempts, row.lease_token) == (1, claimed[0].token)


def test_a_job_that_fails_three_times_is_quarantined_and_its_neighbours_are_done(kind: Any, db: None) -> None:
    kind.failing.add("bad")
    for subject in ("a", "bad", "b"):
        jobs.enqueue("test.kind", subject)
    for _try in range(5):
        jobs.work("test")
        make_due()
    runs = Counter(s for run in kind.runs for s in run)
    assert runs == {"a": 1, "b": 1, "bad": 3}
    row = QuarantinedJob.objects.get()
    assert (row.subject, row.attempts, row.error) == ("bad", 3, "Broken")
    assert kind.given_up == ["bad"]
    assert not Job.objects.exists()


def test_a_worker_that_never_comes_back_costs_a_try_and_the_third_is_alone(kind: Any, db: None) -> None:
    for n in range(4):
        jobs.enqueue("test.kind", f"s{n}")
    assert len(jobs.claim(kind)) == 4  # the worker dies here
    make_due()
    assert len(jobs.claim(kind, tried=1)) == 4  # and again
    make_due()
    assert len(jobs.claim(kind, tried=2)) == 1
    make_due()
    jobs.work("test")
    assert [len(run) for run in kind.runs] == [1, 1, 1]
    assert QuarantinedJob.objects.count() == 1


def test_a_late_result_is_fenced(kind: Any, db: None) -> None:
    jobs.enqueue("test.kind", "s")
    late = jobs.claim(kind)
    make_due()
    again = jobs.claim(kind, tried=1)
    with transaction.atomic():
        assert jobs.still_ours(late) == set()
        jobs.finish(late)
    assert Job.objects.count() == 1
    with transaction.atomic():
        assert jobs.still_ours(again) == {again[0].id}
        jobs.finish(again)
    assert not Job.objects.exists()


def test_a_job_given_back_in_order_starts_counting_anew(kind: Any, db: None) -> None:
    jobs.enqueue("test.kind", "s")
    job = jobs.claim(kind)[0]
    jobs.put_back(job, after=-1, reset=True)
    assert Job.objects.get().attempts == 0
    assert jobs.claim(kind)[0].attempts == 1


def test_renewing_a_lost_lease_says_so(kind: Any, db: None) -> None:
    jobs.enqueue("test.kind", "s")
    job = jobs.claim(kind)[0]
    assert jobs.renew(job, kind)
    job.token = uuid.uuid4()
    assert not jobs.renew(job, kind)


@pytest.mark.django_db(transaction=True)
def test_many_workers_never_run_a_job_twice(kind: Any) -> None:
    for n in range(300):
        jobs.enqueue("test.kind", f"s{n}")

    def labour() -> None:
        try:
            jobs.work("test", seconds=20)
        finally:
            connection.close()

    threads = [threading.Thread(target=labour) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(s for run in kind.runs for s in run) == Counter({f"s{n}": 1 for n in range(300)})
    assert not Job.objects.exists()
