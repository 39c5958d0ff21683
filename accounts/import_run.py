"""The work of an import: rows are judged and, in the real run, brought in, some hundred in a transaction together with
the place that was reached. A worker that is killed loses the piece it was at and nothing else: the next one goes on
exactly there. Each piece asks again whether the person it acts for may (contract.md ruling 7), whether registration is
open, and whether anybody aborted it."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import import_users
from accounts.import_checks import Candidate, RowRefused, Seen, read
from accounts.import_rows import FileRefused, Table
from accounts.imports import CHECK, RUN, aad, counts, key_context
from accounts.models import Staff, User, UserImport, UserImportPiece
from accounts.states import USER_IMPORT
from core import crypto, gates, jobs, pepper, sealed_files
from core.models import Gate
from core.roles import may
from core.states import transition

log = structlog.get_logger("imports")
PIECE = {CHECK: 2_000, RUN: 500}
BUDGET = 60.0  # seconds after which a worker lets others have a turn; its progress counts against quarantine then
RENEWED = 5.0
GATE_PAUSE = 30.0
WORKER = "system:worker"
Line = tuple[int, str, str, str, str, str]  # row, external id, outcome, column, code, sentence


class LeaseLost(Exception):
    """Another worker took over."""


def run(claimed: Sequence[jobs.Claimed], *, kind: str) -> dict[int, str]:
    """Run a job: one import, until it is done or the budget is spent."""
    job = claimed[0]
    try:
        _go_on(job, kind)
    except LeaseLost:
        log.warning("import_lease_lost", job=job.id, user_import=job.subject)
    except (FileRefused, sealed_files.Damaged) as refused:
        _stop(job, getattr(refused, "error", "damaged"))
    except FileNotFoundError:
        _stop(job, "damaged")
    except pepper.Away as away:
        jobs.put_back(job, after=away.retry_after or 5, reset=True)
    except Exception as exc:
        # The text of the exception may quote a row.
        log.error("import_failed", job=job.id, user_import=job.subject, error=type(exc).__name__)
        return {job.id: type(exc).__name__}
    return {}


def _go_on(job: jobs.Claimed, kind: str) -> None:
    row = UserImport.objects.select_related("service__provider").get(pk=job.subject)
    if row.state != ("checking" if kind == CHECK else "running"):
        _settle(job, row)
        return
    key = sealed_files.open_key(bytes(row.file_key_sealed or b""), key_context(row.pk, "file"))
    with io.BufferedReader(sealed_files.Reader(row.file_sha256, key, aad=aad(row.pk, "file"))) as stream:
        table = Table(stream, kind=row.file_kind, encoding=row.encoding)
        row.ignored_columns = ", ".join(table.ignored)[:300]
        worker = _Worker(job, kind, row)
        rows = iter(table)
        worker.skip(rows)
        until = time.monotonic() + BUDGET
        while piece := list(islice(rows, PIECE[kind])):
            if not worker.piece(piece):
                return
            if time.monotonic() > until:
                jobs.put_back(job, after=0, reset=True)
                return
    _finish(job, kind, row)


class _Worker:
    """One worker at one import."""

    def __init__(self, job: jobs.Claimed, kind: str, row: UserImport):
        self.job, self.kind, self.row = job, kind, row
        self.seen = Seen()

    def skip(self, rows: Iterator[tuple[int, dict[str, str]]]) -> None:
        """Go past what was done, remembering its external ids."""
        told = time.monotonic()
        for _number, given in islice(rows, self.row.done):
            self.seen.add(given["external_id"].strip())
            if time.monotonic() - told > RENEWED:
                told = time.monotonic()
                if not jobs.renew(self.job, KINDS[self.kind]):
                    raise LeaseLost

    def piece(self, rows: list[tuple[int, dict[str, str]]]) -> bool:
        """Do some rows, all or none; False when the work is to end here."""
        now = _now()
        taken, lines = self._judge(rows, now)
        digests = import_users.digests(taken) if self.kind == RUN else {}
        with transaction.atomic(), translation.override(settings.LANGUAGE_CODE):
            if not jobs.still_ours([self.job]):
                raise LeaseLost
            row = _locked(self.row.pk)
            if row.done != self.row.done:
                raise LeaseLost  # a second job for the same import, e.g. one retried out of quarantine
            if row.state != self.row.state:
                _settle(self.job, row)
                return False
            refused = len(lines)
            if self.kind == RUN:
                person = Staff.objects.get(pk=row.carried_by_id)  # type: ignore[misc]  # anew: the grant may be gone
                if not may(person, "user.import"):
                    _fail(row, "grant_lost")
                    jobs.finish([self.job])
                    return False
                if gates.closed(row.service_id, Gate.REGISTRATION):
                    row.error = "gate_closed"
                    row.save(update_fields=["error"])
                    jobs.put_back(self.job, after=GATE_PAUSE, reset=True)
                    return False
                known, notes = import_users.bring_in(taken, digests, user_import=row, by=person, now=now)
                lines += [(c.row, c.external_id, "waits", *note) for c, note in notes]
            else:
                known = User.objects.filter(
                    service=row.service_id, external_id__in=[candidate.external_id for candidate in taken]
                ).count()
            self._note(row, lines)
            row.done, row.refused, row.known = row.done + len(rows), row.refused + refused, row.known + known
            row.error, row.ignored_columns = "", self.row.ignored_columns
            row.save(update_fields=["done", "refused", "known", "error", "ignored_columns"])
            jobs.renew(self.job, KINDS[self.kind])
        self.row.done = row.done
        return True

    def _judge(self, rows: list[tuple[int, dict[str, str]]], now: datetime) -> tuple[list[Candidate], list[Line]]:
        taken, lines = [], []
        with translation.override(settings.LANGUAGE_CODE):
            for number, given in rows:
                external_id = given["external_id"].strip()
                try:
                    is_new = self.seen.add(external_id)
                    candidate = read(number, given, service=self.row.service, now=now)
                    if not is_new:
                        raise RowRefused("external_id", "repeated", _("An earlier row has the same external id."))
                    taken.append(candidate)
                except RowRefused as refused:
                    why = (refused.field, refused.code, str(refused.sentence))
                    lines.append((number, external_id[:128], "refused", *why))
        return taken, lines

    def _note(self, row: UserImport, lines: list[Line]) -> None:
        if lines:
            sealed = crypto.seal(json.dumps(sorted(lines), ensure_ascii=False), _piece_context(row.pk, row.done))
            UserImportPiece.objects.create(user_import=row, first=row.done, lines_sealed=sealed)


def _piece_context(import_id: Any, first: int) -> str:
    return f"user_import:{import_id}:piece:{first}"


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]


def _locked(import_id: Any) -> UserImport:
    return UserImport.objects.select_for_update(of=("self",)).select_related("service__provider").get(pk=import_id)


# The end


def _finish(job: jobs.Claimed, kind: str, row: UserImport) -> None:
    """All rows are done: write the report, and only then say so."""
    made = _write_report(job, kind, row)
    with transaction.atomic():
        if not jobs.still_ours([job]):
            sealed_files.remove(made.sha256)
            raise LeaseLost
        fresh = _locked(row.pk)
        earlier = fresh.report_sha256
        if fresh.state == row.state:
            also = _report_kept(fresh, made)
            if kind == CHECK:
                fresh.rows = fresh.done
                transition(USER_IMPORT, fresh, "check", by=WORKER, data=counts(fresh), also=[*also, "rows"])
            else:
                fresh.finished_at = Now()
                transition(USER_IMPORT, fresh, "finish", by=WORKER, data=counts(fresh), also=[*also, "finished_at"])
        else:
            # Somebody aborted it in the last moment; the report is whole all the same.
            fresh.save(update_fields=_report_kept(fresh, made))
        jobs.finish([job])
    if earlier:
        sealed_files.remove(earlier)


def _settle(job: jobs.Claimed, row: UserImport) -> None:
    """The import is over, or another job's: write the report of an aborted one, and let the job end."""
    if row.state == "aborted" and row.pieces.exists():
        made = _write_report(job, RUN, row)
        with transaction.atomic():
            fresh = _locked(row.pk)
            earlier = fresh.report_sha256
            fresh.save(update_fields=_report_kept(fresh, made))
        if earlier:
            sealed_files.remove(earlier)
    jobs.finish([job])


def _report_kept(row: UserImport, made: sealed_files.Sealed) -> list[str]:
    row.report_sha256 = made.sha256
    row.report_key_sealed = sealed_files.seal_key(made.key, key_context(row.pk, "report"))
    UserImportPiece.objects.filter(user_import=row).delete()
    return ["report_sha256", "report_key_sealed"]


def _write_report(job: jobs.Claimed, kind: str, row: UserImport) -> sealed_files.Sealed:
    def pieces() -> Iterator[bytes]:
        told = time.monotonic()
        with translation.override(settings.LANGUAGE_CODE):
            head = [_("Row"), _("External id"), _("Outcome"), _("Column"), _("Code"), _("Why")]
            outcomes = {"refused": _("refused"), "waits": _("imported, waits for verification")}
        yield b"\xef\xbb\xbf" + _csv([head])
        for piece in row.pieces.order_by("first").iterator(chunk_size=10):
            opened = crypto.unseal(bytes(piece.lines_sealed), _piece_context(row.pk, piece.first))
            yield _csv([line[0], line[1], outcomes[line[2]], *line[3:]] for line in json.loads(opened))
            if time.monotonic() - told > RENEWED:
                told = time.monotonic()
                if not jobs.renew(job, KINDS[kind]):
                    raise LeaseLost

    return sealed_files.write(pieces(), aad=aad(row.pk, "report"))


def _csv(lines: Any) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([_guarded(cell) for cell in line] for line in lines)
    return out.getvalue().encode("utf-8", "replace")


def _guarded(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula begins with an apostrophe (contract.md ruling 14)."""
    dangerous = isinstance(cell, str) and cell and (cell[0] in "=+-@＝＋－＠" or ord(cell[0]) < 32)
    return f"'{cell}" if dangerous else cell


def _stop(job: jobs.Claimed, error: str) -> None:
    """The file can't be read (any further): a checked one stops, one that is being checked is refused."""
    with transaction.atomic():
        if not jobs.still_ours([job]):
            return
        row = _locked(job.subject)
        if row.state in ("checking", "running"):
            _fail(row, error)
        jobs.finish([job])


def _fail(row: UserImport, error: str) -> None:
    row.error, also = error[:200], ["error"]
    if row.state == "checking":
        row.finished_at = Now()
        also.append("finished_at")
    action = "refuse" if row.state == "checking" else "fail"
    reason = error.partition("|")[0]  # what follows the bar comes out of the file
    transition(USER_IMPORT, row, action, by=WORKER, reason=reason, data=counts(row), also=also)


def give_up(job: jobs.Claimed) -> None:
    """The job failed three times in a row: the import says so, and a person goes on from the place it reached."""
    row = UserImport.objects.select_for_update(of=("self",)).filter(pk=UUID(job.subject)).first()
    if row is not None and row.unfinished:
        _fail(row, "crashed")


# In the courier, whose threads have no time limit, as exports are.
KINDS = {
    kind: jobs.register(
        jobs.Kind(kind, run=partial(run, kind=kind), batch=1, lease="import_lease", give_up=give_up, queue="courier")
    )
    for kind in (CHECK, RUN)
}
