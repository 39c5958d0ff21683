"""Bundles: one export each, with what it rests on."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now

from core.ids import uuid7
from core.models import Evidence


class Bundle(models.Model):
    """One export of a period, with its manifest. A scheduled one continues the scheduled one before it of its name:
    `snapshot`, `base` and `cut_at` together say which rows are behind it (see `chains`)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=40)
    state = models.CharField(max_length=8, default="queued")
    requested_by = models.CharField(max_length=128)
    requested_at = models.DateTimeField(db_default=Now())
    scheduled_for = models.DateTimeField(null=True)
    # Empty only for the first scheduled bundle of a name, which reaches back to the beginning.
    period_from = models.DateTimeField(null=True)
    period_to = models.DateTimeField()
    guard_csv = models.BooleanField(default=True)
    # While it is made
    expected = models.BigIntegerField(null=True)
    progress = models.BigIntegerField(default=0, db_default=0)
    failure = models.CharField(max_length=200, default="", db_default="")
    # What it rests on
    continuity = models.CharField(max_length=8, default="", db_default="")
    previous = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    snapshot = models.TextField(default="", db_default="")
    base = models.TextField(default="", db_default="")
    cut_at = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True)
    cluster = models.CharField(max_length=24, default="", db_default="")
    # What came of it
    rows = models.BigIntegerField(null=True)
    manifest = models.JSONField(null=True)
    manifest_digest = models.CharField(max_length=64, default="", db_default="")
    archive = models.ForeignKey(Evidence, null=True, on_delete=models.PROTECT, db_index=False, related_name="+")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "scheduled_for"], name="a_period_is_made_once"),
            models.UniqueConstraint(
                fields=["previous"],
                condition=models.Q(previous__isnull=False),
                name="one_bundle_continues_another",
            ),
            models.CheckConstraint(
                name="bundle_state_is_known", condition=models.Q(state__in=["queued", "making", "ready", "failed"])
            ),
            models.CheckConstraint(
                name="a_period_runs_forward",
                condition=models.Q(period_from=None) | models.Q(period_from__lt=models.F("period_to")),
            ),
            models.CheckConstraint(
                name="a_ready_bundle_has_its_file_and_digest",
                condition=~models.Q(state="ready")
                | models.Q(archive__isnull=False, rows__isnull=False, manifest__isnull=False, finished_at__isnull=False)
                & ~models.Q(manifest_digest="")
                & ~models.Q(snapshot=""),
            ),
            models.CheckConstraint(
                name="a_failed_bundle_says_why", condition=~models.Q(state="failed") | ~models.Q(failure="")
            ),
        ]
        indexes = [
            # Used by the list's look for bundles that are on their way.
            models.Index(fields=["name"], name="bundle_unfinished", condition=models.Q(state__in=["queued", "making"])),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.period_to.isoformat()}"

    @property
    def share(self) -> int:
        """How far its rows are written, in percent."""
        return min(99, self.progress * 100 // self.expected) if self.expected else 0

    @property
    def unfinished(self) -> bool:
        """Whether it is still on its way."""
        return self.state in ("queued", "making")

    @property
    def file_name(self) -> str:
        """What a download is called."""
        from reporting.periods import shanghai_day

        first = shanghai_day(self.period_from) if self.period_from else "beginning"
        return f"{self.name}-{first}-{shanghai_day(self.period_to)}-{self.pk.hex[-8:]}.zip"

    def files(self) -> list[dict[str, Any]]:
        """The files as the manifest lists them."""
        return (self.manifest or {}).get("files", [])
