"""The review queue: pull the next item, hold it by a lease with a heartbeat, give it back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import Conflict, Refusal, field_error
from core.options import option
from core.roles import check, may
from core.sql import load, run
from moderation.models import ClaimEvent, Lease, Task

REVIEW, SENIOR = "review", "senior"
QUEUES = {REVIEW: _("Review"), SENIOR: _("Senior review")}


@dataclass(frozen=True, slots=True)
class Held:
    """An item that a person holds, until when and by which token."""

    submission_id: UUID
    token: UUID
    until: datetime
    queue: str
    due_at: datetime
    entered_at: datetime


class LeaseLost(Conflict):
    """The lease ran out or was passed on; the sentence says who holds the item now."""


def queues_of(person: Any) -> list[str]:
    """The queues a person works, in the order they are served."""
    return [SENIOR, REVIEW] if may(person, "review.senior") else [REVIEW]


def next_task(*, by: Any) -> Held | None:
    """The item the person holds, else the most urgent one that nobody holds; None when there is nothing to do."""
    check(by, "review.work")
    return_expired()
    for queue in queues_of(by):
        for _attempt in (1, 2):
            try:
                with transaction.atomic():
                    rows = run(
                        "moderation/next_task",
                        {"staff": by.pk, "queue": queue, "lease": option("review_lease")},
                    )
                break
            except IntegrityError:
                # The same person pressed "next" twice at once: the other call holds the lease, which we find again.
                rows = []
        if rows:
            return Held(*rows[0])
    return None


def held_by(person: Any) -> Held | None:
    """What the person holds now, without taking anything."""
    lease = Lease.objects.filter(staff_id=person.pk, until__gt=Now()).first()
    if lease is None:
        return None
    return Held(lease.submission_id, lease.token, lease.until, lease.queue, lease.due_at, lease.entered_at)


def heartbeat(*, token: UUID, by: Any, submission_id: UUID | None = None) -> datetime:
    """A sign of life renews the lease; refuses when it was lost, naming who holds the item now."""
    with transaction.atomic():
        lock_lease(token=token, by=by, submission_id=submission_id)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE moderation_lease SET until = statement_timestamp() + %s * interval '1 second' WHERE token = %s RETURNING until",
                [option("review_lease"), token],
            )
            until = cursor.fetchone()[0]
    return until


def lock_lease(*, token: UUID, by: Any, submission_id: UUID | None = None) -> Lease:
    """The caller's lease, locked; refuses with a sentence when it ran out or belongs to somebody else."""
    lease = Lease.objects.select_for_update(of=("self",)).filter(token=token, staff_id=by.pk, until__gt=Now()).first()
    if lease is None:
        raise lost(submission_id)
    return lease


def lost(submission_id: UUID | None) -> LeaseLost:
    """The refusal for a lease that is gone, naming the present holder where there is one."""
    holding = Lease.objects.select_related("staff").filter(until__gt=Now())
    holder = holding.filter(submission_id=submission_id).first() if submission_id else None
    if holder:
        return LeaseLost(
            "lease_lost",
            _("You no longer hold this item: %(name)s has it now. Nothing was changed.") % {"name": holder.staff},
            extra={"held_by": holder.staff.username},
        )
    return LeaseLost("lease_lost", _("You no longer hold this item: your time ran out. Nothing was changed."))


def give_back(*, token: UUID, reason: str, by: Any, submission_id: UUID | None = None) -> None:
    """Skip: the item goes back to the end of its priority, with the reason in the claim log."""
    check(by, "review.work")
    if not reason.strip():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("reason", "required", _("Say why you skip it."))],
        )
    with transaction.atomic():
        lease = lock_lease(token=token, by=by, submission_id=submission_id)
        Task.objects.create(
            submission_id=lease.submission_id, queue=lease.queue, priority=lease.priority, due_at=lease.due_at
        )
        end_lease(lease, "released", reason=reason.strip())
        audit.record(action="review.skipped", subject=f"submission:{lease.submission_id}", by=by, reason=reason.strip())


def escalate(*, token: UUID, reason: str, by: Any, submission_id: UUID | None = None) -> None:
    """Pass the item to a senior moderator."""
    check(by, "review.work")
    with transaction.atomic():
        lease = lock_lease(token=token, by=by, submission_id=submission_id)
        Task.objects.create(
            submission_id=lease.submission_id,
            queue=SENIOR,
            priority=lease.priority,
            entered_at=lease.entered_at,
            due_at=lease.due_at,
        )
        end_lease(lease, "escalated", reason=reason.strip())
        audit.record(
            action="review.escalated", subject=f"submission:{lease.submission_id}", by=by, reason=reason.strip()
        )


def end_lease(lease: Lease, event: str, *, reason: str = "") -> None:
    """Remove a locked lease and log how it ended, by the database's clock."""
    run("moderation/end_lease", {"submission": lease.submission_id, "event": event, "reason": reason[:200]})


def return_expired() -> int:
    """Put items whose lease ran out back into their queue; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(load("moderation/return_expired"))
        return cursor.rowcount


def claim_log(submission_id: UUID) -> list[ClaimEvent]:
    """Who held an item, oldest first; a claim that still stands is told from its lease."""
    log = list(ClaimEvent.objects.filter(submission_id=submission_id).order_by("id"))
    standing = Lease.objects.filter(submission_id=submission_id).first()
    if standing:
        log.append(
            ClaimEvent(submission_id=submission_id, staff_id=standing.staff_id, event="claimed", at=standing.claimed_at)
        )
    return log
