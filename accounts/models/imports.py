"""Imports of an existing user base."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from core.ids import uuid7
from governance.models import Service


class UserImport(models.Model):
    """One file of users: tried first without an effect, then carried out in pieces that survive a killed process."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)
    state = models.CharField(max_length=12, default="checking")
    file_sha256 = models.CharField(max_length=64)
    file_key_sealed = models.BinaryField(null=True)
    file_kind = models.CharField(max_length=4)
    encoding = models.CharField(max_length=12, blank=True, default="", db_default="")  # empty: find out
    ignored_columns = models.CharField(max_length=300, blank=True, default="", db_default="")
    # Who let it be carried out, and whether they answer for what the provider verified before.
    carried_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    trusted = models.BooleanField(default=False, db_default=False)
    report_sha256 = models.CharField(max_length=64, blank=True, default="")
    report_key_sealed = models.BinaryField(null=True)
    rows = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    refused = models.IntegerField(default=0)
    known = models.IntegerField(default=0)
    error = models.CharField(max_length=200, blank=True, default="")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="an_import_in_effect_names_who_let_it",
                condition=~models.Q(state__in=["running", "finished"]) | models.Q(carried_by__isnull=False),
            ),
        ]

    @property
    def imported(self) -> int:
        """Users that are new because of this import."""
        return self.done - self.refused - self.known

    @property
    def unfinished(self) -> bool:
        """Whether a worker is at it."""
        return self.state in ("checking", "running")


class UserImportPiece(models.Model):
    """What the report will say of some rows of an import, committed with what was done to them. Sealed: it names the
    service's users. Gone once the report is written."""

    user_import = models.ForeignKey(UserImport, on_delete=models.CASCADE, related_name="pieces")
    first = models.IntegerField()
    lines_sealed = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user_import", "first"], name="a_piece_of_an_import_is_reported_once"),
        ]
