"""The forms of requests about personal data and of the list of reveals."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Staff
from core.forms import DeskForm


class AnswerForm(DeskForm):
    """What the person reads."""

    answer = forms.CharField(
        max_length=4000, label=_("Answer that the person will read"), widget=forms.Textarea(attrs={"rows": 4})
    )


class DownloadForm(DeskForm):
    """Why a colleague takes all data of a person away."""

    reason = forms.CharField(max_length=500, label=_("Why you need to see it"))


class LooksFilter(forms.Form):
    """Whose looks are listed."""

    staff = forms.ModelChoiceField(
        queryset=Staff.objects.order_by("username"), required=False, label=_("Colleague"), empty_label=_("everybody")
    )
