"""The work of a back-test: one job does one part, a few hundred neighbouring items, and writes its figures once.

A part that is killed half-way has written nothing and is done again; a part that takes long is cut, and what is left
of it becomes a part of its own. Screening comes first: while items wait for it, parts wait too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now

from accounts.models import Staff
from core import jobs
from core.models import Job
from core.roles import may
from moderation import backtest_figures, backtest_trials, backtests, classifiers, library
from moderation.backtests import JOB, WORKER
from moderation.models import Backtest, BacktestPart, Submission
from moderation.screening import JOB as SCREENING

log = structlog.get_logger("backtests")
BATCH = 100  # items looked at together
BUDGET = 30.0  # seconds after which a part is cut: well within the lease and the time limit of a task
SCREENING_LATE = 2.0  # seconds that an item may wait for screening before parts wait for it
PAUSE = 2.0
KEPT = 4  # trials that a worker keeps ready

_trials: dict[tuple[Any, ...], backtest_trials.Trial] = {}


def trial_of(run: Backtest) -> backtest_trials.Trial:
    """The run's trial with today's library and models, built once in a process."""
    key = (run.pk, library.current().version, tuple(one.id for one in classifiers.current()))
    if key not in _trials:
        while len(_trials) >= KEPT:
            _trials.pop(next(iter(_trials)))
        _trials[key] = backtest_trials.of(run)
    return _trials[key]


def run(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    """Run a job: one part."""
    job = claimed[0]
    try:
        _do(job)
    except Exception as exc:
        log.error("backtest_part_failed", job=job.id, part=job.subject, error=type(exc).__name__, exc_info=exc)
        return {job.id: type(exc).__name__}
    return {}


def _do(job: jobs.Claimed) -> None:
    part = BacktestPart.objects.select_related("backtest").filter(pk=int(job.subject)).first()
    if part is None or part.done_at is not None or part.backtest.state != "running":
        with transaction.atomic():
            if jobs.still_ours([job]):
                jobs.finish([job])
        return
    if _screening_is_late():
        jobs.put_back(job, after=PAUSE, reset=True)
        return
    done = _look(job, part)
    if done is not None:
        _write(job, part, *done)


def _screening_is_late() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM core_job WHERE kind = %s AND attempts = 0"
            " AND due_at < statement_timestamp() - %s * interval '1 second')",
            [SCREENING, SCREENING_LATE],
        )
        return cursor.fetchone()[0]


def _look(job: jobs.Claimed, part: BacktestPart) -> tuple[dict[str, Any], list[dict[str, Any]], list[UUID]] | None:
    """Figures and samples, and the ids that were left for another part; None when the lease was lost meanwhile."""
    started = time.monotonic()
    trial = trial_of(part.backtest)
    items = list(_items(part))
    outcomes, skipped, place = [], {"not_screened": 0, "without_content": 0}, 0
    while place < len(items):
        batch = items[place : place + BATCH]
        place += len(batch)
        judged = []
        for item in batch:
            if not backtest_trials.said_then(item):
                skipped["not_screened"] += 1
            elif not hasattr(item, "content"):
                skipped["without_content"] += 1
            else:
                judged.append(item)
        outcomes += trial.outcomes(judged)
        if not jobs.renew(job, KIND):
            return None
        if time.monotonic() - started > BUDGET:
            break
    figures, samples = backtest_figures.count(outcomes, of_hits=trial.of_hits)
    figures |= {
        "skipped": skipped,
        "looked": {trial.how: len(outcomes)},
        "seconds": round(time.monotonic() - started, 3),
    }
    if trial.library is not None:
        figures["library"] = {str(trial.library): len(outcomes)}
        figures["models"] = {trial.models: len(outcomes)}
    return figures, samples, [item.pk for item in items[place:]]


def _items(part: BacktestPart) -> Any:
    used = part.backtest.used
    items = Submission.objects.filter(
        pk__gte=part.first_id, pk__lte=part.last_id, created_at__lt=datetime.fromisoformat(used["until"])
    )
    if used["since"]:
        items = items.filter(created_at__gte=datetime.fromisoformat(used["since"]))
    return (
        items.select_related("content", "function", "service").defer("screened", "label", "body_digest").order_by("pk")
    )


def _write(
    job: jobs.Claimed, part: BacktestPart, figures: dict[str, Any], samples: list[dict[str, Any]], left: list[UUID]
) -> None:
    with transaction.atomic():
        if not jobs.still_ours([job]):
            return
        run = backtests.locked(part.backtest_id)
        part = BacktestPart.objects.select_for_update().get(pk=part.pk)
        if run.state == "running" and part.done_at is None:
            person = Staff.objects.filter(pk=run.used["for"]).first()  # anew: the grant may be gone (ruling 7)
            if may(person, "backtest.run"):
                part.figures, part.samples, part.done_at = figures, samples, Now()
                part.save(update_fields=["figures", "samples", "done_at"])
                if left:
                    _cut(part, left)
                if not run.parts.filter(done_at=None).exists():
                    backtests.finish(run)
            else:
                backtests.stop(run, "fail", by=WORKER, reason=backtests.GRANT_LOST)
        jobs.finish([job])


def _cut(part: BacktestPart, left: list[UUID]) -> None:
    """The part ends before the items that are left; they become a part of their own."""
    last = BacktestPart.objects.filter(backtest=part.backtest_id).aggregate(Max("number"))["number__max"]
    rest = BacktestPart.objects.create(
        backtest_id=part.backtest_id, number=last + 1, first_id=left[0], last_id=part.last_id, items=len(left)
    )
    # What comes before the first item that is left is this part's.
    part.last_id, part.items = UUID(int=left[0].int - 1), part.items - len(left)
    part.save(update_fields=["last_id", "items"])
    Job.objects.create(kind=JOB, subject=str(rest.pk))


def give_up(job: jobs.Claimed) -> None:
    """A part that could not be done in three tries stops the run; it can go on from there."""
    part = BacktestPart.objects.filter(pk=int(job.subject), done_at=None).first()
    if part is None:
        return
    run = backtests.locked(part.backtest_id)
    if run.state == "running":
        backtests.stop(run, "fail", by=WORKER, reason="part_failed")


KIND = jobs.register(jobs.Kind(JOB, run=run, batch=1, lease="backtest_lease", give_up=give_up, queue=jobs.BULK))
