"""Tables of the ground: ledger, jobs, outbox, webhooks, gates, evidence, calendar."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core.ids import uuid7


class AuditEvent(models.Model):
    """One line of the ledger: who did what to what, why. Append-only by trigger. No foreign keys: actor and subject are
    text, so that the ledger outlives what it speaks of and never locks live rows."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    action = models.CharField(max_length=64)
    actor = models.CharField(max_length=128)
    subject = models.CharField(max_length=160)
    reason = models.TextField(db_default="", default="", blank=True)
    data = models.JSONField(db_default={}, default=dict)
    request_id = models.CharField(max_length=64, db_default="", default="", blank=True)

    class Meta:
        indexes = [
            # Used by the history line of an item, a user, a case.
            models.Index(fields=["subject", "id"], name="audit_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"


class Job(models.Model):
    """Work that must happen: the truth about it is this row (design.md §3.4).

    `due_at` is both when the job is due and, while it is leased, when the lease runs out: an expired lease is simply due
    again. `attempts` is committed before a run. `lease_token` fences a worker that comes back too late.
    """

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=48)
    subject = models.CharField(max_length=64)
    payload = models.JSONField(default=dict, db_default={})
    due_at = models.DateTimeField(db_default=Now())
    attempts = models.SmallIntegerField(default=0, db_default=0)
    lease_token = models.UUIDField(null=True)
    leased_by = models.CharField(max_length=80, default="", db_default="")
    request_id = models.CharField(max_length=64, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            # Used by the claim and by the relay's look for due work.
            models.Index(fields=["kind", "due_at"], name="job_due_by_kind"),
        ]


class QuarantinedJob(models.Model):
    """A job that failed three times: shown to a person, who retries or drops it."""

    id = models.BigIntegerField(primary_key=True)
    kind = models.CharField(max_length=48)
    subject = models.CharField(max_length=64)
    payload = models.JSONField(default=dict)
    attempts = models.SmallIntegerField()
    request_id = models.CharField(max_length=64, default="")
    error = models.TextField(default="")
    quarantined_at = models.DateTimeField(db_default=Now())


class Heartbeat(models.Model):
    """When a worker last did the canary job of a queue; `/readyz` and the overview read it."""

    name = models.CharField(max_length=48, primary_key=True)
    at = models.DateTimeField(db_default=Now())


class OutboxEvent(models.Model):
    """News that must leave the transaction it was made in. The relay takes rows out (claimed by being deleted, never by
    a cursor over serial ids: a row that commits late would be skipped) and turns each into webhook deliveries and jobs."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    topic = models.CharField(max_length=64)
    subject = models.CharField(max_length=64)
    service_id = models.UUIDField(null=True)
    payload = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, default="", db_default="")


class WebhookEndpoint(models.Model):
    """Where a service hears of events (Standard Webhooks)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service_id = models.UUIDField()
    url = models.URLField(max_length=500)
    secret = models.BinaryField()
    topics = models.JSONField(default=list, help_text=_("Empty: every topic."))
    active = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service_id", "url"], name="one_endpoint_per_service_and_address"),
        ]


class WebhookDelivery(models.Model):
    """One event on its way to one endpoint. The body's bytes are frozen when the relay makes the row, so that every
    attempt signs and sends the same (security.md P26)."""

    PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"
    STATES = {PENDING: _("Pending"), DELIVERED: _("Delivered"), FAILED: _("Failed")}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    topic = models.CharField(max_length=64)
    subject = models.CharField(max_length=64)
    body = models.TextField()
    state = models.CharField(max_length=12, default=PENDING, db_default=PENDING)
    attempts = models.IntegerField(default=0, db_default=0)
    last_status = models.IntegerField(null=True)
    last_error = models.CharField(max_length=200, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # Used by the delivery list of an endpoint.
            models.Index(fields=["endpoint", "-created_at"], name="delivery_by_endpoint"),
        ]


class Gate(models.Model):
    """A capability that can be closed, for one service or for all (DS-21b)."""

    RELEASE, REGISTRATION, SERVICE = "release", "registration", "service"
    CAPABILITIES = {
        RELEASE: _("Release of content"),
        REGISTRATION: _("Registration of users"),
        SERVICE: _("The whole service"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service_id = models.UUIDField(null=True, blank=True)
    capability = models.CharField(max_length=16)
    directive = models.CharField(max_length=120, blank=True, default="")
    since = models.DateTimeField(db_default=Now())
    until = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="capability_is_one_of_three",
                condition=models.Q(capability__in=["release", "registration", "service"]),
            ),
            models.UniqueConstraint(
                fields=["service_id", "capability"],
                condition=models.Q(opened_at=None),
                nulls_distinct=False,
                name="one_closure_in_force_per_capability",
            ),
        ]


class Evidence(models.Model):
    """A file known by its content. The bytes lie in the `evidence` storage under their SHA-256."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    size = models.BigIntegerField()
    media_type = models.CharField(max_length=100, default="application/octet-stream")
    created_at = models.DateTimeField(db_default=Now())


class CalendarDay(models.Model):
    """A day that is not what its weekday says: a public holiday, or a make-up working day (调休)."""

    date = models.DateField(primary_key=True)
    working = models.BooleanField()
    note = models.CharField(max_length=80, blank=True, default="")


class DataKey(models.Model):
    """The key of one subject's personal data, wrapped under a field key. Destroying it makes every copy of that data,
    in backups too, unreadable (security.md §4: crypto-shredding)."""

    subject = models.CharField(max_length=80, primary_key=True)
    wrapped = models.BinaryField(null=True)
    key_id = models.CharField(max_length=16, db_index=True)
    created_at = models.DateTimeField(db_default=Now())
    destroyed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_destroyed_key_is_gone",
                condition=models.Q(destroyed_at=None, wrapped__isnull=False)
                | models.Q(destroyed_at__isnull=False, wrapped=None),
            ),
        ]


class Alarm(models.Model):
    """Something that people must look at now: a touched honey record, broken glass, a verifier that lies."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=160, blank=True, default="")
    actor = models.CharField(max_length=128, blank=True, default="")
    detail = models.CharField(max_length=300, blank=True, default="")
    raised_at = models.DateTimeField(db_default=Now())
    seen_by = models.CharField(max_length=128, blank=True, default="")
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Used by the line that every staff page shows while somebody has to look.
            models.Index(fields=["-raised_at"], name="alarm_open", condition=models.Q(seen_at=None)),
        ]
