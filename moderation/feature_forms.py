"""The forms of the feature library. They read what was typed and change with the kind of entry; the library has the last
word on every field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.forms import DeskForm
from moderation.desk_item import leaves_by_root
from moderation.feature_kinds import KINDS
from moderation.models import Feature
from moderation.screening import categories

SEVERITIES = (
    (1, gettext_lazy("1 · low")),
    (2, gettext_lazy("2 · to a person")),
    (3, gettext_lazy("3 · serious")),
    (4, gettext_lazy("4 · severest, blocked at once in an output")),
)
OPTION = "option_"
LARGEST_FILE = 50 * 1024 * 1024
_AT = {"type": "datetime-local"}


def leaf_choices(empty: str) -> list[Any]:
    """The leaves under their roots, for a select."""
    groups = leaves_by_root(categories())
    return [("", empty), *((str(root), [(leaf.pk, str(leaf)) for leaf in leaves]) for root, leaves in groups)]


class FeatureForm(DeskForm):
    """A new entry of one kind, or a new version of one. `said()` answers what the commands take."""

    value = forms.CharField(label=gettext_lazy("Value"), strip=True)
    file = forms.FileField(
        label=gettext_lazy("File"),
        required=False,
        help_text=gettext_lazy("Only hashes of it are kept. At most 50 MB."),
    )
    category = forms.ChoiceField(label=gettext_lazy("Category"))
    severity = forms.TypedChoiceField(label=gettext_lazy("Severity"), coerce=int, choices=SEVERITIES, initial=2)
    usual_options = forms.BooleanField(
        label=gettext_lazy("Find it in the usual disguises"),
        required=False,
        initial=True,
        help_text=gettext_lazy("Those that suit its length. Otherwise choose below."),
    )
    allow = forms.BooleanField(
        label=gettext_lazy("Allow-list entry"),
        required=False,
        help_text=gettext_lazy("It cancels what lies within its matches, and finds nothing itself."),
    )
    rollout = forms.IntegerField(
        label=gettext_lazy("Acts on this share of the items (%)"),
        required=False,
        min_value=1,
        max_value=100,
        initial=100,
    )
    valid_from = forms.DateTimeField(
        label=gettext_lazy("In force from"), required=False, widget=forms.DateTimeInput(_AT, format="%Y-%m-%dT%H:%M")
    )
    valid_to = forms.DateTimeField(
        label=gettext_lazy("In force until"), required=False, widget=forms.DateTimeInput(_AT, format="%Y-%m-%dT%H:%M")
    )
    clause = forms.CharField(label=gettext_lazy("Clause"), max_length=200, required=False)
    source = forms.CharField(
        label=gettext_lazy("Source"),
        max_length=120,
        required=False,
        help_text=gettext_lazy("Where it comes from, e.g. a directive's number. A list shares one source."),
    )
    note = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=300,
        required=False,
        help_text=gettext_lazy("Why it is needed, and what a trial on past items showed."),
    )
    first = ("value", "file", "category", "severity")
    options: tuple[str, ...] = ()
    further = ("allow", "rollout", "valid_from", "valid_to", "clause", "source", "note")

    def __init__(
        self,
        kind: str,
        data: Any = None,
        files: Any = None,
        *,
        of: Feature | None = None,
        initial: dict[str, Any] | None = None,
    ):
        self.kind = kind
        initial = {**(_as_typed(of) if of else {}), **(initial or {})}
        super().__init__(data, files, auto_id="feature_%s", initial=initial)
        known = KINDS[kind]
        value = self.fields["value"]
        value.label, value.help_text = Feature.KINDS[kind], known.value_help
        if kind in ("text", "pattern"):
            value.widget = forms.Textarea(attrs={"rows": 6 if kind == "text" else 3, "spellcheck": "false"})
        if known.of_files:
            value.required = False
        else:
            del self.fields["file"]
        self.fields["category"].choices = leaf_choices(_("Choose…"))  # type: ignore[attr-defined]
        if kind != "term" or of is not None:
            del self.fields["usual_options"]
        named = []
        for name, option in known.options.items():
            named.append(OPTION + name)
            given = (of.options or {}).get(name) if of else None
            if option.kind is bool:
                self.fields[OPTION + name] = forms.BooleanField(label=option.label, required=False, initial=bool(given))
            else:
                self.fields[OPTION + name] = forms.FloatField(
                    label=option.label,
                    required=False,
                    initial=given,
                    min_value=option.least,
                    max_value=option.most,
                    help_text=option.help,
                )
        self.options = ("usual_options", *named) if "usual_options" in self.fields else tuple(named)

    def clean(self) -> dict[str, Any]:
        """A hash or a file."""
        given = super().clean() or self.cleaned_data
        if "file" in self.fields and "file" not in self.errors:
            file = given.get("file")
            if file is not None and file.size > LARGEST_FILE:
                self.add_error("file", _("The file is too large."))
            elif file is None and not given.get("value") and "value" not in self.errors:
                self.add_error("value", _("Give its hash, or show the file."))
        return given

    def said(self) -> dict[str, Any]:
        """What was typed, as `features.propose`, `revise` and `edit` take it; without the file."""
        given = dict(self.cleaned_data)
        given.pop("file", None)
        options = {}
        for name, option in KINDS[self.kind].options.items():
            value = given.pop(OPTION + name, None)
            if value not in (None, False):
                options[name] = option.kind(value)
        if given.pop("usual_options", False):
            return {**given, "rollout": given["rollout"] or 100, "options": None}
        return {**given, "rollout": given["rollout"] or 100, "options": options}

    def blocks(self) -> list[tuple[str, list[forms.BoundField]]]:
        """The fields in three parts: what it is, how it is looked for, what else is said."""
        parts = (("first", self.first), ("options", self.options), ("further", self.further))
        return [(part, [self[name] for name in names if name in self.fields]) for part, names in parts]

    @property
    def wrong_further(self) -> bool:
        """Whether something in the folded parts needs the reader's eye."""
        return any(name in self.errors for name in (*self.options, *self.further))


def _as_typed(feature: Feature) -> dict[str, Any]:
    names = ("value", "severity", "allow", "rollout", "valid_from", "valid_to", "clause", "source", "note")
    return {name: getattr(feature, name) for name in names} | {"category": feature.category_id}


class ListForm(DeskForm):
    """A list of entries as a file."""

    file = forms.FileField(
        label=gettext_lazy("File (CSV)"),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        allow_empty_file=True,
    )
    source = forms.CharField(
        label=gettext_lazy("Source"),
        max_length=120,
        help_text=gettext_lazy("Where the list comes from. By it another person approves the whole list."),
    )
