"""Back-tests, classifiers and evaluations: what is tried and measured before it may touch anybody."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from core.ids import uuid7
from core.models import Evidence


class Backtest(models.Model):
    """A draft policy, entry or model tried on items of the past. Nothing is written to them."""

    KINDS = {"policy": _("Policy"), "feature": _("Feature"), "model": _("Model")}

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=8)
    # The policy's number with its revision, the entry's id with its version, the model's id: what was tried, as it was.
    target = models.CharField(max_length=40)
    target_revision = models.IntegerField(default=1)
    # What the run used beside the target: policy, library and model versions, and the target's own content.
    used = models.JSONField(default=dict)
    scope = models.JSONField(default=dict)  # {"last": n} or {"from", "to"}
    state = models.CharField(max_length=10, default="running")
    total = models.IntegerField(default=0)
    figures = models.JSONField(default=dict)
    report = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True, default="")


class BacktestPart(models.Model):
    """A run of items of a back-test, done by one job; its figures are written once."""

    id = models.BigAutoField(primary_key=True)
    backtest = models.ForeignKey(Backtest, on_delete=models.CASCADE, related_name="parts")
    number = models.IntegerField()
    first_id = models.UUIDField()
    last_id = models.UUIDField()
    items = models.IntegerField()
    figures = models.JSONField(null=True)
    samples = models.JSONField(default=list)
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["backtest", "number"], name="a_part_is_done_once")]


class Classifier(models.Model):
    """One version of a model that learned from decisions or from a file. It acts only once a second person activated it,
    and only ever towards more caution: it can hold, never release what a rule holds."""

    name = models.CharField(max_length=40)
    version = models.IntegerField()
    artefact = models.ForeignKey(Evidence, on_delete=models.PROTECT, db_constraint=False, related_name="+")
    # Label -> {"category", "severity", "threshold"}: what a score of that label becomes as a finding.
    labels = models.JSONField(default=dict)
    trained_on = models.JSONField(default=dict)  # source, rows by label, period, digest of the rows
    figures = models.JSONField(default=dict)  # on the held-out part: precision, recall, F1 by label, accuracy
    note = models.CharField(max_length=300, blank=True, default="")
    state = models.CharField(max_length=10, default="trained")
    trained_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    trained_at = models.DateTimeField(db_default=Now())
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="a_model_version_is_one"),
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(state="active"), name="one_version_of_a_model_is_active"
            ),
            models.CheckConstraint(
                name="nobody_activates_their_own_model",
                condition=models.Q(approved_by=None)
                | models.Q(trained_by=None)
                | ~models.Q(approved_by=models.F("trained_by")),
            ),
            models.CheckConstraint(
                name="an_active_model_was_measured_and_approved",
                condition=~models.Q(state="active") | (models.Q(approved_by__isnull=False) & ~models.Q(figures={})),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Evaluation(models.Model):
    """Screening measured on labelled lines: what it found, with which versions. Written once."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=120)
    file_digest = models.CharField(max_length=64)
    rows = models.IntegerField()
    used = models.JSONField(default=dict)  # policy, library, models, normalisation
    figures = models.JSONField(default=dict)  # by label: precision, recall, f1; confusion table; accuracy
    by = models.CharField(max_length=80)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        # Used by the page of evaluations over time.
        indexes = [models.Index(fields=["name", "-at"], name="evaluation_by_name")]
