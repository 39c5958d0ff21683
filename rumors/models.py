"""Rumor cases and their records (DS-11a): claim, evidence, items involved, refutations, reports to authorities."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from core.ids import uuid7
from governance.models import in_language
from moderation.models import Submission

TEXT_LIMIT = 5000  # characters of a claim, a note, a refutation: an operator's page, not a statutory figure
VERDICTS = {"false": _("False"), "true": _("True"), "unverifiable": _("Can't be verified")}


class CurrentTransaction(models.Func):
    """The id of the writing transaction, as a number."""

    template = "(pg_current_xact_id()::text::bigint)"
    output_field = models.BigIntegerField()


class CaseNumber(models.Model):
    """The last number given out in a year: its row is the lock that keeps numbers gapless."""

    year = models.IntegerField(primary_key=True)
    last = models.IntegerField()


class RumorCase(models.Model):
    """A claim that may be false information, made or spread through the service, and what was done about it.

    `round` counts how often the case was taken up: reopening begins a new one, in which refutation and reports are asked
    for again. `refuted_at`, `waived_at` and `reported_at` speak of the present round.
    """

    FOUND = {
        "desk": _("Review desk"),
        "complaint": _("Complaint or report by the public"),
        "monitoring": _("Own monitoring"),
        "authority": _("Hint from an authority"),
        "media": _("Media or a fact-checking platform"),
        "other": _("Other"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField(max_length=16, unique=True)
    claim = models.TextField()
    found = models.CharField(max_length=12)
    found_note = models.TextField(blank=True, default="")
    state = models.CharField(max_length=16, default="open")
    round = models.SmallIntegerField(default=1)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    opened_at = models.DateTimeField(db_default=Now())
    verdict = models.CharField(max_length=12, blank=True, default="")
    summary = models.TextField(blank=True, default="")
    concluded_at = models.DateTimeField(null=True, blank=True)
    concluded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    refuted_at = models.DateTimeField(null=True, blank=True)
    waived_at = models.DateTimeField(null=True, blank=True)
    waive_reason = models.TextField(blank=True, default="")
    reported_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    submissions = models.ManyToManyField(Submission, through="CaseSubmission", related_name="rumor_cases")
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.CheckConstraint(name="a_rumor_case_has_a_claim", condition=~models.Q(claim="")),
            models.CheckConstraint(
                name="rumor_case_state_is_known",
                condition=models.Q(
                    state__in=[
                        "open",
                        "verifying",
                        "confirmed_false",
                        "not_false",
                        "refuted",
                        "waived",
                        "reported",
                        "closed",
                    ]
                ),
            ),
            models.CheckConstraint(
                name="verdict_is_false_true_or_unverifiable",
                condition=models.Q(verdict__in=["", "false", "true", "unverifiable"]),
            ),
            models.CheckConstraint(
                name="a_verdict_names_who_when_and_why",
                condition=models.Q(verdict="")
                | models.Q(concluded_at__isnull=False, concluded_by__isnull=False) & ~models.Q(summary=""),
            ),
            models.CheckConstraint(
                name="a_waived_refutation_gives_a_reason",
                condition=models.Q(waived_at=None) | ~models.Q(waive_reason=""),
            ),
            models.CheckConstraint(
                name="a_closed_case_says_who_closed_it_and_when",
                condition=models.Q(state="closed", closed_at__isnull=False, closed_by__isnull=False)
                | ~models.Q(state="closed") & models.Q(closed_at=None, closed_by=None),
            ),
            models.CheckConstraint(
                name="a_closed_case_was_refuted_or_says_why_not",
                condition=~models.Q(state="closed")
                | ~models.Q(verdict="") & (models.Q(refuted_at__isnull=False) | models.Q(waived_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="a_closed_false_case_was_reported",
                condition=~models.Q(state="closed", verdict="false") | models.Q(reported_at__isnull=False),
            ),
        ]
        indexes = [
            # Used by the list of cases by state and by the number on the rail.
            models.Index(fields=["state", "id"], name="rumor_case_by_state"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def found_words(self) -> str:
        """How it was found, in words."""
        return str(self.FOUND.get(self.found, self.found))

    @property
    def verdict_words(self) -> str:
        """The verdict in words; empty before there is one."""
        return str(VERDICTS.get(self.verdict, self.verdict))


class CaseSubmission(models.Model):
    """An item that carried the claim. Only grows."""

    case = models.ForeignKey(RumorCase, on_delete=models.PROTECT, related_name="links")
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="rumor_links")
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "submission"], name="an_item_is_linked_to_a_case_once"),
        ]


class CaseEvidence(models.Model):
    """What somebody found out about the claim, and where. Only grows."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    case = models.ForeignKey(RumorCase, on_delete=models.PROTECT, related_name="evidence")
    text = models.TextField()
    source = models.CharField(max_length=200, blank=True, default="")
    url = models.URLField(max_length=1000, blank=True, default="")
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(name="evidence_says_something", condition=~models.Q(text="")),
        ]


class Refutation(models.Model):
    """What the public is told. A draft can change; once published a row never does: a correction is the next version."""

    CHANNELS = {
        "public_page": _("Public refutation page"),
        "in_app": _("Notice inside the service"),
        "message": _("Message to the users concerned"),
        "social": _("Official social media account"),
        "platform": _("Joint refutation platform"),
        "press": _("Press"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    case = models.ForeignKey(RumorCase, on_delete=models.PROTECT, related_name="refutations")
    version = models.SmallIntegerField()
    revision = models.IntegerField(default=1)
    verdict = models.CharField(max_length=12)
    claim = models.TextField()
    title = models.CharField(max_length=120)
    text = models.TextField()
    title_en = models.CharField(max_length=200, blank=True, default="")
    text_en = models.TextField(blank=True, default="")
    sources = models.JSONField(default=list)
    channels = ArrayField(models.CharField(max_length=16), default=list)
    correction_note = models.TextField(blank=True, default="")
    drafted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    drafted_at = models.DateTimeField(db_default=Now())
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "version"], name="a_version_of_a_refutation_exists_once"),
            models.UniqueConstraint(
                fields=["case"], condition=models.Q(published_at=None), name="one_refutation_draft_per_case"
            ),
            models.CheckConstraint(
                name="refutation_verdict_is_known", condition=models.Q(verdict__in=["false", "true", "unverifiable"])
            ),
            models.CheckConstraint(
                name="a_published_refutation_has_text_time_and_publisher",
                condition=models.Q(published_at=None, published_by=None)
                | models.Q(published_at__isnull=False, published_by__isnull=False)
                & ~models.Q(title="")
                & ~models.Q(text="")
                & ~models.Q(claim=""),
            ),
            models.CheckConstraint(
                name="a_correction_says_what_it_corrects", condition=models.Q(version=1) | ~models.Q(correction_note="")
            ),
        ]
        indexes = [
            # Used by the public list and the feed: newest first.
            models.Index(
                models.F("published_at").desc(),
                name="refutation_published",
                condition=models.Q(published_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.shown_title

    @property
    def shown_title(self) -> str:
        """The title in the reader's language, where it was written in it."""
        return in_language(self.title, self.title_en)

    @property
    def shown_text(self) -> str:
        """The text in the reader's language, where it was written in it."""
        return in_language(self.text, self.text_en)

    @property
    def verdict_words(self) -> str:
        """The verdict in words."""
        return str(VERDICTS[self.verdict])

    @property
    def channel_words(self) -> list[str]:
        """Where it was told, in words."""
        return [str(self.CHANNELS.get(channel, channel)) for channel in self.channels]


class AuthorityReport(models.Model):
    """A report to an authority that was made, with its receipt and what it said (DS-11a, DS-03). Only grows."""

    CAC, DEPARTMENT = "cac", "competent_department"
    KINDS = {CAC: _("Cyberspace administration"), DEPARTMENT: _("Competent department")}
    DEPARTMENTS = {
        "telecom": _("Telecommunications"),
        "public_security": _("Public security"),
        "other": _("Other competent department"),
    }
    LEVELS = {"national": _("National"), "provincial": _("Provincial"), "city": _("City")}

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    case = models.ForeignKey(RumorCase, on_delete=models.PROTECT, related_name="reports")
    round = models.SmallIntegerField()
    authority = models.CharField(max_length=120)
    kind = models.CharField(max_length=24)
    department = models.CharField(max_length=16, blank=True, default="")
    level = models.CharField(max_length=12)
    reference = models.CharField(max_length=120)
    reported_at = models.DateTimeField()
    content = models.JSONField()
    content_sha256 = models.CharField(max_length=64)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_report_goes_to_the_cac_or_names_the_department",
                condition=models.Q(kind="cac", department="")
                | models.Q(kind="competent_department", department__in=["telecom", "public_security", "other"]),
            ),
            models.CheckConstraint(
                name="authority_level_is_national_provincial_or_city",
                condition=models.Q(level__in=["national", "provincial", "city"]),
            ),
            models.CheckConstraint(
                name="a_report_names_authority_and_receipt", condition=~models.Q(authority="") & ~models.Q(reference="")
            ),
        ]

    @property
    def kind_words(self) -> str:
        """Who received it, in words."""
        return str(self.DEPARTMENTS[self.department] if self.department else self.KINDS[self.kind])

    @property
    def level_words(self) -> str:
        """The authority's level, in words."""
        return str(self.LEVELS[self.level])


class CaseEvent(models.Model):
    """What happened in a case, for exports. Only grows. `transaction_id` tells whether a row was committed before a
    snapshot was taken, which `at` can't: a slow transaction commits after a quick one that began later."""

    id = models.BigAutoField(primary_key=True)
    case = models.ForeignKey(RumorCase, on_delete=models.PROTECT, related_name="events")
    event = models.CharField(max_length=24)
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=128)
    detail = models.JSONField(default=dict)
    transaction_id = models.BigIntegerField(db_default=CurrentTransaction())

    class Meta:
        indexes = [
            # Used by the export of a period.
            models.Index(fields=["at"], name="rumor_event_by_time"),
        ]
