"""Imports of an existing user base: a file is taken in sealed, tried without an effect, then carried out by somebody who
answers for it. The work itself is `accounts.import_run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from accounts.import_rows import ENCODINGS, REFUSALS, FileRefused, kind_of
from accounts.models import UserImport, UserImportPiece
from accounts.states import USER_IMPORT
from core import audit, jobs, sealed_files
from core.errors import Conflict, NotFound, Refusal, field_error
from core.options import option
from core.roles import check
from core.sealed_files import Sealed
from core.states import transition
from governance.models import Service

LARGEST = 200 * 1024 * 1024
CHECK, RUN = "import.check", "import.run"
# Why an import stopped that had begun, beside what can be wrong with its file.
STOPPED = {
    "grant_lost": _("Whoever let it be carried out may not do that any more."),
    "crashed": _("It failed three times. The administrator finds out why in the list of stopped jobs."),
}


class Incoming(NamedTuple):
    """A file that was sent: its name, how it begins, and `keep`, which puts it sealed into the evidence store."""

    name: str
    head: bytes
    size: int
    keep: Callable[[], Sealed]


def start(*, import_id: UUID, service: Service, file: Incoming, by: Any, encoding: str = "") -> UserImport:
    """Take a file in and have it checked. `import_id` was chosen when the form was shown and names the file's seal: the
    same form twice is one import (409). Refuses with 413 past 200 MB, with 422 what is no table."""
    check(by, "user.import")
    if encoding not in ENCODINGS:
        raise _invalid("encoding", "unknown", _("Unknown encoding."))
    if file.size > LARGEST:
        raise Refusal("too_large", _("The file is too large."), status=413, extra={"limit": LARGEST})
    if not file.size:
        raise _invalid("file", "empty", REFUSALS["empty"])
    try:
        kind = kind_of(file.head)
    except FileRefused as refused:
        raise _invalid("file", refused.error, REFUSALS[refused.error]) from None
    if UserImport.objects.filter(pk=import_id).exists():
        raise _twice()
    sealed = file.keep()
    try:
        with transaction.atomic():
            made = UserImport(
                pk=import_id, service=service, name=file.name[-120:], file_kind=kind, encoding=encoding, started_by=by
            )
            made.file_sha256 = sealed.sha256
            made.file_key_sealed = sealed_files.seal_key(sealed.key, key_context(import_id, "file"))
            made.save(force_insert=True)
            audit.record(
                action="user_import.received",
                subject=f"user_import:{import_id}",
                by=by,
                data={"kind": kind, "size": sealed.size, "service": service.code},
            )
            jobs.enqueue(CHECK, str(import_id))
    except IntegrityError as taken:
        sealed_files.remove(sealed.sha256)
        raise _twice() from taken
    return made


def carry_out(*, import_id: UUID, trust: bool, by: Any) -> UserImport:
    """Have a checked import carried out. With `trust` the person answers for the provider's earlier verification: rows
    that say when it was become verified identities with this person as who decided (DS-09a). Refuses with 409 what is
    not checked, was carried out, or has lost its file."""
    check(by, "user.import")
    with transaction.atomic():
        row = _locked(import_id)
        if row.state == "checked" and row.file_key_sealed is None:
            raise _file_gone()
        row.carried_by, row.trusted, row.error = by, trust, ""
        row.done = row.refused = row.known = 0
        fields = ["carried_by", "trusted", "error", "done", "refused", "known"]
        transition(USER_IMPORT, row, "carry_out", by=by, data={"trusted": trust, "rows": row.rows}, also=fields)
        jobs.enqueue(RUN, str(row.pk))
    return row


def resume(*, import_id: UUID, by: Any) -> UserImport:
    """Go on with an import that stopped, at the place it had reached. Whoever resumes it answers for the rest."""
    check(by, "user.import")
    with transaction.atomic():
        row = _locked(import_id)
        if row.state == "failed" and row.file_key_sealed is None:
            raise _file_gone()
        row.carried_by, row.error = by, ""
        transition(USER_IMPORT, row, "resume", by=by, data={"at": row.done}, also=["carried_by", "error"])
        jobs.enqueue(RUN, str(row.pk))
    return row


def abort(*, import_id: UUID, by: Any) -> UserImport:
    """Stop an import for good. What it did stays; the report says how far it came."""
    check(by, "user.import")
    with transaction.atomic():
        row = _locked(import_id)
        row.finished_at = Now()
        transition(USER_IMPORT, row, "abort", by=by, data=counts(row), also=["finished_at"])
        jobs.enqueue(RUN, str(row.pk))  # writes the report of the part that was done
    return row


def report(*, import_id: UUID, by: Any) -> Iterator[bytes]:
    """The report, a CSV file, piece by piece. It names rows and external ids, never a number or a name. Refuses with
    404 where there is none (yet, or any more)."""
    check(by, "user.import")
    row = UserImport.objects.filter(pk=import_id).first()
    if row is None or row.report_key_sealed is None:
        raise NotFound("not_found", _("There is no report."))
    key = sealed_files.open_key(bytes(row.report_key_sealed), key_context(row.pk, "report"))
    return sealed_files.read(row.report_sha256, key, aad=aad(row.pk, "report"))


def forget_old() -> int:
    """Remove files and reports of imports that ended, or were never carried out, `import_keep_days` ago; run by beat.
    Their keys go first, so that a copy in a backup opens no more. Answers how many there were."""
    done = 0
    for pk in _with_files_past(option("import_keep_days")).values_list("pk", flat=True)[:100]:
        with transaction.atomic():
            row = _locked(pk)
            if row.state in ("checking", "running") or (row.file_key_sealed is None and row.report_key_sealed is None):
                continue
            names = [name for name in (row.file_sha256, row.report_sha256) if name]
            row.file_key_sealed = row.report_key_sealed = None
            row.save(update_fields=["file_key_sealed", "report_key_sealed"])
            UserImportPiece.objects.filter(user_import=row).delete()
            if row.state in ("checked", "failed"):
                row.finished_at = Now()
                transition(USER_IMPORT, row, "abort", by="system:clock", data=counts(row), also=["finished_at"])
            audit.record(action="user_import.forgotten", subject=f"user_import:{pk}", by="system:clock")
        for name in names:
            sealed_files.remove(name)
        done += 1
    return done


def _with_files_past(days: float) -> QuerySet[UserImport]:
    kept = UserImport.objects.exclude(state__in=["checking", "running"]).exclude(
        file_key_sealed=None, report_key_sealed=None
    )
    ended = Coalesce("finished_at", "created_at")
    return kept.alias(ended=ended).filter(ended__lt=Now() - timedelta(days=days)).order_by("created_at")


def counts(row: UserImport) -> dict[str, int]:
    """How far an import came, for ledger and pages."""
    return {
        "rows": row.rows,
        "done": row.done,
        "imported": row.imported,
        "known": row.known,
        "refused": row.refused,
    }


def key_context(import_id: UUID, what: str) -> str:
    """To which row and column the key of a file is bound; `what` is file or report."""
    return f"user_import:{import_id}:{what}_key"


def aad(import_id: UUID, what: str) -> bytes:
    """To which row a sealed file is bound."""
    return f"user_import:{import_id}:{what}".encode()


def _locked(import_id: UUID) -> UserImport:
    row = UserImport.objects.select_for_update(of=("self",)).filter(pk=import_id).first()
    if row is None:
        raise NotFound("not_found", _("There is no such import."))
    return row


def _file_gone() -> Conflict:
    return Conflict("file_gone", _("The file was removed because its time was over. Send it again."))


def _twice() -> Conflict:
    return Conflict("already_received", _("This file was received already."))


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
