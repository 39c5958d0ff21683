"""Stopped jobs: retried with fresh attempts under their number, or dropped with a reason."""

from __future__ import annotations

import pytest

from core import jobs, quarantine
from core.errors import Conflict, Forbidden, Refusal
from core.models import AuditEvent, Job, QuarantinedJob


@pytest.fixture
def flaky(monkeypatch):
    """A kind of job that fails until `flaky.well` is set."""

    class Flaky:
        well = False
        runs = 0

    def run(job):
        Flaky.runs += 1
        if not Flaky.well:
            raise RuntimeError("not yet")

    kind = jobs.Kind("test.flaky", jobs.one_by_one(run), queue="test")
    monkeypatch.setitem(jobs.KINDS, kind.name, kind)
    return Flaky


def stop(kind="test.flaky"):
    job = Job.objects.create(kind=kind, subject="s", payload={"n": 1}, request_id="rid")
    for _attempt in range(jobs.TRIES):
        Job.objects.filter(pk=job.pk).update(due_at="2026-01-01T00:00:00Z")
        jobs.work("test")
    return QuarantinedJob.objects.get(pk=job.pk)


def test_a_job_that_fails_three_times_is_stopped_and_runs_again_when_sent_round(world, flaky):
    stopped = stop()
    assert (flaky.runs, stopped.attempts, stopped.error) == (3, 3, "RuntimeError")
    assert not Job.objects.filter(kind="test.flaky").exists()
    flaky.well = True
    job = quarantine.retry(job_id=stopped.pk, by=world.xu)
    job.refresh_from_db()
    assert (job.pk, job.attempts, job.payload, job.request_id) == (stopped.pk, 0, {"n": 1}, "rid")
    jobs.work("test")
    assert flaky.runs == 4 and not Job.objects.filter(pk=job.pk).exists()
    assert not QuarantinedJob.objects.exists()
    line = AuditEvent.objects.get(action="job.retried")
    assert (line.subject, line.actor) == (f"job:{job.pk}", "staff:xu")


def test_a_poison_job_that_is_sent_round_has_three_tries_and_stops_again(world, flaky):
    stopped = stop()
    quarantine.retry(job_id=stopped.pk, by=world.fang)
    for _attempt in range(jobs.TRIES):
        Job.objects.update(due_at="2026-01-01T00:00:00Z")
        jobs.work("test")
    assert flaky.runs == 6 and QuarantinedJob.objects.get().pk == stopped.pk


def test_dropping_needs_a_reason_and_is_recorded(world, flaky):
    stopped = stop()
    with pytest.raises(Refusal) as refused:
        quarantine.drop(job_id=stopped.pk, reason=" ", by=world.xu)
    assert refused.value.errors[0]["field"] == "reason"
    quarantine.drop(job_id=stopped.pk, reason=" 不再需要 ", by=world.xu)
    assert not QuarantinedJob.objects.exists() and not Job.objects.filter(kind="test.flaky").exists()
    line = AuditEvent.objects.get(action="job.dropped")
    assert (line.reason, line.data["kind"], line.data["attempts"]) == ("不再需要", "test.flaky", 3)


def test_what_is_gone_is_refused_and_a_kind_nobody_knows_is_only_dropped(world):
    for call in (
        lambda: quarantine.retry(job_id=5, by=world.xu),
        lambda: quarantine.drop(job_id=5, reason="x", by=world.xu),
    ):
        with pytest.raises(Conflict):
            call()
    QuarantinedJob.objects.create(id=5, kind="gone", subject="s", attempts=3)
    with pytest.raises(Conflict) as refused:
        quarantine.retry(job_id=5, by=world.xu)
    assert refused.value.code == "kind_unknown"
    quarantine.drop(job_id=5, reason="x", by=world.xu)


@pytest.mark.parametrize("who", ["lin", "zhou", "chen", "he"])
def test_only_who_has_the_grant_touches_stopped_jobs(world, who):
    QuarantinedJob.objects.create(id=5, kind="webhook.deliver", subject="s", attempts=3)
    with pytest.raises(Forbidden):
        quarantine.retry(job_id=5, by=world.staff[who])
    with pytest.raises(Forbidden):
        quarantine.drop(job_id=5, reason="x", by=world.staff[who])
    assert QuarantinedJob.objects.count() == 1
