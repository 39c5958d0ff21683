"""Jobs that failed three times: a person looks at them and sends them round again, or drops them with a reason."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from core import audit, jobs
from core.errors import Conflict, Refusal, field_error
from core.models import Job, QuarantinedJob
from core.roles import check


def retry(*, job_id: int, by: Any) -> Job:
    """Put a stopped job back into the queue with three new attempts, under its old number. Refuses a job that is gone
    and one whose kind no worker knows any more."""
    check(by, "job.retry")
    with transaction.atomic():
        stopped = _locked(job_id)
        if stopped.kind not in jobs.KINDS:
            raise Conflict("kind_unknown", _("No worker knows this kind of job any more; it can only be dropped."))
        job = Job.objects.create(
            id=stopped.pk,
            kind=stopped.kind,
            subject=stopped.subject,
            payload=stopped.payload,
            request_id=stopped.request_id,
        )
        _remove(stopped, "job.retried", by)
    return job


def drop(*, job_id: int, reason: str, by: Any) -> QuarantinedJob:
    """Give a stopped job up for good. Refuses without a reason, and a job that is gone."""
    check(by, "job.retry")
    if not reason.strip():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("reason", "required", _("Say why it is dropped."))],
        )
    with transaction.atomic():
        stopped = _locked(job_id)
        _remove(stopped, "job.dropped", by, reason.strip())
    return stopped


def _locked(job_id: int) -> QuarantinedJob:
    stopped = QuarantinedJob.objects.select_for_update().filter(pk=job_id).first()
    if stopped is None:
        raise Conflict("not_stopped", _("This job isn't stopped any more: somebody else saw to it."))
    return stopped


def _remove(stopped: QuarantinedJob, action: str, by: Any, reason: str = "") -> None:
    stopped_id = stopped.pk
    stopped.delete()
    audit.record(
        action=action,
        subject=f"job:{stopped_id}",
        by=by,
        reason=reason,
        data={"kind": stopped.kind, "subject": stopped.subject, "attempts": stopped.attempts},
    )
