"""Policies: versioned rules, and what a version in shadow would have said."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from simple_history.models import HistoricalRecords


class PolicyVersion(models.Model):
    """Versioned rules from findings to a disposition. Immutable once it left the draft (a trigger)."""

    number = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=80)
    rules = models.JSONField()
    state = models.CharField(max_length=10, default="draft")
    note = models.TextField(blank=True, default="")
    based_on = models.IntegerField(null=True, blank=True)
    # Counted up by every edit of a draft; an approval names the revision it saw (contract, ruling 7).
    revision = models.IntegerField(default=1)
    made_by = models.CharField(max_length=80)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)
    shadow_from = models.DateTimeField(null=True, blank=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    approved_revision = models.IntegerField(null=True, blank=True)
    live_from = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=models.Q(state="live"), name="one_policy_is_live"),
            models.UniqueConstraint(
                fields=["state"], condition=models.Q(state="shadow"), name="one_policy_is_in_shadow"
            ),
            models.CheckConstraint(
                name="nobody_approves_their_own_policy",
                condition=models.Q(approved_by=None)
                | models.Q(author=None)
                | ~models.Q(approved_by=models.F("author")),
            ),
            models.CheckConstraint(
                name="a_persons_policy_goes_live_approved",
                condition=~models.Q(state="live") | models.Q(author=None) | models.Q(approved_by__isnull=False),
            ),
        ]


class ShadowVerdict(models.Model):
    """What the policy in shadow would have said of an item, beside what the live one said. It has no effect."""

    id = models.BigAutoField(primary_key=True)
    submission_id = models.UUIDField()
    policy_version = models.IntegerField()
    disposition = models.CharField(max_length=8)
    rule = models.CharField(max_length=24)
    live_disposition = models.CharField(max_length=8)
    live_rule = models.CharField(max_length=24)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            # Used by the page of a policy in shadow: where it differs, the newest first.
            models.Index(fields=["policy_version", "-id"], name="shadow_by_policy"),
        ]
