"""Lists that are brought into the feature library from a file (DS-10b)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from core.ids import uuid7
from core.models import Evidence


class FeatureImport(models.Model):
    """A file of entries: taken in, tried row by row without an effect, then proposed as a whole or not at all."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=120, blank=True, default="")
    # Entries whose row names no source are of this one; by it somebody else approves the list.
    source = models.CharField(max_length=120)
    file = models.ForeignKey(Evidence, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    state = models.CharField(max_length=10, default="checking")
    error = models.CharField(max_length=32, blank=True, default="")
    rows = models.IntegerField(default=0)
    fit = models.IntegerField(default=0)
    known = models.IntegerField(default=0)
    wrong = models.IntegerField(default=0)
    proposed = models.IntegerField(default=0)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)


class FeatureImportRow(models.Model):
    """A row of such a file as it was understood, or why it can't be taken. Kept until the import is forgotten."""

    id = models.BigAutoField(primary_key=True)
    feature_import = models.ForeignKey(FeatureImport, on_delete=models.CASCADE, related_name="lines")
    number = models.IntegerField()
    outcome = models.CharField(max_length=8)  # fit, known, wrong, proposed
    field = models.CharField(max_length=24, blank=True, default="")
    code = models.CharField(max_length=32, blank=True, default="")
    why = models.CharField(max_length=300, blank=True, default="")
    shown = models.CharField(max_length=200, blank=True, default="")
    # What the entry will be: the columns of `Feature`.
    given = models.JSONField(null=True)
    # SHA-256 over kind, digest and side of the list: by it the same entry is found twice in a file.
    key = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        indexes = [
            # Used by the report, and by the run.
            models.Index(fields=["feature_import", "outcome", "number"], name="feature_import_rows"),
            # Used by the look for rows that say the same.
            models.Index(
                fields=["feature_import", "key", "number"],
                name="feature_import_twice",
                condition=~models.Q(key=""),
            ),
        ]
