"""Staff, API clients and keys, end users, identities, measures."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from core import roles
from core.ids import uuid7
from governance.models import Service


class StaffManager(BaseUserManager["Staff"]):
    """Finds staff by user name."""

    def get_by_natural_key(self, username: str | None) -> Staff:
        return self.get(username=username)


class Staff(AbstractBaseUser):
    """A person who works at the desk, with one role. Never an end user."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.SlugField(_("User name"), max_length=40, unique=True)
    display_name = models.CharField(max_length=60)
    role = models.CharField(max_length=24)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords(excluded_fields=["password", "last_login"])

    USERNAME_FIELD = "username"
    objects = StaffManager()

    class Meta:
        constraints = [
            models.CheckConstraint(name="role_is_one_of_six", condition=models.Q(role__in=sorted(roles.ROLES))),
        ]

    def __str__(self) -> str:
        return self.display_name or self.username

    @property
    def role_name(self) -> str:
        """The role in words."""
        return str(roles.ROLES[self.role])


class ApiClient(models.Model):
    """A program of one service that calls the API."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="clients")
    name = models.CharField(max_length=80)
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service", "name"], name="client_name_is_unique_per_service"),
        ]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A key of a client. Only its hash is kept; the prefix finds it and is shown."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="keys")
    prefix = models.CharField(max_length=16, unique=True)
    hash = models.BinaryField()
    scopes = ArrayField(models.CharField(max_length=32))
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)


class User(models.Model):
    """An end user of a service, known by the service's own id (`external_id`)."""

    KINDS = {"person": _("Person"), "organization": _("Organisation")}

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="users")
    external_id = models.CharField(max_length=128)
    kind = models.CharField(max_length=16)
    display_name = models.CharField(max_length=80)
    region = models.CharField(max_length=40, blank=True, default="")
    identity_status = models.CharField(max_length=12, default="unverified")
    account_status = models.CharField(max_length=12, default="active")
    created_at = models.DateTimeField(db_default=Now())
    history = HistoricalRecords(excluded_fields=["created_at"])

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
        ]

    def __str__(self) -> str:
        return self.external_id

    @property
    def may_publish(self) -> bool:
        """DS-09b: real identity verified and the account not suspended or closed."""
        return self.identity_status == "verified" and self.account_status in ("active", "limited")


class Identity(models.Model):
    """One attempt of a user to prove who they are (DS-09a). Name and number are encrypted with the row as associated
    data; the number is found by a keyed digest and shown masked."""

    METHODS = {
        "mobile": _("Mobile number"),
        "id_number": _("ID number and name"),
        "uscc": _("Unified social credit code"),
        "network_identity": _("National network identity"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    method = models.CharField(max_length=20)
    state = models.CharField(max_length=12, default="pending")
    name_sealed = models.BinaryField(null=True)
    number_sealed = models.BinaryField(null=True)
    number_digest = models.BinaryField(null=True)
    number_masked = models.CharField(max_length=24, blank=True, default="")
    name_masked = models.CharField(max_length=40, blank=True, default="")
    submitted_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT)
    reject_reason = models.TextField(blank=True, default="")
    history = HistoricalRecords(excluded_fields=["name_sealed", "number_sealed", "number_digest"])

    class Meta:
        indexes = [
            # Used to find every account of one identity.
            models.Index(fields=["number_digest"], name="identity_by_number_digest"),
            # Used by the verification queue: pending ones, oldest first.
            models.Index(fields=["submitted_at"], name="identity_waiting", condition=models.Q(state="pending")),
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
                condition=models.Q(state__in=["pending", "replaced"])
                | models.Q(decided_at__isnull=False, decided_by__isnull=False),
            ),
            models.CheckConstraint(
                name="a_rejection_gives_a_reason", condition=~models.Q(state="rejected") | ~models.Q(reject_reason="")
            ),
        ]


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
    starts_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField(null=True, blank=True)
    applied_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    lift_reason = models.TextField(blank=True, default="")
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
