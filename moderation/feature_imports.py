"""Lists brought into the feature library from a file (DS-10b): taken in, tried row by row without an effect, then proposed.

The check reads the file as a stream, a thousand rows in a transaction, into rows of its own; a worker that is killed
begins again. The run is one statement in one transaction: either the whole list is proposed or nothing of it, so that
nobody ever approves half a list. Somebody else approves it by its source (`features.approve_all`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Count
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext as _

from core import audit, evidence, jobs, jsonbody
from core.errors import Conflict, NotFound, Refusal, field_error
from core.options import option
from core.roles import check, may
from core.sql import run as run_sql
from core.states import check_move, transition
from governance.models import Category
from moderation.feature_files import REASONS, NotAList, read_rows, understand
from moderation.feature_kinds import Unfit
from moderation.features import worked_in
from moderation.models import Feature, FeatureImport, FeatureImportRow
from moderation.states import FEATURE_IMPORT

log = structlog.get_logger("feature_imports")
LARGEST = 64 * 1024 * 1024
PIECE = 1_000
CHECK, RUN = "feature_import.check", "feature_import.run"
WORKER = "system:worker"
_COPY = "COPY moderation_featureimportrow (feature_import_id, number, outcome, field, code, why, shown, given, key) FROM STDIN"


class LeaseLost(Exception):
    """Another worker took over."""


def start(*, import_id: UUID, name: str, source: str, chunks: Iterable[bytes], size: int, by: Any) -> FeatureImport:
    """Take a list in and have it checked. `import_id` was chosen when the form was shown: the same form twice is one
    import (409). Refuses with 413 past 64 MB, with 422 an empty file and a list without a source."""
    check(by, "feature.propose")
    source = source.strip()
    if not source or len(source) > 120 or "\x00" in source:
        raise _invalid("source", "required", _("Say where the list comes from, in at most 120 characters."))
    if size > LARGEST:
        raise Refusal("too_large", _("The file is too large."), status=413, extra={"limit": LARGEST})
    if not size:
        raise _invalid("file", "empty", REASONS["empty"])
    if FeatureImport.objects.filter(pk=import_id).exists():
        raise _twice()
    file = evidence.store(chunks, media_type="text/csv", limit=LARGEST)
    try:
        with transaction.atomic():
            made = FeatureImport(
                pk=import_id, name=name.replace("\x00", "")[-120:], source=source, file=file, started_by=by
            )
            made.save(force_insert=True)
            audit.record(
                action="feature_import.received",
                subject=f"feature_import:{import_id}",
                by=by,
                data={"sha256": file.pk, "size": size, "source": source},
            )
            jobs.enqueue(CHECK, str(import_id))
    except IntegrityError as taken:
        raise _twice() from taken
    return made


def carry_out(*, import_id: UUID, by: Any) -> FeatureImport:
    """Propose the rows of a checked list that can be taken, with this person as who proposes. Refuses with 409 what is
    not checked or has nothing to propose."""
    check(by, "feature.propose")
    with transaction.atomic():
        row = _locked(import_id)
        check_move(FEATURE_IMPORT, row.state, "carry_out")
        if not row.fit:
            raise Conflict("nothing_to_propose", _("There is no row in this list that can be proposed."))
        row.started_by = by
        transition(FEATURE_IMPORT, row, "carry_out", by=by, also=["started_by"], data={"rows": row.fit})
        jobs.enqueue(RUN, str(row.pk))
    return row


def abort(*, import_id: UUID, by: Any) -> FeatureImport:
    """Leave a list that was not carried out."""
    check(by, "feature.propose")
    with transaction.atomic():
        row = _locked(import_id)
        row.finished_at = Now()
        return transition(FEATURE_IMPORT, row, "abort", by=by, also=["finished_at"])


def report_of(import_id: UUID) -> Iterator[tuple[Any, ...]]:
    """What came of each row: its number in the file, outcome, value, field, code, sentence."""
    lines = FeatureImportRow.objects.filter(feature_import=import_id).order_by("number", "id")
    return lines.values_list("number", "outcome", "shown", "field", "code", "why").iterator(chunk_size=2_000)


def forget_old() -> int:
    """Remove the rows of imports that ended, or were never carried out, `import_keep_days` ago; run by beat. The entries,
    the file and the ledger stay. Answers how many there were."""
    old = FeatureImport.objects.exclude(state__in=["checking", "running"]).extra(
        where=["created_at < statement_timestamp() - %s * interval '1 day'"], params=[option("import_keep_days")]
    )
    done = 0
    for pk in old.filter(lines__isnull=False).values_list("pk", flat=True).distinct()[:20]:
        with transaction.atomic():
            row = _locked(pk)
            if row.state in ("checked", "failed"):
                row.finished_at = Now()
                transition(FEATURE_IMPORT, row, "abort", by="system:clock", also=["finished_at"])
            FeatureImportRow.objects.filter(feature_import=row).delete()
            done += 1
    return done


# The check


def _check(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    job = claimed[0]
    try:
        with translation.override(settings.LANGUAGE_CODE):
            _read(job)
    except LeaseLost:
        log.warning("feature_import_lease_lost", job=job.id, feature_import=job.subject)
    except NotAList as refused:
        _fail(job, refused.code)
    except (FileNotFoundError, evidence.Damaged):
        _fail(job, "damaged")
    except Exception as exc:
        log.error("feature_import_failed", job=job.id, error=type(exc).__name__, exc_info=exc)
        return {job.id: type(exc).__name__}
    return {}


def _read(job: jobs.Claimed) -> None:
    row = FeatureImport.objects.select_related("file").get(pk=job.subject)
    if row.state != "checking":
        _done_with(job)
        return
    with transaction.atomic():
        _hold_job(job)
        FeatureImportRow.objects.filter(feature_import=row).delete()  # of a worker that did not come to the end
        row.rows = 0
        row.save(update_fields=["rows"])
    leaves, now = set(Category.objects.filter(leaf=True).values_list("pk", flat=True)), _now()
    with evidence.open_file(row.file_id) as stream:
        rows = read_rows(stream)
        while piece := list(islice(rows, PIECE)):
            lines = [_line(row, number, given, leaves, now) for number, given in piece]
            with transaction.atomic():
                _hold_job(job)
                fresh = _locked(row.pk)
                if fresh.state != "checking":
                    jobs.finish([job])  # somebody aborted it
                    return
                _put(lines)
                fresh.rows += len(lines)
                fresh.save(update_fields=["rows"])
                jobs.renew(job, KINDS[CHECK])
    with transaction.atomic():
        _hold_job(job)
        fresh = _locked(row.pk)
        if fresh.state == "checking":
            _settle(fresh)
        jobs.finish([job])


def _line(row: FeatureImport, number: int, given: dict[str, str], leaves: set[str], now: datetime) -> tuple[Any, ...]:
    try:
        taken = understand(given, leaves=leaves, source=row.source, now=now)
    except Unfit as unfit:
        shown = given.get("value", "").replace("\x00", " ")[:200]
        return (row.pk, number, "wrong", unfit.field, unfit.code, str(unfit.why)[:300], shown, None, "")
    return (row.pk, number, "fit", "", "", "", taken.shown, jsonbody.encode(taken.given).decode(), taken.key)


def _put(lines: list[tuple[Any, ...]]) -> None:
    connection.ensure_connection()
    with connection.connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for line in lines:
            copy.write_row(line)


def _at_leisure() -> None:
    """For statements over a whole list: the stock timeouts guard requests, and of rows that were written a moment ago
    the planner knows no numbers, so that it would compare each with each."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '240s'; SET LOCAL enable_nestloop = off")


def _settle(row: FeatureImport) -> None:
    _at_leisure()
    run_sql(
        "moderation/feature_import_settle",
        {
            "import": row.pk,
            "known": _("This entry is in the library already."),
            "repeated": _("Row {row} of the file says the same."),
        },
    )
    _count(row)
    also = ["fit", "known", "wrong"]
    transition(
        FEATURE_IMPORT, row, "finish_check", by=WORKER, also=also, data={name: getattr(row, name) for name in also}
    )


def _count(row: FeatureImport) -> None:
    outcomes = dict(
        FeatureImportRow.objects.filter(feature_import=row).values_list("outcome").annotate(Count("pk")).order_by()
    )
    for name in ("fit", "known", "wrong", "proposed"):
        setattr(row, name, outcomes.get(name, 0))


# The run


def _run(job: jobs.Claimed) -> None:
    """The whole list in the job's one transaction."""
    row = _locked(UUID(job.subject))
    if row.state != "running":
        return
    person = row.started_by
    if not may(person, "feature.propose"):
        _move_to_failed(row, "grant_lost")  # the grant may be gone since (contract, ruling 7)
        return
    _at_leisure()
    with translation.override(settings.LANGUAGE_CODE):
        params = {"import": row.pk, "by": person.pk, "known": _("This entry is in the library already.")}
    done, texts = run_sql("moderation/feature_import_run", params)[0]
    worked_in(list(Feature.objects.filter(pk__in=texts)))
    _count(row)
    row.finished_at = Now()
    transition(
        FEATURE_IMPORT,
        row,
        "finish",
        by=WORKER,
        also=["fit", "known", "wrong", "proposed", "finished_at"],
        data={"proposed": done},
    )
    audit.record(
        action="feature.list_proposed",
        subject="library:1",
        by=person,
        data={"import": str(row.pk), "source": row.source, "count": done, "file": row.file_id},
    )


def _hold_job(job: jobs.Claimed) -> None:
    if not jobs.still_ours([job]):
        raise LeaseLost


def _done_with(job: jobs.Claimed) -> None:
    with transaction.atomic():
        if jobs.still_ours([job]):
            jobs.finish([job])


def _fail(job: jobs.Claimed, why: str) -> None:
    with transaction.atomic():
        if jobs.still_ours([job]):
            row = _locked(UUID(job.subject))
            if row.state == "checking":
                _move_to_failed(row, why)
            jobs.finish([job])


def _move_to_failed(row: FeatureImport, why: str) -> None:
    row.error, row.finished_at = why, Now()
    transition(FEATURE_IMPORT, row, "fail", by=WORKER, reason=why, also=["error", "finished_at"])


def _give_up(job: jobs.Claimed) -> None:
    row = _locked(UUID(job.subject))
    if row.state in ("checking", "running"):
        _move_to_failed(row, "crashed")


def _locked(import_id: UUID) -> FeatureImport:
    rows = FeatureImport.objects.select_for_update(of=("self",)).select_related("started_by")
    row = rows.filter(pk=import_id).first()
    if row is None:
        raise NotFound("not_found", _("There is no such import."))
    return row


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]


def _twice() -> Conflict:
    return Conflict("already_received", _("This file was received already."))


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])


KINDS = {
    CHECK: jobs.register(jobs.Kind(CHECK, _check, lease="feature_import_lease", queue=jobs.BULK, give_up=_give_up)),
    RUN: jobs.register(
        jobs.Kind(RUN, jobs.one_by_one(_run), lease="feature_import_lease", queue=jobs.BULK, give_up=_give_up)
    ),
}
