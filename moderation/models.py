"""Submissions and what becomes of them.

Hot rows refer to services, functions, users and categories without a database constraint: those rows are never
deleted, and a constraint would lock the same few rows in every transaction (docs/adr/0004).
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from accounts.models import User
from core.ids import uuid7
from core.models import Evidence
from governance.models import Category, Function, Service


class Submission(models.Model):
    """One input with its output, handed in for release. The texts lie in Content."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(
        Service, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    user = models.ForeignKey(
        User, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="submissions"
    )
    function = models.ForeignKey(
        Function, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    external_id = models.CharField(max_length=128)
    technology = models.CharField(max_length=24)
    state = models.CharField(max_length=12, default="screening")
    disposition = models.CharField(max_length=8, blank=True, default="")
    rule = models.CharField(max_length=24, blank=True, default="")
    held_for = models.CharField(max_length=32, blank=True, default="")
    body_digest = models.BinaryField()
    declared = models.JSONField(default=dict)
    policy_version = models.IntegerField()
    library_version = models.IntegerField(null=True)
    screened = models.JSONField(null=True)
    label = models.JSONField(null=True)
    decided_by = models.CharField(max_length=8, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service", "external_id"], name="one_submission_per_external_id"),
            models.CheckConstraint(
                name="submission_state_is_known",
                condition=models.Q(state__in=["screening", "in_review", "released", "blocked", "withdrawn"]),
            ),
            # DS-10a: no result is released without a stored review outcome of its input and of its output.
            models.CheckConstraint(
                name="released_needs_input_and_output_reviewed",
                condition=~models.Q(state="released")
                | models.Q(screened__has_keys=["input", "output"], label__isnull=False, decided_at__isnull=False),
            ),
        ]
        indexes = [
            # Used by the user page: everything one user handed in, newest first.
            models.Index(fields=["user", "id"], name="submission_by_user"),
            # Used by re-evaluation: the few items that wait for an account or a gate.
            models.Index(fields=["held_for"], name="submission_held", condition=~models.Q(held_for="")),
        ]

    def __str__(self) -> str:
        return self.external_id


class Content(models.Model):
    """What was put in and what came out. Written once."""

    submission = models.OneToOneField(
        Submission, primary_key=True, on_delete=models.PROTECT, db_constraint=False, related_name="content"
    )
    input_text = models.TextField(default="", blank=True)
    output_text = models.TextField(default="", blank=True)
    input_file = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    output_file = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )


class Finding(models.Model):
    """What a check found: where, by which feature and version. Written once."""

    id = models.BigAutoField(primary_key=True)
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, db_constraint=False, related_name="findings")
    side = models.CharField(max_length=6)
    field = models.CharField(max_length=12, default="text")
    check_name = models.CharField(max_length=32)
    category = models.ForeignKey(
        Category, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    severity = models.SmallIntegerField(default=0)
    feature_id = models.IntegerField(null=True)
    feature_version = models.IntegerField(null=True)
    spans = models.JSONField(default=list)
    score = models.FloatField(default=1.0)
    detail = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            # Used by the overview: hits by category and day.
            models.Index(fields=["created_at", "category"], name="finding_by_day"),
        ]


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


class Feature(models.Model):
    """One entry of the feature library (DS-10b): proposed by one person, approved by another."""

    KINDS = {"term": _("Term")}

    kind = models.CharField(max_length=12, default="term")
    value = models.CharField(max_length=200)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="features")
    severity = models.SmallIntegerField()
    note = models.CharField(max_length=300, blank=True, default="")
    source = models.CharField(max_length=120, blank=True, default="")
    state = models.CharField(max_length=10, default="proposed")
    version = models.IntegerField(default=1)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(db_default=Now())
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "value"], condition=~models.Q(state="retired"), name="a_feature_is_in_the_library_once"
            ),
            models.CheckConstraint(
                name="nobody_approves_what_they_proposed",
                condition=models.Q(approved_by=None) | ~models.Q(approved_by=models.F("proposed_by")),
            ),
            models.CheckConstraint(
                name="an_active_feature_was_approved",
                condition=~models.Q(state="active") | models.Q(approved_by__isnull=False, approved_at__isnull=False),
            ),
            models.CheckConstraint(
                name="feature_severity_is_1_to_4", condition=models.Q(severity__gte=1) & models.Q(severity__lte=4)
            ),
        ]


class Library(models.Model):
    """The feature library's version: one row, counted up whenever the active entries change."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    version = models.IntegerField(default=0)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.CheckConstraint(name="there_is_one_library", condition=models.Q(id=1))]


class PolicyVersion(models.Model):
    """Versioned rules from findings to a disposition. Immutable once live."""

    number = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=80)
    rules = models.JSONField()
    state = models.CharField(max_length=10, default="draft")
    note = models.TextField(blank=True, default="")
    made_by = models.CharField(max_length=80)
    made_at = models.DateTimeField(auto_now_add=True)
    live_from = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=models.Q(state="live"), name="one_policy_is_live"),
        ]
