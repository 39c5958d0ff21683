"""Measures on accounts, what their user was told, and appeals against them."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from accounts.models.users import User
from core.ids import uuid7


class Measure(models.Model):
    """A measure on an account (DS-10e): exactly warn, limit, suspend or close; with ground, start, end and appeal route."""

    KINDS = {
        "warn": _("Warning"),
        "limit": _("Functions limited"),
        "suspend": _("Service suspended"),
        "close": _("Account closed"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="measures")
    kind = models.CharField(max_length=8)
    state = models.CharField(max_length=12, default="in_force")
    functions = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    ground = models.TextField()
    clause = models.CharField(max_length=200, blank=True, default="")
    severity = models.SmallIntegerField(null=True, blank=True)
    # What it came from, as text ("submission:<id>"): success of an appeal undoes what this caused and nothing else.
    cause = models.CharField(max_length=80, blank=True, default="", db_default="")
    # GEN-12: how to put it right and what to hand in for that; told with the measure.
    remedy = models.TextField(blank=True, default="", db_default="")
    material = models.TextField(blank=True, default="", db_default="")
    # What the ladder proposed when a person decided, so that departures from it can be seen.
    recommended = models.CharField(max_length=8, blank=True, default="", db_default="")
    starts_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField(null=True, blank=True)
    applied_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    lift_reason = models.TextField(blank=True, default="")
    # Until when it may be appealed, as published on the day it was made: a later change of the option never shortens it
    # (contract.md ruling 9). Empty only for measures older than this column.
    appeal_until = models.DateTimeField(null=True, blank=True)
    # When an appeal against it succeeded, whatever its state was then: such a measure never counts against the user.
    overturned_at = models.DateTimeField(null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="measure_is_one_of_four", condition=models.Q(kind__in=["warn", "limit", "suspend", "close"])
            ),
            models.CheckConstraint(name="a_measure_has_a_ground", condition=~models.Q(ground="")),
        ]
        indexes = [
            # Used to recompute an account and by the expiry sweep.
            models.Index(fields=["user"], name="measure_in_force", condition=models.Q(state="in_force")),
        ]


class Notice(models.Model):
    """What a user was told: the words as they were on that day. Its public page is reached by a token that is derived
    from the id and never stored."""

    KINDS = {
        "measure_applied": _("A measure was put on the account"),
        "measure_lifted": _("A measure was lifted"),
        "appeal_received": _("An appeal was received"),
        "appeal_decided": _("An appeal was decided"),
        "identity_rejected": _("A proof of identity was rejected"),
        "identity_again": _("The identity must be proved again"),
        "request_answered": _("A request about personal data was answered"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notices")
    measure = models.ForeignKey(Measure, null=True, blank=True, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=20)
    title = models.CharField(max_length=120)
    body = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    emailed_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Used by the user page.
            models.Index(fields=["user", "-created_at"], name="notice_by_user"),
        ]


class Appeal(models.Model):
    """A user's appeal against a measure (DS-12a, GEN-12). Decided by somebody else than the first decider: the first
    one's name is copied here by a trigger, so that the constraint can't be talked around."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField(max_length=24, unique=True)
    measure = models.ForeignKey(Measure, on_delete=models.PROTECT, related_name="appeals")
    first_decider = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=12, default="open")
    statement = models.TextField()
    received_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, default="")
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["measure"], condition=models.Q(state="open"), name="one_open_appeal_per_measure"
            ),
            models.CheckConstraint(
                name="somebody_else_decides_an_appeal",
                condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("first_decider")),
            ),
            models.CheckConstraint(
                name="a_decided_appeal_names_who_when_and_why",
                condition=models.Q(state__in=["open", "withdrawn"])
                | (models.Q(decided_by__isnull=False, decided_at__isnull=False) & ~models.Q(reason="")),
            ),
        ]
        indexes = [
            # Used by the desk's list of open appeals, most urgent first.
            models.Index(fields=["due_at"], name="appeal_open", condition=models.Q(state="open")),
        ]


class PublicAttempt(models.Model):
    """One try at a public form: counted per address and per link, forgotten after a day. Both only as keyed digests."""

    digest = models.BinaryField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            # Used to count the tries of the last hour.
            models.Index(fields=["digest", "at"], name="attempt_by_digest"),
            # Used by the clock that forgets them.
            models.Index(fields=["at"], name="attempt_by_time"),
        ]
