"""Requests of a person about their own data (GA-11, GEN-08, GEN-09)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from accounts.models.users import User
from core.ids import uuid7


class PersonRequest(models.Model):
    """One request: to see, copy, correct or delete. What the person wrote is encrypted like an identity."""

    KINDS = {
        "access": _("See the data"),
        "copy": _("A copy of the data"),
        "correct": _("Correct the data"),
        "delete": _("Delete the data"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField(max_length=24, unique=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="requests")
    kind = models.CharField(max_length=8)
    state = models.CharField(max_length=12, default="received")
    detail_sealed = models.BinaryField(null=True)
    received_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField()
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    answer = models.TextField(blank=True, default="")
    bundle_sha256 = models.CharField(max_length=64, blank=True, default="")
    bundle_key_sealed = models.BinaryField(null=True)
    history = HistoricalRecords(excluded_fields=["detail_sealed", "bundle_key_sealed"])

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_request_is_one_of_four", condition=models.Q(kind__in=["access", "copy", "correct", "delete"])
            ),
            models.CheckConstraint(
                name="a_refused_request_says_why", condition=~models.Q(state="refused") | ~models.Q(answer="")
            ),
            models.CheckConstraint(
                name="deleting_takes_two_people",
                condition=~models.Q(kind="delete", state="done")
                | models.Q(decided_by=None)
                | (models.Q(proposed_by__isnull=False) & ~models.Q(proposed_by=models.F("decided_by"))),
            ),
            models.CheckConstraint(
                name="what_is_deleted_was_decided_by_a_second_person",
                condition=~models.Q(kind="delete", state__in=["frozen", "done"])
                | (
                    models.Q(proposed_by__isnull=False, decided_by__isnull=False)
                    & ~models.Q(proposed_by=models.F("decided_by"))
                ),
            ),
            models.UniqueConstraint(
                fields=["user", "kind"],
                condition=models.Q(state__in=["received", "working"]),
                name="one_open_request_of_a_kind_per_user",
            ),
        ]
        indexes = [
            # Used by the list of open requests, most urgent first.
            models.Index(fields=["due_at"], name="request_open", condition=models.Q(state__in=["received", "working"])),
        ]

    @property
    def kind_words(self) -> str:
        """What is asked for, in words."""
        return str(self.KINDS[self.kind])
