"""Imports of an existing user base."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from core.ids import uuid7
from governance.models import Service


class UserImport(models.Model):
    """One file of users: tried first without an effect, then carried out in pieces that survive a killed process."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=120)
    state = models.CharField(max_length=12, default="checking")
    file_sha256 = models.CharField(max_length=64)
    file_key_sealed = models.BinaryField(null=True)
    file_kind = models.CharField(max_length=4)
    report_sha256 = models.CharField(max_length=64, blank=True, default="")
    report_key_sealed = models.BinaryField(null=True)
    rows = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    refused = models.IntegerField(default=0)
    known = models.IntegerField(default=0)
    error = models.CharField(max_length=200, blank=True, default="")
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
