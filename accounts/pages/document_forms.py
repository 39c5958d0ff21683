"""The forms of the documents' pages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core.forms import DeskForm
from governance import documents
from governance.models import Document, DocumentVersion, Service


class DocumentForm(DeskForm):
    """A new document."""

    kind = forms.ChoiceField(label=_("Kind"), choices=list(Document.KINDS.items()))
    title = forms.CharField(max_length=120, label=_("Title"))
    title_en = forms.CharField(required=False, max_length=120, label=_("Title in English"))
    code = forms.CharField(
        max_length=50,
        label=_("Code"),
        help_text=_("Stands in its public address and in the API: small letters, digits, hyphens."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    service = forms.ModelChoiceField(
        queryset=Service.objects.order_by("code"), required=False, empty_label=_("All services"), label=_("Service")
    )


class VersionForm(DeskForm):
    """The text of a new version: looked at first, published from there."""

    text = forms.CharField(
        max_length=documents.LONGEST,
        strip=False,
        label=_("Text (Chinese, binding)"),
        widget=forms.Textarea(attrs={"rows": 16, "lang": "zh-Hans"}),
    )
    text_en = forms.CharField(
        required=False,
        max_length=documents.LONGEST,
        strip=False,
        label=_("English translation"),
        widget=forms.Textarea(attrs={"rows": 8, "lang": "en"}),
    )
    after = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    previewed = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def texts(self) -> tuple[str, str]:
        """Both texts as they would be published."""
        return documents.readable(self.cleaned_data["text"]), documents.readable(self.cleaned_data["text_en"])

    def seal(self) -> str:
        """Stands for the texts: what is published must be what was looked at."""
        return hashlib.sha256("\x00".join(self.texts()).encode()).hexdigest()


class RequireForm(DeskForm):
    """Which version users must have accepted."""

    number = forms.TypedChoiceField(
        required=False, coerce=int, empty_value=None, label=_("Users must have accepted, before they publish")
    )

    def __init__(self, *args: Any, versions: Sequence[DocumentVersion], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["number"].choices = [  # type: ignore[attr-defined]
            ("", _("nothing of this document")),
            *((version.number, _("version %(number)d or later") % {"number": version.number}) for version in versions),
        ]
