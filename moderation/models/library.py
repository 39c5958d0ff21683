"""The feature library (DS-10b), and the news sources that may be named (DS-06b)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from governance.models import Category


class Feature(models.Model):
    """One version of an entry of the feature library (DS-10b): proposed by one person, approved by another.

    `value` is what a person reads and types: the term, the pattern, the text, the hash in hexadecimal, the domain.
    `data` is what is worked out from it for matching (hashes of a video's frames, a sound's fingerprint, a text's
    MinHash). A revision is a row of its own that `replaces` the one before; its approval retires that one.
    """

    KINDS = {
        "term": _("Term"),
        "pattern": _("Pattern"),
        "text": _("Near-duplicate text"),
        "sha256": _("File (SHA-256)"),
        "image": _("Image (PDQ)"),
        "video": _("Video (PDQ of frames)"),
        "audio": _("Audio fingerprint"),
        "link": _("Link or domain"),
    }

    kind = models.CharField(max_length=12, default="term")
    value = models.TextField()
    # SHA-256 of the kind's canonical form of the value, in hexadecimal: by it an entry is in the library once.
    digest = models.CharField(max_length=64)
    data = models.JSONField(default=dict, blank=True)
    options = models.JSONField(default=dict, blank=True)
    allow = models.BooleanField(default=False)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="features")
    severity = models.SmallIntegerField()
    clause = models.CharField(max_length=200, blank=True, default="")
    note = models.CharField(max_length=300, blank=True, default="")
    source = models.CharField(max_length=120, blank=True, default="")
    valid_from = models.DateTimeField(null=True, blank=True)
    valid_to = models.DateTimeField(null=True, blank=True)
    rollout = models.SmallIntegerField(default=100)
    state = models.CharField(max_length=10, default="proposed")
    version = models.IntegerField(default=1)
    replaces = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="revisions")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(db_default=Now())
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    braked_at = models.DateTimeField(null=True, blank=True)
    braked_share = models.FloatField(null=True, blank=True)
    # The library's version at which this row last came into or went out of force: workers fetch what is newer.
    changed_in = models.IntegerField(default=0)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "digest", "allow"],
                condition=models.Q(state__in=["active", "braked"]),
                name="a_feature_is_in_force_once",
            ),
            models.UniqueConstraint(
                fields=["kind", "digest", "allow"],
                condition=models.Q(state="proposed"),
                name="a_feature_is_proposed_once",
            ),
            models.CheckConstraint(
                name="nobody_approves_what_they_proposed",
                condition=models.Q(approved_by=None) | ~models.Q(approved_by=models.F("proposed_by")),
            ),
            models.CheckConstraint(
                name="an_active_feature_was_approved",
                condition=~models.Q(state__in=["active", "braked"])
                | models.Q(approved_by__isnull=False, approved_at__isnull=False),
            ),
            models.CheckConstraint(
                name="feature_severity_is_1_to_4", condition=models.Q(severity__gte=1) & models.Q(severity__lte=4)
            ),
            models.CheckConstraint(
                name="rollout_is_a_percentage", condition=models.Q(rollout__gte=1) & models.Q(rollout__lte=100)
            ),
            models.CheckConstraint(
                name="a_feature_ends_after_it_begins",
                condition=models.Q(valid_from=None)
                | models.Q(valid_to=None)
                | models.Q(valid_to__gt=models.F("valid_from")),
            ),
        ]
        indexes = [
            # Used by workers that fetch what changed since the version they have.
            models.Index(fields=["changed_in"], name="feature_by_change"),
            # Used by the library page.
            models.Index(fields=["state", "kind", "-id"], name="feature_by_state"),
            # Used by the brake: what came into force lately.
            models.Index(fields=["approved_at"], name="feature_by_approval", condition=models.Q(state="active")),
            # Used by the clock: the few entries with a first or a last day.
            models.Index(
                fields=["valid_from", "valid_to"],
                name="feature_with_dates",
                condition=models.Q(state="active")
                & (models.Q(valid_from__isnull=False) | models.Q(valid_to__isnull=False)),
            ),
            # Used by the list of sources that wait for approval, and by the approval of one.
            models.Index(fields=["source"], name="feature_waiting", condition=models.Q(state="proposed")),
        ]


class Library(models.Model):
    """The feature library's version: one row, counted up whenever the active entries change."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    version = models.IntegerField(default=0)
    changed_at = models.DateTimeField(auto_now=True)
    # An entry is in force at a version if its days include this moment: what two workers load as one version is the same.
    clock_at = models.DateTimeField(db_default=Now())
    # Who holds an older version than this one reads the whole library anew, not what changed.
    whole_since = models.IntegerField(default=0, db_default=0)

    class Meta:
        constraints = [models.CheckConstraint(name="there_is_one_library", condition=models.Q(id=1))]


class TextBand(models.Model):
    """One band of the MinHash of a near-duplicate text entry: a text that shares a band with it is compared in full."""

    id = models.BigAutoField(primary_key=True)
    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="bands")
    band = models.SmallIntegerField()
    value = models.BigIntegerField()

    class Meta:
        # Used by the check: which entries share a band with a text.
        indexes = [models.Index(fields=["band", "value"], name="text_band")]


class SourceUnit(models.Model):
    """A news source that may be reprinted (DS-06b/c: the published list of source units), with its addresses."""

    name = models.CharField(max_length=120, unique=True)
    domains = models.JSONField(default=list)
    list_name = models.CharField(max_length=120, blank=True, default="")
    active = models.BooleanField(default=True)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    added_at = models.DateTimeField(db_default=Now())
    history = HistoricalRecords()

    def __str__(self) -> str:
        return self.name
