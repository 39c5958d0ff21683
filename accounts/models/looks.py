"""Who looked at what is guarded: counted for the limits, listed for the people who review it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models.users import User
from core.ids import uuid7


class Look(models.Model):
    """One look of a colleague: a name and number shown, a search by number, a person's whole data taken away. Never
    changed, by trigger. A search names nobody: whom it found stands in no list."""

    KINDS = {
        "reveal": _("Name and number shown"),
        "bundle": _("All data of a person taken away"),
        "search": _("Searched by number"),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=8)
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_index=False, related_name="looks")
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="looks")
    reason = models.TextField(blank=True, default="")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_look_at_somebody_names_them_and_says_why",
                condition=models.Q(kind="search", user=None)
                | (models.Q(kind__in=["reveal", "bundle"], user__isnull=False) & ~models.Q(reason="")),
            ),
        ]
        indexes = [
            # Used by the limits: how often one person looked of late.
            models.Index(fields=["staff", "kind", "at"], name="look_by_person"),
        ]
