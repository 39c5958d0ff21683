"""Commands on bundles: ask for one, make it, try again, hand it out."""

from __future__ import annotations

import errno
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils.translation import gettext_lazy as _

from core import audit, evidence, jobs, outbox
from core.errors import Conflict, NotFound
from core.ids import uuid7
from core.models import Job
from core.roles import actor, check
from core.states import transition
from governance.models import Provider
from reporting import archive, chains, folder
from reporting.definitions import Definition, definition
from reporting.models import Bundle
from reporting.periods import check_period, rfc3339, shanghai_day
from reporting.states import BUNDLE

log = structlog.get_logger("bundles")
JOB = "reporting.make_bundle"
MEDIA_TYPE = "application/zip"

# Why a bundle failed, as a person reads it; the column holds the code.
FAILURES = {
    "no_room": _("There is no room left on the disk."),
    "database_away": _("The database did not answer."),
    "no_answer": _("The worker that made it did not come back."),
    "error": _("It could not be written; the log says why."),
}


class LeaseLost(Exception):
    """Another worker has taken the job over; what this one wrote is thrown away."""


def request_bundle(*, name: str, start: datetime, end: datetime, by: Any, guard_csv: bool = True) -> Bundle:
    """Ask for a bundle of a period `[start, end)`; a worker makes it. The same one asked for again while it is on its
    way is that one."""
    check(by, "report.make")
    definition(name)
    check_period(start, end)
    wanted = {"name": name, "period_from": start, "period_to": end, "guard_csv": guard_csv, "scheduled_for": None}
    with transaction.atomic():
        if waiting := Bundle.objects.filter(**wanted, state__in=["queued", "making"]).first():
            return waiting
        bundle = Bundle.objects.create(**wanted, requested_by=actor(by))
        record_request(bundle, by=by)
        jobs.enqueue(JOB, str(bundle.pk))
    return bundle


def record_request(bundle: Bundle, *, by: Any) -> None:
    """The ledger's line for a bundle that was asked for."""
    audit.record(
        action="bundle.requested",
        subject=f"bundle:{bundle.pk}",
        by=by,
        data={"name": bundle.name, "from": rfc3339(bundle.period_from), "to": rfc3339(bundle.period_to)},
    )


def start_next(name: str) -> None:
    """Have the oldest unfinished bundle of a chain made; the ones after it wait, since each begins where the one before
    it ended. A failed one holds the chain until somebody tries it again."""
    with transaction.atomic():
        chain = Bundle.objects.select_for_update().filter(name=name, scheduled_for__isnull=False)
        oldest = chain.exclude(state="ready").order_by("scheduled_for").first()
        if oldest and oldest.state == "queued" and not Job.objects.filter(kind=JOB, subject=str(oldest.pk)).exists():
            jobs.enqueue(JOB, str(oldest.pk))


def retry(*, bundle_id: UUID, by: Any) -> Bundle:
    """Try a failed bundle again."""
    check(by, "report.make")
    with transaction.atomic():
        bundle = _locked(bundle_id)
        bundle.failure, bundle.progress, bundle.expected = "", 0, None
        transition(BUNDLE, bundle, "retry", by=by, also=["failure", "progress", "expected"])
        jobs.enqueue(JOB, str(bundle.pk))
    return bundle


def download(*, bundle_id: UUID, by: Any) -> tuple[Bundle, Iterator[bytes]]:
    """A ready bundle's archive in pieces, with a line in the ledger. The last piece is held back until the whole was
    checked, so that damaged bytes never arrive as a complete file."""
    check(by, "report.view")
    bundle = Bundle.objects.select_related("archive").filter(pk=bundle_id).first()
    if bundle is None:
        raise _unknown()
    if bundle.state != "ready" or bundle.archive is None:
        raise Conflict("bundle_not_ready", _("This bundle is not ready yet."), extra={"state": bundle.state})
    with transaction.atomic():
        audit.record(
            action="bundle.downloaded",
            subject=f"bundle:{bundle.pk}",
            by=by,
            data={"sha256": bundle.archive.sha256, "manifest": bundle.manifest_digest},
        )
    return bundle, _one_behind(evidence.stream(bundle.archive.sha256))


def _one_behind(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        if held:
            yield held
        held = piece
    yield held


def export_to(
    *, name: str, start: datetime, end: datetime, out: Path, by: Any, guard_csv: bool = True
) -> dict[str, Any]:
    """Write a bundle of a period into a folder that is new or empty; returns its manifest. For the operator at the
    machine: nothing is listed on the page, the ledger has the line. Raises Conflict if the folder has something in it."""
    wanted = definition(name)
    check_period(start, end)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Conflict("folder_not_empty", _("“%(folder)s” is not an empty folder.") % {"folder": out})
    bundle = Bundle(pk=uuid7(), name=name, period_from=start, period_to=end, guard_csv=guard_csv)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as hidden:
        made = Path(hidden) / "bundle"
        made.mkdir()
        digest = _write(made, bundle, wanted, None, lambda rows, expected: None)
        with transaction.atomic():
            audit.record(
                action="bundle.exported",
                subject=f"bundle:{bundle.pk}",
                by=by,
                data={"name": name, "from": rfc3339(start), "to": rfc3339(end), "manifest": digest},
            )
        made.rename(out)  # an empty folder gives way; the bundle appears whole or not at all
    return bundle.manifest  # type: ignore[return-value]


# Making


def run(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    """Run the job: make its bundle. The long reading holds no lock, so that progress and lease can be written."""
    job = claimed[0]
    try:
        _make(job)
    except LeaseLost:
        log.warning("bundle_lease_lost", job=job.id, bundle=job.subject)
    except Exception as exc:
        log.error("bundle_failed", job=job.id, bundle=job.subject, error=type(exc).__name__, exc_info=exc)
        Bundle.objects.filter(pk=job.subject, state="making").update(failure=_why(exc))
        return {job.id: type(exc).__name__}
    return {}


def _why(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no_room"
    return "database_away" if isinstance(exc, DatabaseError) else "error"


def _make(job: jobs.Claimed) -> None:
    with transaction.atomic():
        if not jobs.still_ours([job]):
            return
        bundle = _locked(UUID(job.subject))
        if bundle.state not in ("queued", "making"):
            jobs.finish([job])
            return
        if bundle.state == "queued":
            transition(BUNDLE, bundle, "make", by="system:worker")
    wanted = definition(bundle.name)
    previous = None
    if bundle.scheduled_for is not None:
        chains.stamp_anew_after_restore(wanted, by="system:worker")
        previous = (
            Bundle.objects.filter(name=bundle.name, scheduled_for__lt=bundle.scheduled_for)
            .order_by("-scheduled_for")
            .first()
        )
    report = Progress(job, bundle)
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=_working_folder()) as made:
        digest = _write(Path(made), bundle, wanted, previous, report)
        stored = _store(Path(made), bundle, report.alive)
    with transaction.atomic():
        if not jobs.still_ours([job]):
            raise LeaseLost
        _locked(bundle.pk)
        bundle.archive, bundle.manifest_digest, bundle.previous = stored, digest, previous
        bundle.failure, bundle.progress = "", bundle.rows or 0
        bundle.finished_at = chains.now()
        transition(
            BUNDLE,
            bundle,
            "finish",
            by="system:worker",
            data={"rows": bundle.rows, "manifest": digest, "archive": stored.sha256},
            also=[
                *("archive", "manifest", "manifest_digest", "rows", "progress", "failure", "finished_at"),
                *("previous", "snapshot", "base", "cut_at", "taken_at", "cluster", "continuity"),
            ],
        )
        outbox.emit("internal.bundle_ready", subject=str(bundle.pk), payload={"name": bundle.name})
        jobs.finish([job])
        if bundle.scheduled_for is not None:
            start_next(bundle.name)


class Progress:
    """Tells how far a bundle is, and that its worker lives: at most once a second, each in its own transaction."""

    def __init__(self, job: jobs.Claimed, bundle: Bundle):
        self.job = job
        self.bundle = bundle
        self.told = float("-inf")

    def __call__(self, rows: int, expected: int) -> None:
        """So many rows are written. Raises LeaseLost when another worker took over."""
        if self.alive():
            Bundle.objects.filter(pk=self.bundle.pk).update(progress=rows, expected=expected)

    def alive(self) -> bool:
        """Renew the lease if it is time; True if it was."""
        if time.monotonic() - self.told < 1.0:
            return False
        self.told = time.monotonic()
        if not jobs.renew(self.job, KIND):
            raise LeaseLost
        return True


def _write(
    made: Path,
    bundle: Bundle,
    wanted: Definition,
    previous: Bundle | None,
    progress: Callable[[int, int], None],
) -> str:
    """Write the files; sets on the bundle what it rests on, and its rows and manifest. Returns the manifest's digest."""
    with chains.reading() as (cursor, position):
        chosen = chains.select(bundle, previous, position)
        cursor.execute(wanted.count(chosen.which), chosen.params)
        expected = cursor.fetchone()[0]
        with cursor.cursor.copy(f"COPY ({wanted.query(chosen.which)}) TO STDOUT", chosen.params) as rows:
            files = folder.write_rows(
                made, wanted, rows.rows(), guard=bundle.guard_csv, progress=lambda count: progress(count, expected)
            )
    if files[0].rows != expected:
        raise RuntimeError(f"{files[0].rows} rows of {expected} were read")
    files.append(folder.write_readme(made, name=bundle.name))
    bundle.snapshot, bundle.taken_at, bundle.cluster = position.snapshot, position.taken_at, position.cluster
    bundle.base, bundle.cut_at, bundle.continuity = chosen.base, chosen.cut_at, chosen.continuity
    bundle.rows, bundle.expected = expected, expected
    bundle.manifest = _manifest(bundle, wanted, previous, files)
    return folder.write_manifest(made, bundle.manifest, files)


def _manifest(
    bundle: Bundle, wanted: Definition, previous: Bundle | None, files: list[folder.FileEntry]
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "format": folder.FORMAT,
        "name": bundle.name,
        "bundle_id": str(bundle.pk),
        "providers": [
            {"name": p.name, "name_en": p.name_en, "uscc": p.uscc} for p in Provider.objects.order_by("pk")
        ],
        "period": {
            "from": rfc3339(bundle.period_from),
            "to": rfc3339(bundle.period_to),
            "from_shanghai": shanghai_day(bundle.period_from),
            "to_shanghai": shanghai_day(bundle.period_to),
            "over": bundle.taken_at is not None and bundle.taken_at >= bundle.period_to,
        },
        "made_at": rfc3339(bundle.taken_at),
        "snapshot": bundle.snapshot,
        "continuity": bundle.continuity,
        "previous": {"bundle_id": str(previous.pk), "manifest_sha256": previous.manifest_digest} if previous else None,
        "rows": bundle.rows,
        "csv_guarded": bundle.guard_csv,
        "files": [entry.as_json() for entry in files],
        "columns": [
            {"name": c.name, "type": c.type, "zh": c.zh, "en": c.en} for c in wanted.columns
        ],
    }  # fmt: skip
    if bundle.cut_at:
        manifest["cut_at"] = rfc3339(bundle.cut_at)
    if bundle.continuity == chains.TIME:
        manifest["overlap_seconds"] = int(chains.OVERLAP.total_seconds())
    return manifest


def _store(made: Path, bundle: Bundle, alive: Callable[[], Any]) -> Any:
    names = [*(entry["name"] for entry in bundle.files()), folder.MANIFEST, folder.SUMS]
    with tempfile.TemporaryFile(dir=made) as packed:
        archive.pack(made, names, packed, alive=alive)
        return evidence.store(_each(evidence.chunks_of(packed), alive), media_type=MEDIA_TYPE)


def _each(pieces: Iterator[bytes], alive: Callable[[], Any]) -> Iterator[bytes]:
    for piece in pieces:
        alive()
        yield piece


def _working_folder() -> Path:
    # On the disk of the installation: /tmp is memory on many machines.
    path = Path(settings.DATA_DIR) / "working"
    path.mkdir(parents=True, exist_ok=True)
    return path


def give_up(job: jobs.Claimed) -> None:
    """The job failed three times: the bundle says so, and a person can try again."""
    bundle = Bundle.objects.select_for_update().filter(pk=job.subject).first()
    if bundle is not None and bundle.unfinished:
        bundle.failure = bundle.failure or "no_answer"
        transition(BUNDLE, bundle, "fail", by="system:worker", reason=bundle.failure, also=["failure"])


def _locked(bundle_id: UUID) -> Bundle:
    bundle = Bundle.objects.select_for_update(of=("self",)).filter(pk=bundle_id).first()
    if bundle is None:
        raise _unknown()
    return bundle


def _unknown() -> NotFound:
    return NotFound("not_found", _("There is no such bundle."))


# In the courier, whose threads have no time limit: a long export must neither be cut off nor hold a screening child.
KIND = jobs.register(jobs.Kind(JOB, run=run, batch=1, lease="export_lease", give_up=give_up, queue="courier"))
