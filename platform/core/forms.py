"""Forms of the staff pages. They read what was typed; whether it is allowed is for the commands to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from core.errors import Refusal


class DeskForm(forms.Form):
    """A form whose command may refuse: the refusal stands beside the fields, with the status it has."""

    status = 422
    required_css_class = "required"

    def carry_out(self, command: Callable[[dict[str, Any]], Any]) -> Any:
        """Give what was typed to a command; its answer, or None when the form or the command refused."""
        if not self.is_valid():
            self.add_error(None, _("Some fields can't be taken."))
            return None
        try:
            return command(self.cleaned_data)
        except Refusal as refusal:
            self.refuse(refusal)
            return None

    def refuse(self, refusal: Refusal) -> None:
        """Say a refusal in this form."""
        self.status = refusal.status
        self.add_error(None, refusal.detail)
        for error in refusal.errors:
            self.add_error(error["field"] if error["field"] in self.fields else None, error["detail"])
