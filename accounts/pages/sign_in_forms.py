"""The forms of the door and of one's own security."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _

from accounts import sign_in
from core.forms import DeskForm


def code_field(**more: Any) -> forms.CharField:
    """A code of an app, or a recovery code."""
    attributes = {"autocomplete": "one-time-code", "spellcheck": "false", "autocapitalize": "off"}
    return forms.CharField(max_length=40, widget=forms.TextInput(attrs={**attributes, **more.pop("attrs", {})}), **more)


def password_field(label: Any, *, new: bool = False, **more: Any) -> forms.CharField:
    """A password, of any length and script, exactly as it was typed."""
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password" if new else "current-password"})
    return forms.CharField(label=label, strip=False, widget=widget, **more)


class SignInForm(AuthenticationForm):
    """Name and password."""

    def clean(self) -> dict[str, Any]:
        """Raises Refusal (429) while tries must wait."""
        username, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if username and password and self.request is not None:
            staff = sign_in.check_credentials(self.request, username=username, password=password)
            if staff is None:
                raise self.get_invalid_login_error()
            self.confirm_login_allowed(staff)  # type: ignore[arg-type]
            self.user_cache = staff
        return self.cleaned_data


class OneTimeForm(DeskForm):
    """A form whose code is not shown again: the next try is another one."""

    def forget_code(self) -> None:
        """Empty the field, once the code is read."""
        self.data = {**self.data.dict(), "code": ""}  # type: ignore[attr-defined]


class CodeForm(OneTimeForm):
    """A code of an app or a recovery code."""

    code = code_field(label=_("Code"), attrs={"autofocus": True})


class KeyForm(DeskForm):
    """What a security key answered; a script fills it in."""

    credential = forms.CharField(max_length=20_000, widget=forms.HiddenInput)


class AppForm(DeskForm):
    """The first code of a new app."""

    code = code_field(label=_("Code that the app shows now"), attrs={"inputmode": "numeric"})


class NewKeyForm(DeskForm):
    """A new security key."""

    name = forms.CharField(
        max_length=60,
        label=_("Name for this key"),
        help_text=_("So that you know later which one it is."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    credential = forms.CharField(max_length=20_000, widget=forms.HiddenInput)


class PasswordForm(DeskForm):
    """A new password of one's own."""

    password = password_field(_("Your password"))
    new_password = password_field(
        _("New password"), new=True, help_text=_("At least 12 characters, any you like. A sentence is easy to keep.")
    )
    again = password_field(_("New password once more"), new=True)

    def clean(self) -> dict[str, Any]:
        """Both must be the same."""
        given = super().clean() or {}
        if given.get("new_password") and given.get("again") and given["new_password"] != given["again"]:
            self.add_error("again", _("This is not the same password."))
        return given


class ConfirmForm(OneTimeForm):
    """One of the ways to show that it is still oneself."""

    password = password_field(_("Your password"), required=False)
    code = code_field(label=_("Code"), required=False)
    credential = forms.CharField(required=False, max_length=20_000, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """One of them must be there."""
        given = super().clean() or {}
        if not any(given.values()):
            raise forms.ValidationError(_("Enter your password or a code."), code="required")
        return given
