"""The people who work here, how they came, where they are signed in, and what they did behind the glass."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from core import roles
from core.ids import uuid7


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
    email = models.EmailField(_("Work e-mail"), blank=True, default="")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    history = HistoricalRecords(excluded_fields=["password", "last_login"])

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
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


class Invitation(models.Model):
    """A colleague who was asked to join. The link's token is kept as a hash."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.SlugField(_("User name"), max_length=40)
    display_name = models.CharField(max_length=60)
    email = models.EmailField(blank=True, default="")
    role = models.CharField(max_length=24)
    token_hash = models.BinaryField(unique=True)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="an_invitation_is_for_one_of_six", condition=models.Q(role__in=sorted(roles.ROLES))
            ),
            models.UniqueConstraint(
                fields=["username"],
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="one_open_invitation_per_user_name",
            ),
        ]

    @property
    def role_name(self) -> str:
        """The role in words."""
        return str(roles.ROLES[self.role])


class StaffSession(models.Model):
    """Where a colleague is signed in. Known by a hash of the session's key, so that this list opens nothing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sessions")
    key_hash = models.BinaryField(unique=True)
    created_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=200, blank=True, default="")
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_why = models.CharField(max_length=16, blank=True, default="")

    class Meta:
        indexes = [
            # Used by the list of sessions and when a colleague's account is closed.
            models.Index(fields=["staff"], name="session_open", condition=models.Q(ended_at=None)),
        ]


class BreakGlass(models.Model):
    """Rights that somebody took in an emergency: for how long, why, and who looked at it afterwards."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    started_at = models.DateTimeField(db_default=Now())
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    review = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(name="breaking_the_glass_has_a_reason", condition=~models.Q(reason="")),
            models.CheckConstraint(
                name="nobody_reviews_their_own_emergency",
                condition=models.Q(reviewed_by=None) | ~models.Q(reviewed_by=models.F("staff")),
            ),
            models.UniqueConstraint(
                fields=["staff"], condition=models.Q(ended_at=None), name="one_emergency_per_person_at_a_time"
            ),
        ]
