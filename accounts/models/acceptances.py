"""Who accepted which version of a document (DS-08b)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from accounts.models.users import User
from governance.models import DocumentVersion


class Acceptance(models.Model):
    """A user's yes to one version of a document: when and from where. Never changed, by trigger."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="acceptances")
    version = models.ForeignKey(DocumentVersion, on_delete=models.PROTECT, related_name="acceptances")
    accepted_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())
    address_sealed = models.BinaryField(null=True)
    region = models.CharField(max_length=40, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "version"], name="a_version_is_accepted_once")]
