"""The forms of a case: shape only. The commands hold the rules."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.ids import uuid7
from rumors.models import TEXT_LIMIT, VERDICTS, AuthorityReport, Refutation, RumorCase


class LongText(forms.CharField):
    """A text of several lines."""

    def __init__(self, *, rows: int = 4, **options: Any):
        options.setdefault("max_length", TEXT_LIMIT)
        super().__init__(widget=forms.Textarea(attrs={"rows": rows}), **options)


class Hidden(forms.UUIDField):
    """The id the new row will have: the same form sent twice makes one row."""

    widget = forms.HiddenInput

    def __init__(self) -> None:
        super().__init__(initial=uuid7)


class OpenForm(forms.Form):
    """A new case."""

    case_id = Hidden()
    submission_id = forms.UUIDField(required=False, widget=forms.HiddenInput)
    claim = LongText(label=_("The claim"), help_text=_("What is being said, in one or two plain sentences."))
    found = forms.ChoiceField(label=_("How it was found"), choices=list(RumorCase.FOUND.items()))
    found_note = LongText(label=_("Where and by whom"), rows=2, required=False)


class EvidenceForm(forms.Form):
    """A piece of evidence."""

    evidence_id = Hidden()
    text = LongText(label=_("What was found out"))
    source = forms.CharField(
        label=_("Source"), max_length=200, required=False, help_text=_("Who says so: an office, a paper, a document.")
    )
    url = forms.URLField(label=_("Web address"), max_length=1000, required=False, assume_scheme="https")


class ConcludeForm(forms.Form):
    """The verdict."""

    verdict = forms.ChoiceField(label=_("The claim is"), choices=list(VERDICTS.items()), widget=forms.RadioSelect)
    summary = LongText(label=_("Why"), help_text=_("The summary that goes into the records and the reports."))


class RefutationForm(forms.Form):
    """What the public will read."""

    claim = LongText(
        label=_("The claim, as the public reads it"), rows=2, help_text=_("Leave out names and numbers of persons.")
    )
    title = forms.CharField(label=_("Title"), max_length=120)
    text = LongText(label=_("Text"), rows=6)
    title_en = forms.CharField(label=_("Title in English"), max_length=200, required=False)
    text_en = LongText(label=_("Text in English"), rows=4, required=False)
    sources = LongText(label=_("Sources"), rows=2, required=False, help_text=_("One web address a line."))
    channels = forms.MultipleChoiceField(
        label=_("Where it is told"),
        choices=[choice for choice in Refutation.CHANNELS.items() if choice[0] != "public_page"],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=_("It always stands on the public refutation page."),
    )

    def clean_sources(self) -> list[str]:
        """One source a line."""
        return [line.strip() for line in self.cleaned_data["sources"].splitlines() if line.strip()]


class CorrectionForm(RefutationForm):
    """The next version of what the public reads."""

    corrects = forms.IntegerField(widget=forms.HiddenInput)
    correction_note = LongText(label=_("What is corrected"), rows=2, max_length=1000)

    field_order = ["correction_note"]


class PublishForm(forms.Form):
    """Which draft, as it was seen."""

    refutation_id = forms.UUIDField(widget=forms.HiddenInput)
    revision = forms.IntegerField(widget=forms.HiddenInput)


class ReasonForm(forms.Form):
    """Why."""

    reason = LongText(label=_("Reason"), rows=3)


class ReportForm(forms.Form):
    """A report that was made."""

    report_id = Hidden()
    recipient = forms.ChoiceField(
        label=_("Reported to"),
        choices=[(AuthorityReport.CAC, AuthorityReport.KINDS["cac"]), *AuthorityReport.DEPARTMENTS.items()],
    )
    authority = forms.CharField(label=_("Name of the authority"), max_length=120)
    level = forms.ChoiceField(label=_("Level"), choices=list(AuthorityReport.LEVELS.items()), initial="provincial")
    reference = forms.CharField(
        label=_("Receipt"), max_length=120, help_text=_("The number of the receipt, or how it was confirmed.")
    )
    reported_at = forms.DateTimeField(
        label=_("Reported at"),
        help_text=_("Time in Shanghai."),
        initial=timezone.now,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    note = LongText(label=_("Note"), rows=2, required=False)

    def clean(self) -> dict[str, Any]:
        """Split the recipient into what the command takes."""
        cleaned = super().clean() or {}
        recipient = cleaned.pop("recipient", "")
        cleaned["kind"] = AuthorityReport.CAC if recipient == AuthorityReport.CAC else AuthorityReport.DEPARTMENT
        cleaned["department"] = "" if recipient == AuthorityReport.CAC else recipient
        return cleaned


class InvolveForm(forms.Form):
    """Another item that carried the claim."""

    submission = forms.CharField(label=_("Id of the item"), max_length=128)


class CloseForm(forms.Form):
    """Nothing to fill in."""
