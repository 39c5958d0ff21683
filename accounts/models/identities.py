"""Proofs of real identity, their documents, and who is looking at them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from accounts.models.users import User
from core.ids import uuid7
from governance.models import Service


class Identity(models.Model):
    """One attempt of a user to prove who they are (DS-09a). Name and number are encrypted with the row as associated
    data; the number is found by a keyed digest and shown masked."""

    METHODS = {
        "mobile": _("Mobile number"),
        "id_number": _("ID number and name"),
        "uscc": _("Unified social credit code"),
        "network_identity": _("National network identity"),
        "document": _("Passport or permit"),
    }
    DOCUMENT_KINDS = {
        "passport": _("Passport"),
        "mainland_travel_permit": _("Mainland travel permit for Hong Kong and Macao residents"),
        "taiwan_permit": _("Mainland travel permit for Taiwan residents"),
        "residence_permit": _("Foreigner's permanent residence permit"),
    }
    CHECKS = {
        "none": _("Not checked by a service"),
        "waiting": _("Waiting for the verification service"),
        "match": _("The verification service says: they belong together"),
        "mismatch": _("The verification service says: they don't belong together"),
        "unavailable": _("The verification service gave no usable answer"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    method = models.CharField(max_length=20)
    document_kind = models.CharField(max_length=24, blank=True, default="", db_default="")
    state = models.CharField(max_length=12, default="pending")
    name_sealed = models.BinaryField(null=True)
    number_sealed = models.BinaryField(null=True)
    number_digest = models.BinaryField(null=True)
    number_masked = models.CharField(max_length=24, blank=True, default="")
    name_masked = models.CharField(max_length=40, blank=True, default="")
    # What the outside verifier said (accounts.verifiers): never the whole decision, but for a confirmed one-time code.
    check_state = models.CharField(max_length=12, default="none", db_default="none")
    check_detail = models.CharField(max_length=40, blank=True, default="", db_default="")
    check_reference = models.CharField(max_length=80, blank=True, default="", db_default="")
    checked_at = models.DateTimeField(null=True, blank=True)
    submitted_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    # The verifier that stands for a decision without a person, e.g. "one_time_code"; empty where a person decided.
    verified_by_method = models.CharField(max_length=24, blank=True, default="", db_default="")
    reject_reason = models.TextField(blank=True, default="")
    expires_at = models.DateTimeField(null=True, blank=True)
    # A rejection that a second look wants to overturn: proposed by one person, carried out by another.
    overturn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    overturn_at = models.DateTimeField(null=True, blank=True)
    overturn_reason = models.TextField(blank=True, default="", db_default="")
    rejected_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    history = HistoricalRecords(excluded_fields=["name_sealed", "number_sealed", "number_digest"])

    class Meta:
        indexes = [
            # Used to find every account of one identity.
            models.Index(fields=["number_digest"], name="identity_by_number_digest"),
            # Used by the verification queue: pending ones, oldest first.
            models.Index(fields=["submitted_at"], name="identity_waiting", condition=models.Q(state="pending")),
            # Used by the clock: verified ones that must be proved again.
            models.Index(
                fields=["expires_at"],
                name="identity_expiring",
                condition=models.Q(state="verified", expires_at__isnull=False),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user"], condition=models.Q(state="pending"), name="one_pending_identity_per_user"
            ),
            models.UniqueConstraint(
                fields=["user"], condition=models.Q(state="verified"), name="one_verified_identity_per_user"
            ),
            models.CheckConstraint(
                name="a_decided_identity_names_who_and_when",
                condition=~models.Q(state__in=["verified", "rejected"])
                | (
                    models.Q(decided_at__isnull=False)
                    & (models.Q(decided_by__isnull=False) | ~models.Q(verified_by_method=""))
                ),
            ),
            models.CheckConstraint(
                name="a_rejection_gives_a_reason", condition=~models.Q(state="rejected") | ~models.Q(reject_reason="")
            ),
            models.CheckConstraint(
                name="only_another_person_overturns_a_rejection",
                condition=~models.Q(state="verified")
                | models.Q(rejected_by=None)
                | (
                    models.Q(overturn_by__isnull=False)
                    & ~models.Q(decided_by=models.F("rejected_by"))
                    & ~models.Q(decided_by=models.F("overturn_by"))
                ),
            ),
        ]


class OneTimeCode(models.Model):
    """The code sent to a mobile number: as a keyed digest, with its tries."""

    identity = models.OneToOneField(Identity, on_delete=models.CASCADE, primary_key=True, related_name="code")
    digest = models.BinaryField()
    sent_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    sends = models.SmallIntegerField(default=0)
    tries = models.SmallIntegerField(default=0)


class IdentityDocument(models.Model):
    """A picture of a document, encrypted with a key of its own before it reaches the evidence store."""

    KINDS = {
        "front": _("Front"),
        "back": _("Back"),
        "licence": _("Business licence"),
        "passport": _("Passport page"),
        "consent": _("Guardian's consent"),
        "other": _("Other"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="+")
    identity = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="documents")
    kind = models.CharField(max_length=12, default="other")
    sha256 = models.CharField(max_length=64)
    key_sealed = models.BinaryField(null=True)
    media_type = models.CharField(max_length=40)
    size = models.IntegerField()
    created_at = models.DateTimeField(db_default=Now())
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_removed_document_has_no_key",
                condition=models.Q(removed_at=None) | models.Q(key_sealed=None),
            ),
        ]
        indexes = [
            # Used by the clock: uploads that no identity ever named.
            models.Index(fields=["created_at"], name="document_unclaimed", condition=models.Q(identity=None)),
        ]


class VerificationLease(models.Model):
    """Who is looking at an identity, until when: one person an identity, one identity a person."""

    identity = models.OneToOneField(Identity, on_delete=models.CASCADE, primary_key=True, related_name="lease")
    staff = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    token = models.UUIDField(default=uuid.uuid4)
    until = models.DateTimeField()
    claimed_at = models.DateTimeField(db_default=Now())
