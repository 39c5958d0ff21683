"""Back-tests: a draft policy, an entry of the library or a model is tried on items of the past before it touches anybody.

A run is cut into parts of neighbouring items, each done by one job (`moderation.backtest_parts`); the figures of a part
are written once. What is tried is kept in the run as it was when the run began, whatever becomes of the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import audit, evidence, jobs, jsonbody
from core.errors import Conflict, NotFound, Refusal, field_error
from core.models import Job, QuarantinedJob
from core.options import option
from core.requests import request_id
from core.roles import actor, check
from core.sql import run as run_sql
from core.states import transition
from moderation import backtest_figures, library, policy
from moderation.entries import Entry
from moderation.models import Backtest, Classifier, Feature, PolicyVersion
from moderation.states import BACKTEST
from moderation.statistics import first_id_at

JOB = "moderation.backtest_part"
PART = 500  # items
AT_ONCE = 2  # runs of the installation
SHANGHAI = ZoneInfo("Asia/Shanghai")
FORMAT = "mingjian.backtest/1"
_SKEW = timedelta(hours=1)  # how far the clock that made an id may be from the database's
_LAST_ID = UUID(int=(1 << 128) - 1)
WORKER = "system:worker"

GRANT_LOST = "grant_lost"
STOPPED = {
    GRANT_LOST: _("Whoever let it run may not do that any more. Somebody who may can let it go on."),
    "part_failed": _("A part could not be done in three tries. The list of stopped jobs says why; it can go on."),
}


# Starting


def start(
    *,
    backtest_id: UUID,
    kind: str,
    target: str,
    scope: Mapping[str, Any],
    by: Any,
    look_again: bool = False,
) -> Backtest:
    """Begin a run over `{"last": n}` items or the Shanghai days `{"from": date, "to": date}`, the last one not included
    (contract.md ruling 13). `backtest_id` was chosen when the form was shown: the same form twice is one run.

    Refuses an unknown or retired target, a scope without items or with more than `backtest_most`, a third run at once,
    and a second run of the same target over the same items while the first goes on.
    """
    check(by, "backtest.run")
    with transaction.atomic():
        _one_at_a_time()
        if same := Backtest.objects.filter(pk=backtest_id).first():
            return same
        kept, revision = _target(kind, target)
        since, until, most, told = _scope(scope)
        _refuse_too_many(kind, target, revision, told)
        with connection.cursor() as cursor:
            cursor.execute("SELECT statement_timestamp()")
            now: datetime = cursor.fetchone()[0]
        until = min(until, now) if until else now
        run = Backtest(
            pk=backtest_id,
            kind=kind,
            target=target,
            target_revision=revision,
            scope=told,
            started_by=by,
            started_at=now,
            used={
                "target": kept,
                "policy": policy.live_number(),
                "library": library.current().version,
                "look_again": look_again or kind != "policy",
                "until": until.isoformat(),
                "since": since.isoformat() if since else "",
                "for": str(by.pk),
                "going_since": now.isoformat(),
            },
        )
        run.save(force_insert=True)
        run.total = _cut(run, since, until, most)
        if not run.total:
            raise _wrong("scope", "empty", _("There are no items in this scope."))
        if run.total > _limit():
            raise _wrong(
                "scope",
                "too_many",
                _("The period holds more than %(most)s items. Choose a shorter one.") % {"most": f"{_limit():,}"},
            )
        run.save(update_fields=["total"])
        audit.record(
            action="backtest.start",
            subject=f"backtest:{run.pk}",
            by=by,
            data={"kind": kind, "target": target, "revision": revision, "scope": told, "items": run.total},
        )
    return run


def _one_at_a_time() -> None:
    # Two people who press at once are asked one after the other.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('moderation.backtests'))")


def _refuse_too_many(kind: str, target: str, revision: int, scope: dict[str, Any]) -> None:
    running = list(Backtest.objects.filter(state="running"))
    for other in running:
        if (other.kind, other.target, other.target_revision, other.scope) == (kind, target, revision, scope):
            raise Conflict(
                "already_running", _("The same back-test is running already."), extra={"existing_id": str(other.pk)}
            )
    _refuse_full(len(running))


def _refuse_full(running: int) -> None:
    if running >= AT_ONCE:
        raise Conflict(
            "backtests_busy",
            _("%(n)s back-tests are running. Wait until one has ended, or abort one.") % {"n": running},
        )


def _target(kind: str, target: str) -> tuple[dict[str, Any], int]:
    """What a run keeps of its target, and the revision it has now."""
    row = find_target(kind, target)
    if row is None:
        raise _wrong("target", "unknown", _("Choose what is tried."))
    if row.state == "retired" and kind != "policy":
        raise _wrong("target", "retired", _("This is retired: there is nothing to decide about it any more."))
    return content_of(row)


def find_target(kind: str, target: str) -> PolicyVersion | Feature | Classifier | None:
    """The record that a kind and a number name, or None."""
    models: dict[str, Any] = {"policy": PolicyVersion, "feature": Feature, "model": Classifier}
    if kind not in models or not target.isdecimal() or len(target) > 9:
        return None
    return models[kind].objects.filter(pk=int(target)).first()


def content_of(row: PolicyVersion | Feature | Classifier) -> tuple[dict[str, Any], int]:
    """What of a target is tried, and its revision."""
    if isinstance(row, PolicyVersion):
        return {"number": row.number, "name": row.name, "rules": row.rules}, row.revision
    if isinstance(row, Feature):
        entry = Entry(
            row.pk, row.version, row.value, row.category_id, row.severity, row.kind, row.options, row.data, row.allow,
            row.rollout,
        )  # fmt: skip
        return {"entry": asdict(entry), "replaces": row.replaces_id}, row.version
    return {"id": row.pk, "name": row.name, "labels": row.labels, "artefact": row.artefact_id}, row.version


def changed_since(run: Backtest) -> bool:
    """Whether the target is another today than the one that was tried."""
    row = find_target(run.kind, run.target)
    return row is None or content_of(row) != (run.used["target"], run.target_revision)


def _limit() -> int:
    return int(option("backtest_most"))


def _scope(scope: Mapping[str, Any]) -> tuple[datetime | None, datetime | None, int, dict[str, Any]]:
    """Since and until (None: no bound), at most how many, and the scope as it is kept."""
    if "last" in scope:
        last = scope["last"]
        if not isinstance(last, int) or not 1 <= last <= _limit():
            raise _wrong("last", "range", _("Choose from 1 to %(most)s items.") % {"most": f"{_limit():,}"})
        return None, None, last, {"last": last}
    first, end = scope.get("from"), scope.get("to")
    if not isinstance(first, date) or not isinstance(end, date):
        raise _wrong("scope", "required", _("Say how many items, or from which day to which."))
    if first >= end:
        raise _wrong("to", "order", _("The period ends before it begins; the last day is not included."))
    # One more than may be: then it is told apart from a period that just fits.
    return _day(first), _day(end), _limit() + 1, {"from": first.isoformat(), "to": end.isoformat()}


def _day(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=SHANGHAI)


def _cut(run: Backtest, since: datetime | None, until: datetime, most: int) -> int:
    rows = run_sql(
        "moderation/backtest_parts",
        {
            "backtest": run.pk,
            "first_id": first_id_at(since - _SKEW) if since else UUID(int=0),
            "end_id": first_id_at(until + _SKEW) if since else _LAST_ID,
            "since": since or datetime(1, 1, 2, tzinfo=SHANGHAI),
            "until": until,
            "most": most,
            "size": PART,
            "kind": JOB,
            "request_id": request_id(),
        },
    )
    return rows[0][0]


# Stopping and going on


def abort(*, backtest_id: UUID, by: Any) -> Backtest:
    """Stop a run: what is being done is thrown away, the figures of the parts that are done stay."""
    check(by, "backtest.run")
    with transaction.atomic():
        run = locked(backtest_id)
        stop(run, "abort", by=by)
    return run


def stop(run: Backtest, action: str, *, by: Any, reason: str = "") -> None:
    """End a locked run before its time, with the figures of the parts that are done. Those in work are fenced by the
    run's state; the others leave the queue."""
    done, samples, figures = collected(run)
    run.figures, run.ended_at, run.reason = {**figures, "samples": samples}, Now(), reason
    transition(
        BACKTEST, run, action, by=by, reason=reason, also=["figures", "ended_at", "reason"],
        data={"parts_done": done, "items": figures.get("items", 0)},
    )  # fmt: skip
    undone = [str(pk) for pk in run.parts.filter(done_at=None).values_list("pk", flat=True)]
    Job.objects.filter(kind=JOB, subject__in=undone, lease_token=None).delete()
    run.refresh_from_db()


def resume(*, backtest_id: UUID, by: Any) -> Backtest:
    """Go on with a run that was aborted or failed: only what is missing is done. From now on it runs for this person."""
    check(by, "backtest.run")
    with transaction.atomic():
        _one_at_a_time()
        run = locked(backtest_id)
        if run.state in ("aborted", "failed"):
            _refuse_full(Backtest.objects.filter(state="running").count())
        missing = list(run.parts.filter(done_at=None).order_by("number").values_list("pk", flat=True))
        stopped, _by_kind = QuarantinedJob.objects.filter(kind=JOB, subject__in=[str(pk) for pk in missing]).delete()
        with connection.cursor() as cursor:
            cursor.execute("SELECT statement_timestamp()")
            now = cursor.fetchone()[0]
        run.used = {**run.used, "for": str(by.pk), "going_since": now.isoformat()}
        run.ended_at, run.reason = None, ""
        transition(
            BACKTEST, run, "resume", by=by, also=["used", "ended_at", "reason"],
            data={"parts_missing": len(missing), "stopped_jobs_removed": stopped},
        )  # fmt: skip
        # A part may get a second job, e.g. where the first is just finding the run aborted: its figures count once.
        Job.objects.bulk_create([Job(kind=JOB, subject=str(pk), request_id=request_id()) for pk in missing])
        if not missing:
            finish(run)
    return run


def locked(backtest_id: UUID) -> Backtest:
    """A run, locked; refuses with 404 where there is none."""
    run = Backtest.objects.select_for_update(of=("self",)).filter(pk=backtest_id).first()
    if run is None:
        raise NotFound("not_found", _("There is no such back-test."))
    return run


# The end


def finish(run: Backtest) -> None:
    """Every part is done: add up, keep the report as evidence, end. The caller holds the run."""
    parts, samples, figures = collected(run)
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        run.ended_at = cursor.fetchone()[0]
    run.figures = {**figures, "samples": samples}
    run.report = evidence.store([report(run, figures, samples)], media_type="application/json")
    transition(
        BACKTEST, run, "finish", by=WORKER, also=["figures", "ended_at", "report"],
        data={"parts": parts, "items": figures.get("items", 0), "report": run.report_id},
    )  # fmt: skip
    run.parts.update(samples=[])  # the run has those that were chosen from all of them


def figures_of(run: Backtest) -> dict[str, Any]:
    """The figures of a run that has ended, or those of the parts that are done so far (without samples)."""
    if run.state != "running":
        return run.figures
    done = run.parts.exclude(done_at=None).order_by("number").values_list("figures", flat=True)
    return backtest_figures.merge(figures or {} for figures in done)


def collected(run: Backtest) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """How many parts are done, their samples and the sums of their figures."""
    done = list(run.parts.exclude(done_at=None).order_by("number").values_list("figures", "samples"))
    return (
        len(done),
        backtest_figures.merge_samples(samples for _figures, samples in done),
        backtest_figures.merge(figures or {} for figures, _samples in done),
    )


def report(run: Backtest, figures: dict[str, Any], samples: list[dict[str, Any]]) -> bytes:
    """The report as it is kept: what was tried on which items with which versions, and all figures. Items are named by
    their number; no text of theirs is in it."""
    said = {
        "format": FORMAT,
        "id": str(run.pk),
        "kind": run.kind,
        "target": run.target,
        "target_revision": run.target_revision,
        "used": {name: value for name, value in run.used.items() if name not in ("for", "going_since")},
        "scope": run.scope,
        "started_by": actor(run.started_by),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "figures": figures,
        "samples": samples,
        "parts": [
            {"number": part.number, "first": str(part.first_id), "last": str(part.last_id), "items": part.items}
            for part in run.parts.order_by("number")
        ],
    }
    return jsonbody.encode(said)


# Looking


def progress(run: Backtest) -> dict[str, Any]:
    """How far a run is: `parts`, `parts_done`, `items`, `items_done`, items a second since it began or went on, seconds
    left (None: not known yet), and whether its worker has been silent."""
    rows = run_sql(
        "moderation/backtest_progress",
        {"backtest": run.pk, "since": datetime.fromisoformat(run.used["going_since"]), "queue": jobs.BULK},
    )
    parts, parts_done, items, items_done, lately, seconds, silent = rows[0]
    rate = lately / seconds if seconds > 0 else 0.0
    return {
        "parts": parts,
        "parts_done": parts_done,
        "items": items,
        "items_done": items_done,
        "rate": rate,
        "left": (items - items_done) / rate if rate else None,
        "worker_silent": silent is None or silent > 30,
    }


def of(kind: str, target: str, revision: int | None = None) -> QuerySet[Backtest]:
    """The runs of a target, the newest first: what an approval may rest on. With a revision only the runs of that."""
    runs = Backtest.objects.filter(kind=kind, target=target).select_related("started_by").order_by("-pk")
    return runs if revision is None else runs.filter(target_revision=revision)


def _wrong(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", detail, errors=[field_error(field, code, detail)])
