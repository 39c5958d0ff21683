"""The review queue, who holds what, and what was decided."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core.ids import uuid7
from governance.models import Category
from moderation.models.items import Submission


class Task(models.Model):
    """An item that waits for a person. Slim: a claim deletes the row and inserts the lease in one statement; a state
    column on the big table would decay with dead rows (docs/adr/0005)."""

    submission = models.OneToOneField(
        Submission, primary_key=True, on_delete=models.PROTECT, db_constraint=False, related_name="task"
    )
    queue = models.CharField(max_length=16, default="review")
    priority = models.SmallIntegerField(default=0)
    entered_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField()

    class Meta:
        indexes = [
            # Used by the claim of the next item.
            models.Index("queue", models.F("priority").desc(), "entered_at", name="task_next"),
        ]


class Lease(models.Model):
    """An item that a person holds. One per person; expired ones go back to the queue."""

    submission = models.OneToOneField(
        Submission, primary_key=True, on_delete=models.PROTECT, db_constraint=False, related_name="lease"
    )
    staff = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_constraint=False, related_name="review_lease"
    )
    # One row a person, so neither needs an index; each would be written twice for every item reviewed.
    token = models.UUIDField()
    until = models.DateTimeField()
    claimed_at = models.DateTimeField(db_default=Now())
    queue = models.CharField(max_length=16)
    priority = models.SmallIntegerField()
    entered_at = models.DateTimeField()
    due_at = models.DateTimeField()


class ClaimEvent(models.Model):
    """The claim log: who held an item, how long, and how the lease ended. Append-only."""

    EVENTS = {
        "claimed": _("claimed"),
        "decided": _("decided"),
        "released": _("given back"),
        "expired": _("lease ran out"),
        "escalated": _("passed to a senior"),
    }

    id = models.BigAutoField(primary_key=True)
    submission_id = models.UUIDField(db_index=True)
    staff_id = models.UUIDField()
    event = models.CharField(max_length=12)
    at = models.DateTimeField(db_default=Now())
    held_seconds = models.FloatField(null=True)
    reason = models.CharField(max_length=200, blank=True, default="", db_default="")


class Decision(models.Model):
    """A decision about an item, by the policy or by a person, with what it rests on. Append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, db_constraint=False, related_name="decisions")
    outcome = models.CharField(max_length=8)
    by_kind = models.CharField(max_length=8)
    staff = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, db_index=False, related_name="+"
    )
    policy_version = models.IntegerField()
    rule = models.CharField(max_length=24, blank=True, default="")
    category = models.ForeignKey(
        Category, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    clause = models.CharField(max_length=200, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    lease_token = models.UUIDField(null=True, unique=True)
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="outcome_is_release_or_block", condition=models.Q(outcome__in=["release", "block"])
            ),
            models.CheckConstraint(
                name="a_persons_decision_names_the_person",
                condition=models.Q(by_kind="policy", staff=None) | models.Q(by_kind="staff", staff__isnull=False),
            ),
            models.CheckConstraint(
                name="a_block_names_category_and_reason",
                condition=~models.Q(outcome="block") | (models.Q(category__isnull=False) & ~models.Q(reason="")),
            ),
        ]
        indexes = [
            # Used by the overview (by day) and by exports of a period.
            models.Index(fields=["decided_at", "outcome"], name="decision_by_day"),
            # Used by the desk: what a person decided today.
            models.Index(
                fields=["staff", "decided_at"], name="decision_by_person", condition=models.Q(by_kind="staff")
            ),
        ]


class StatementOfReasons(models.Model):
    """What a user is told about a restriction (GEN-12; the shape follows the EU database, law.md §3). Whether detection
    and decision were automated is derived from the decision, never typed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, related_name="statement")
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, db_constraint=False, related_name="statements")
    restriction = models.CharField(max_length=16, default="not_released")
    category = models.ForeignKey(
        Category, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    clause = models.CharField(max_length=200)
    facts = models.TextField()
    explanation = models.TextField()
    automated_detection = models.BooleanField()
    automated_decision = models.BooleanField()
    appeal_days = models.SmallIntegerField()
    created_at = models.DateTimeField(db_default=Now())
