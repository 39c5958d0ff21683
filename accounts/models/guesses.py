"""How often somebody was wrong at the door."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class GuessCount(models.Model):
    """Wrong tries against one account, from one network or in one browser, each named by a keyed digest."""

    key = models.CharField(max_length=64, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField(db_default=Now())
    wait_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # Used by the hourly removal of counts that rest.
            models.Index(fields=["last_at"], name="guess_count_rests"),
        ]
