"""The forms of appeals: the user's on the public page, and the answer."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.appeals import LONGEST
from core.forms import DeskForm


class AppealForm(DeskForm):
    """An appeal. The second field is never seen by people: programs that fill in everything give themselves away."""

    statement = forms.CharField(
        label=_("Why the measure is wrong"),
        help_text=_("In your own words. Leave out numbers of documents: they are not needed here."),
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 6, "autocomplete": "off"}),
    )
    website = forms.CharField(
        required=False,
        label=_("Leave this empty"),
        widget=forms.TextInput(attrs={"tabindex": "-1", "autocomplete": "off"}),
    )

    def clean_website(self) -> str:
        """Refuse what only a program fills in."""
        if self.cleaned_data["website"]:
            raise ValidationError(_("Leave this empty"))
        return ""


class AnswerForm(DeskForm):
    """Accept or refuse an appeal."""

    outcome = forms.ChoiceField(
        label=_("Answer"),
        choices=[("accept", _("Accept: the measure is lifted")), ("refuse", _("Refuse: the measure stays"))],
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose one of the two.")},
    )
    reason = forms.CharField(
        max_length=2000, label=_("Reason that the user will read"), widget=forms.Textarea(attrs={"rows": 4})
    )
