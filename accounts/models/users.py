"""End users of a service and what is known beside their identity."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from core.ids import uuid7
from governance.models import Service


class User(models.Model):
    """An end user of a service, known by the service's own id (`external_id`)."""

    KINDS = {"person": _("Person"), "organization": _("Organisation")}

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="users")
    external_id = models.CharField(max_length=128)
    kind = models.CharField(max_length=16)
    display_name = models.CharField(max_length=80)
    region = models.CharField(max_length=40, blank=True, default="")
    # What the account says of its owner, and where its address lies (GEN-10).
    profession = models.CharField(max_length=80, blank=True, default="", db_default="")
    institution = models.CharField(max_length=120, blank=True, default="", db_default="")
    address_region = models.CharField(max_length=40, blank=True, default="", db_default="")
    identity_status = models.CharField(max_length=12, default="unverified")
    account_status = models.CharField(max_length=12, default="active")
    # Why and until when the identity must be proved again (GEN-10, GEN-12); empty: it need not.
    reverify_reason = models.CharField(max_length=24, blank=True, default="", db_default="")
    reverify_by = models.DateTimeField(null=True, blank=True)
    minor = models.BooleanField(null=True, blank=True)
    # GEN-09: only kept, not used, while a retention period still runs; then erased.
    frozen_at = models.DateTimeField(null=True, blank=True)
    retain_until = models.DateTimeField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True)
    contact_sealed = models.BinaryField(null=True, blank=True)
    contact_masked = models.CharField(max_length=80, blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    history = HistoricalRecords(excluded_fields=["created_at", "contact_sealed"])

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service", "external_id"], name="external_id_is_unique_per_service"),
            models.CheckConstraint(
                name="user_is_a_person_or_an_organization", condition=models.Q(kind__in=["person", "organization"])
            ),
        ]
        indexes = [
            # Used by the verification queue and the counters of the users page.
            models.Index(fields=["identity_status", "id"], name="user_by_identity_status"),
            # Used by the list of users: the few whose account is restricted, among a million that are not.
            models.Index(
                fields=["account_status", "id"],
                name="user_restricted",
                condition=~models.Q(account_status="active"),
            ),
            # Used by the clock: whose time to prove the identity again is over.
            models.Index(
                fields=["reverify_by"], name="user_reverify_due", condition=models.Q(reverify_by__isnull=False)
            ),
            # Used by the clock: frozen records whose retention period ends.
            models.Index(
                fields=["retain_until"],
                name="user_retained",
                condition=models.Q(retain_until__isnull=False, erased_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.external_id

    @property
    def may_publish(self) -> bool:
        """DS-09b: real identity verified, the account not suspended, closed or frozen."""
        return (
            self.identity_status == "verified"
            and self.account_status in ("active", "limited")
            and self.frozen_at is None
        )


class UserDevice(models.Model):
    """A device that a service saw a user with, by a keyed digest of the service's own device id."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="devices")
    digest = models.BinaryField()
    first_seen = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="a_device_once_per_user")]
        indexes = [
            # Used to find accounts that share a device.
            models.Index(fields=["digest"], name="device_by_digest"),
        ]


class GuardianConsent(models.Model):
    """A guardian's yes for a minor (GEN-07), with its evidence; valid until withdrawn."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="guardian_consents")
    relation = models.CharField(max_length=40)
    name_sealed = models.BinaryField(null=True)
    name_masked = models.CharField(max_length=40, blank=True, default="")
    document = models.ForeignKey(
        "accounts.IdentityDocument", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    given_at = models.DateTimeField(db_default=Now())
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=models.Q(withdrawn_at=None), name="one_guardian_consent_in_force_per_user"
            ),
        ]


class HoneyUser(models.Model):
    """A record of nobody: whoever reveals, exports or searches for it has no honest reason to (security.md §4)."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="honey")
    planted_at = models.DateTimeField(db_default=Now())
