"""The forms of a client's page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey
from core.forms import DeskForm


class LimitForm(DeskForm):
    """From where and how often a key may call."""

    networks = forms.CharField(
        required=False,
        max_length=3000,
        label=_("Networks it may call from"),
        help_text=_("One a line, e.g. 203.0.113.0/24. Empty: from everywhere."),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
    )
    per_minute = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=10_000_000,
        label=_("Calls in a minute"),
        help_text=_("Empty: the general limit."),
    )

    @classmethod
    def of(cls, key: ApiKey) -> LimitForm:
        """The form as it stands for a key; several stand on one page, so its ids are its own."""
        return cls(
            initial={"networks": "\n".join(key.networks), "per_minute": key.per_minute}, auto_id=f"id_{key.pk.hex}_%s"
        )

    def clean_networks(self) -> list[str]:
        """The lines that hold something."""
        return [line for line in self.cleaned_data["networks"].splitlines() if line.strip()]


class KeySearch(DeskForm):
    """A prefix to find a key by. Posted, so that a whole key that somebody pastes stands in no address or log."""

    beginning = forms.CharField(
        max_length=120,
        label=_("Prefix of a key"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "mj_…"}),
    )

    def found_nothing(self) -> Any:
        """Say that no key has this prefix."""
        self.add_error("beginning", _("No key begins with this."))
        return self
