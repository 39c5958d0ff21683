"""The forms about colleagues, emergencies and invitations."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.pages.forms import StaffForm
from core import roles
from core.errors import Refusal, field_error
from core.forms import DeskForm


class InviteForm(StaffForm):
    """Somebody who is asked to join."""

    email = forms.EmailField(
        required=False,
        label=_("Work e-mail"),
        help_text=_("Where the invitation and alarms are sent. Empty: hand the link over yourself."),
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )


class RoleForm(DeskForm):
    """Another role for a colleague."""

    role = forms.ChoiceField(label=_("Role"), choices=list(roles.ROLES.items()))


class EmergencyForm(DeskForm):
    """Why somebody breaks the glass."""

    reason = forms.CharField(
        max_length=1000,
        label=_("What happened"),
        help_text=_("Everybody on duty reads this at once. Name nobody."),
        widget=forms.Textarea(attrs={"rows": 3, "minlength": 10}),
    )


class ReviewForm(DeskForm):
    """What a reviewer found after an emergency."""

    text = forms.CharField(max_length=4000, label=_("What you found"), widget=forms.Textarea(attrs={"rows": 3}))


class AcceptForm(DeskForm):
    """The password with which an invitation is accepted."""

    password = forms.CharField(
        max_length=200,
        strip=False,
        label=_("Password"),
        help_text=_("Twelve characters at least; a sentence is good."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        max_length=200,
        strip=False,
        label=_("The password again"),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def password_given(self, given: dict[str, Any]) -> str:
        """The password, when both times the same was typed; refuses otherwise."""
        if given["password"] != given["again"]:
            raise Refusal(
                "fields_invalid",
                _("Some fields can't be taken."),
                errors=[field_error("again", "different", _("This is not the same password."))],
            )
        return given["password"]
