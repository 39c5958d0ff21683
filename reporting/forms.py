"""The form for a new bundle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.calendar import SHANGHAI
from reporting.definitions import DEFINITIONS


class BundleForm(forms.Form):
    """What to export, and which days."""

    name = forms.ChoiceField(label=_("What"))
    start = forms.DateField(label=_("From"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    end = forms.DateField(
        label=_("Until"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text=_("This day is no longer part of it. Days of Shanghai."),
    )
    guard_csv = forms.BooleanField(label=_("Guard CSV cells that look like formulas"), required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["name"].choices = [(d.name, d.title) for d in DEFINITIONS.values()]  # type: ignore[attr-defined]
        today = timezone.now().astimezone(SHANGHAI).date()
        self.fields["start"].initial = today - timedelta(days=7)
        self.fields["end"].initial = today
