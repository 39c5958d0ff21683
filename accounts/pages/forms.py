"""The forms of the accounts pages. They read what was typed; whether it is allowed is for the commands to say."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import guardians, ladder
from accounts.keys import SCOPES
from accounts.models import Measure
from accounts.states import ACCOUNT_WORDS, IDENTITY_WORDS
from core import outbox, roles
from core.forms import DeskForm
from core.ids import uuid7
from core.models import Gate
from governance.models import Function, Service

_ANY = [("", _("any"))]


class UserFilter(forms.Form):
    """What the list of users is narrowed by."""

    q = forms.CharField(required=False, max_length=128, label=_("External id begins with"))
    identity = forms.ChoiceField(
        required=False,
        label=_("Identity"),
        choices=[*_ANY, *[(s, w) for s, w in IDENTITY_WORDS.items() if s != "replaced"]],
    )
    account = forms.ChoiceField(required=False, label=_("Account"), choices=[*_ANY, *ACCOUNT_WORDS.items()])
    same = forms.UUIDField(required=False, widget=forms.HiddenInput)
    before = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def chosen(self) -> dict[str, Any]:
        """The filters that hold a value; a nonsense one counts as none."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


class NumberSearch(DeskForm):
    """A number to find a user by. Posted, so that it stands in no address, history or log."""

    number = forms.CharField(
        max_length=40,
        label=_("ID number, mobile or credit code"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class DecisionForm(DeskForm):
    """Verify or reject an identity."""

    outcome = forms.ChoiceField(
        choices=[("verify", _("Verify")), ("reject", _("Reject"))],
        error_messages={"required": _("Choose one of the two.")},
    )
    reason = forms.CharField(
        required=False,
        max_length=2000,
        label=_("Reason that the user will read"),
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    next = forms.UUIDField(required=False, widget=forms.HiddenInput)


class RevealForm(DeskForm):
    """Why somebody needs to see a number in the clear."""

    reason = forms.CharField(max_length=500, label=_("Why you need to see it"))


class GuardianForm(DeskForm):
    """A guardian's consent for a minor."""

    relation = forms.ChoiceField(label=_("Relation to the child"), choices=list(guardians.RELATIONS.items()))
    name = forms.CharField(
        max_length=80, label=_("Name of the guardian"), widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    document = forms.UUIDField(label=_("Picture that shows the consent"))


class ProposalForm(DeskForm):
    """What to do with a proposal, which names the one that was read."""

    seen = forms.DateTimeField(widget=forms.HiddenInput)
    reason = forms.CharField(required=False, max_length=2000, label=_("Reason"))


class MeasureForm(DeskForm):
    """A measure on an account (DS-10e, GEN-12). Its id is chosen when the form is shown: sent twice it is one measure."""

    measure_id = forms.UUIDField(required=False, initial=uuid7, widget=forms.HiddenInput)
    cause = forms.CharField(required=False, max_length=80, widget=forms.HiddenInput)
    severity = forms.TypedChoiceField(
        required=False,
        coerce=int,
        empty_value=None,
        label=_("Severity"),
        help_text=_("The recommended measure is filled in for it and kept beside what you choose."),
        choices=[("", "—"), *ladder.SEVERITIES.items()],
    )
    kind = forms.ChoiceField(label=_("Measure"), choices=list(Measure.KINDS.items()))
    functions = forms.MultipleChoiceField(
        required=False,
        label=_("Functions"),
        help_text=_("Only for a limit: which functions stop."),
        widget=forms.CheckboxSelectMultiple,
    )
    ground = forms.CharField(
        max_length=2000, label=_("Ground that the user will read"), widget=forms.Textarea(attrs={"rows": 3})
    )
    clause = forms.CharField(required=False, max_length=200, label=_("Clause of the agreement or law"))
    ends_at = forms.DateTimeField(
        required=False,
        label=_("Until (Beijing time)"),
        help_text=_("Empty: until somebody lifts it. A suspension needs one or the other."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    until_lifted = forms.BooleanField(required=False, label=_("Until somebody lifts it"))
    remedy = forms.CharField(
        required=False,
        max_length=2000,
        label=_("How the user can put it right"),
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    material = forms.CharField(
        required=False,
        max_length=2000,
        label=_("What the user must hand in for that"),
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def __init__(self, *args: Any, functions: QuerySet[Function], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["functions"].choices = [(f.code, str(f)) for f in functions]  # type: ignore[attr-defined]


class ReasonForm(DeskForm):
    """A deed that only needs a reason."""

    reason = forms.CharField(max_length=2000, label=_("Reason"), widget=forms.Textarea(attrs={"rows": 2}))


class StaffForm(DeskForm):
    """A new colleague."""

    username = forms.SlugField(
        max_length=40,
        label=_("User name"),
        help_text=_("Letters, digits, hyphen and underscore. It stands in the ledger and stays for good."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    display_name = forms.CharField(max_length=60, label=_("Name shown to colleagues"))
    role = forms.ChoiceField(label=_("Role"), choices=list(roles.ROLES.items()))


def service_choice(**kwargs: Any) -> forms.ModelChoiceField:
    """A choice among the services."""
    return forms.ModelChoiceField(queryset=Service.objects.order_by("code"), label=_("Service"), **kwargs)


class ClientForm(DeskForm):
    """A new API client."""

    service = service_choice()
    name = forms.CharField(max_length=80, label=_("Name of the program"))


class KeyForm(DeskForm):
    """A new key of a client. Its id is chosen when the form is shown, so that the form sent twice is one key."""

    key_id = forms.UUIDField(required=False, initial=uuid7, widget=forms.HiddenInput)
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"), choices=list(SCOPES.items()), widget=forms.CheckboxSelectMultiple
    )
    expires_at = forms.DateTimeField(
        required=False,
        label=_("Valid until (Beijing time)"),
        help_text=_("Empty: until it is revoked."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )


class EndpointForm(DeskForm):
    """Where a service hears of events."""

    service = service_choice()
    url = forms.CharField(
        max_length=500, label=_("Address"), widget=forms.URLInput(attrs={"placeholder": "https://example.cn/hooks"})
    )
    topics = forms.MultipleChoiceField(
        required=False,
        label=_("Topics"),
        help_text=_("None chosen: every topic."),
        choices=[(topic, topic) for topic in outbox.WEBHOOK_TOPICS],
        widget=forms.CheckboxSelectMultiple,
    )


class GateForm(DeskForm):
    """Close a capability."""

    capability = forms.ChoiceField(label=_("What is closed"), choices=list(Gate.CAPABILITIES.items()))
    service = service_choice(required=False, empty_label=_("All services"))
    directive = forms.CharField(
        max_length=120,
        label=_("Number of the directive"),
        help_text=_("Callers are told this number."),
    )
    until = forms.DateTimeField(
        required=False,
        label=_("Until (Beijing time)"),
        help_text=_("Empty: until somebody opens it."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
