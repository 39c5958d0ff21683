"""Jobs: work that must happen, kept in PostgreSQL with a lease by the database's clock (design.md §3.4).

Celery carries wake-ups without content. A worker that is woken claims due jobs in one statement, runs them and finishes
them with its fencing token. A job is tried three times; then it is quarantined and a person is told.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from django.db import connection, transaction

from core import metrics
from core.models import Job
from core.options import option
from core.requests import request_id
from core.sql import run

log = structlog.get_logger("jobs")
TRIES = 3
# The queue of long work that may wait. Only its own worker runs it, at low priority: elsewhere it would hold others up.
BULK = "bulk"
# The queue of what looks into files, for the same reason; its worker alone holds the models that read pictures.
MEDIA = "media"
APART = (BULK, MEDIA)


@dataclass(slots=True)
class Claimed:
    """A job that this worker holds until its lease runs out."""

    id: int
    subject: str
    payload: dict[str, Any]
    attempts: int
    request_id: str
    token: uuid.UUID


@dataclass(frozen=True)
class Kind:
    """A kind of job: how it is run and what becomes of one that failed three times.

    `run(jobs)` gets up to `batch` claimed jobs and answers `{job id: error}` for those that failed; it finishes the
    others itself, in the transaction of their effect, by `finish()`. `give_up(job)` runs in the transaction that
    quarantines the job, so that whatever waits for it goes to a person.
    """

    name: str
    run: Callable[[Sequence[Claimed]], dict[int, str]]
    batch: int = 1
    lease: str = "job_lease"
    queue: str = "work"
    give_up: Callable[[Claimed], None] | None = None


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Make a kind of job known; called when an app is ready."""
    KINDS[kind.name] = kind
    return kind


def one_by_one(run: Callable[[Claimed], None]) -> Callable[[Sequence[Claimed]], dict[int, str]]:
    """For kinds whose jobs have nothing to share: each runs in one transaction with its own finish."""

    def run_all(claimed: Sequence[Claimed]) -> dict[int, str]:
        failed = {}
        for job in claimed:
            try:
                with transaction.atomic():
                    if still_ours([job]):
                        run(job)
                        finish([job])
            except Exception as exc:
                log.warning("job_failed", kind=run.__name__, job=job.id, error=type(exc).__name__, exc_info=exc)
                failed[job.id] = type(exc).__name__
        return failed

    return run_all


def enqueue(kind: str, subject: str, payload: dict[str, Any] | None = None) -> Job:
    """Add a job to the caller's transaction: it exists exactly if the caller commits."""
    return Job.objects.create(kind=kind, subject=subject, payload=payload or {}, request_id=request_id())


def worker_name() -> str:
    """Who holds a lease, for people who look."""
    return f"{socket.gethostname()}:{os.getpid()}"


# How many jobs are claimed together by how often they were tried: all of a batch die with a job that kills its worker,
# so the second try is in small company and the third alone. A poison job is out after exactly three tries and its
# neighbours, who shared at most two of them, are done.
COMPANY = {0: None, 1: 8, 2: 1}


def claim(kind: Kind, *, tried: int = 0) -> list[Claimed]:
    """Claim due jobs that were tried so many times before (0, 1 or 2)."""
    token = uuid.uuid4()
    rows = run(
        "core/claim_jobs",
        {
            "kind": kind.name,
            "most": min(kind.batch, COMPANY[tried] or kind.batch),
            "tried": tried,
            "token": token,
            "worker": worker_name(),
            "lease": option(kind.lease),
        },
    )
    return [
        Claimed(id=r[0], subject=r[1], payload=_json(r[2]), attempts=r[3], request_id=r[4], token=token) for r in rows
    ]


def _json(value: Any) -> dict[str, Any]:
    # A raw cursor under Django answers jsonb as text.
    if isinstance(value, str | bytes):
        return msgspec.json.decode(value)
    return value


def still_ours(claimed: Sequence[Claimed]) -> set[int]:
    """Lock those of the jobs whose lease still carries our token. A worker that slept past its lease finds its jobs
    here with another token, or gone, and must not write their results (security.md P11)."""
    if not claimed:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM core_job WHERE id = ANY(%s) AND lease_token = %s ORDER BY id FOR UPDATE",
            [[job.id for job in claimed], claimed[0].token],
        )
        ours = {row[0] for row in cursor.fetchall()}
    if len(ours) < len(claimed):
        metrics.JOBS_FENCED.inc(len(claimed) - len(ours))
        log.warning("fenced", jobs=[job.id for job in claimed if job.id not in ours])
    return ours


def finish(claimed: Sequence[Claimed]) -> None:
    """Remove jobs in the transaction of their effect; the caller holds them by `still_ours`."""
    if claimed:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM core_job WHERE id = ANY(%s) AND lease_token = %s",
                [[job.id for job in claimed], claimed[0].token],
            )


def put_back(job: Claimed, *, after: float, reset: bool = False) -> None:
    """Give a job back, due again in `after` seconds. `reset` when the run ended in order and must not count towards
    quarantine, e.g. a webhook receiver that answered 500."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE core_job SET due_at = statement_timestamp() + %s * interval '1 second', lease_token = NULL,"
            " leased_by = '', attempts = CASE WHEN %s THEN 0 ELSE attempts END WHERE id = %s AND lease_token = %s",
            [after, reset, job.id, job.token],
        )


def renew(job: Claimed, kind: Kind) -> bool:
    """Prolong the lease of a long run; False when it was lost and the run should stop."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE core_job SET due_at = statement_timestamp() + %s * interval '1 second'"
            " WHERE id = %s AND lease_token = %s",
            [option(kind.lease), job.id, job.token],
        )
        return cursor.rowcount == 1


def quarantine_spent(kind: Kind, error: str = "no answer") -> int:
    """Take jobs out whose three attempts are used up, and let `give_up` send what waits for them to a person."""
    with transaction.atomic():
        rows = run("core/quarantine_jobs", {"kind": kind.name, "tries": TRIES, "error": error})
        for row in rows:
            job = Claimed(row[0], row[1], _json(row[2]), row[3], row[4], uuid.UUID(int=0))
            log.error("quarantined", kind=kind.name, job=job.id, subject=job.subject, request_id=job.request_id)
            metrics.JOBS_QUARANTINED.labels(kind.name).inc()
            if kind.give_up:
                kind.give_up(job)
    return len(rows)


def work(queue: str, *, seconds: float = 5.0) -> int:
    """Do due jobs of a queue until there are none or the time is up; returns how many were run. The time bound lets a
    stopping worker stop, and lets other kinds of the queue have their turn."""
    until = time.monotonic() + seconds
    done = 0
    kinds = [kind for kind in KINDS.values() if kind.queue == queue]
    busy = True
    while busy and time.monotonic() < until:
        busy = False
        for kind in kinds:
            # Those that were tried before have their turn in every round, so that newcomers can't starve them.
            for tried in COMPANY:
                if claimed := claim(kind, tried=tried):
                    done += _run(kind, claimed)
                    busy = True
    for kind in kinds:
        quarantine_spent(kind)
    return done


def _run(kind: Kind, claimed: list[Claimed]) -> int:
    started = time.perf_counter()
    alone = len(claimed) == 1
    if alone and claimed[0].request_id:
        structlog.contextvars.bind_contextvars(request_id=claimed[0].request_id)
    try:
        failed = kind.run(claimed)
    except Exception as exc:
        log.error("jobs_failed", kind=kind.name, jobs=[j.id for j in claimed], error=type(exc).__name__, exc_info=exc)
        failed = {job.id: type(exc).__name__ for job in claimed}
    finally:
        if alone:
            structlog.contextvars.unbind_contextvars("request_id")
    for job in claimed:
        if job.id in failed:
            if job.attempts >= TRIES:
                put_back(job, after=0)
                quarantine_spent(kind, failed[job.id])
            else:
                put_back(job, after=0.2 * 4**job.attempts)
    metrics.JOBS_RUN.labels(kind.name).inc(len(claimed))
    metrics.JOB_SECONDS.labels(kind.name).observe((time.perf_counter() - started) / len(claimed))
    return len(claimed)


def due_by_queue() -> dict[str, int]:
    """How many jobs are due, by queue (counted up to 1,000 a kind: the relay only needs to know whether to wake)."""
    counts: dict[str, int] = {}
    with connection.cursor() as cursor:
        for kind in KINDS.values():
            cursor.execute(
                "SELECT count(*) FROM (SELECT 1 FROM core_job WHERE kind = %s AND due_at <= statement_timestamp() LIMIT 1000) AS due",
                [kind.name],
            )
            counts[kind.queue] = counts.get(kind.queue, 0) + cursor.fetchone()[0]
    return counts
