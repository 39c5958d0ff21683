"""The feature library (DS-10b) on screen: look, propose, approve what somebody else proposed, retire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_POST

from core.errors import Refusal
from core.pages import Page, staff_page
from core.roles import may
from moderation import library
from moderation.desk_item import leaves_by_root
from moderation.models import Feature, Finding, Library
from moderation.screening import categories
from moderation.states import FEATURE

HITS_DAYS = 7
SEVERITIES = (
    (1, gettext_lazy("1 · low")),
    (2, gettext_lazy("2 · to a person")),
    (3, gettext_lazy("3 · serious")),
    (4, gettext_lazy("4 · severest, blocked at once in an output")),
)


class Proposal(forms.Form):
    """A new entry; the library has the last word on every field."""

    value = forms.CharField(label=gettext_lazy("Term"), max_length=200, strip=True)
    category = forms.ChoiceField(label=gettext_lazy("Category"))
    severity = forms.TypedChoiceField(label=gettext_lazy("Severity"), coerce=int, choices=SEVERITIES, initial=2)
    source = forms.CharField(
        label=gettext_lazy("Source"),
        max_length=120,
        required=False,
        help_text=gettext_lazy("Where it comes from, e.g. a directive's number. A list shares one source."),
    )
    note = forms.CharField(label=gettext_lazy("Note"), max_length=300, required=False)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["category"].choices = [  # type: ignore[attr-defined]
            ("", _("Choose…")),
            *((str(root), [(leaf.pk, str(leaf)) for leaf in leaves]) for root, leaves in leaves_by_root(categories())),
        ]


@staff_page("feature.view")
@require_GET
def features(request: HttpRequest) -> HttpResponse:
    """The library: its version, its entries newest first, how often each hit lately."""
    return _features(request, Proposal(auto_id="propose_%s"))


def _features(request: HttpRequest, form: Proposal, *, status: int = 200) -> HttpResponse:
    wanted = {name: request.GET.get(name, "").strip() for name in ("state", "category", "q")}
    tree = categories()
    rows = Feature.objects.select_related("proposed_by", "approved_by")
    if wanted["state"]:
        rows = rows.filter(state=wanted["state"])
    if wanted["category"]:
        rows = rows.filter(Q(category=wanted["category"]) | Q(category__code__startswith=wanted["category"] + "."))
    if wanted["q"]:
        rows = rows.filter(value__icontains=wanted["q"].replace("\x00", "")[:200])
    before = request.GET.get("before", "")
    page = Page(rows, before=before if before.isdecimal() and len(before) < 19 else "")
    hits = hits_of([feature.pk for feature in page])
    approver = may(request.user, "feature.approve")
    kept = {name: value for name, value in wanted.items() if value}
    counts = dict(Feature.objects.values_list("state").annotate(Count("pk")))
    return render(
        request,
        "moderation/features.html",
        {
            "library": Library.objects.filter(pk=1).first(),
            "page": page,
            "rows": [_row(feature, tree, hits, request.user, approver) for feature in page],
            "wanted": wanted,
            "filtered": bool(kept),
            "states": [(state, FEATURE.words[state], counts.get(state, 0)) for state in FEATURE.states],
            "leaves": leaves_by_root(tree),
            "lists": waiting_lists(request.user) if approver else [],
            "form": form if may(request.user, "feature.propose") else None,
            "first_url": "?" + urlencode(kept) if before else "",
            "next_url": "?" + urlencode({**kept, "before": page.next}) if page.next else "",
        },
        status=status,
    )


def _row(feature: Feature, tree: dict[str, Any], hits: dict[int, int], person: Any, approver: bool) -> dict[str, Any]:
    return {
        "feature": feature,
        "category": tree.get(feature.category_id),
        "hits": hits.get(feature.pk, 0),
        # The server asks again; buttons that would only be refused are not shown.
        "may_approve": approver and feature.state == "proposed" and feature.proposed_by_id != person.pk,
        "may_refuse": approver and feature.state == "proposed",
        "may_retire": approver and feature.state == "active",
        "own": feature.proposed_by_id == person.pk,
    }


def hits_of(feature_ids: list[int]) -> dict[int, int]:
    """How often each of these entries was found in the last HITS_DAYS days; one query."""
    since = timezone.now() - timedelta(days=HITS_DAYS)
    rows = Finding.objects.filter(created_at__gte=since, feature_id__in=feature_ids)
    return dict(rows.values_list("feature_id").annotate(Count("pk"))) if feature_ids else {}


def waiting_lists(person: Any) -> list[dict[str, Any]]:
    """Sources with several entries that this person could approve at once."""
    rows = (
        Feature.objects.filter(state="proposed")
        .exclude(source="")
        .exclude(proposed_by=person.pk)
        .values("source")
        .annotate(entries=Count("pk"))
        .filter(entries__gt=1)
        .order_by("-entries")
    )
    return [dict(row) for row in rows[:10]]


@staff_page("feature.propose")
@require_POST
def propose(request: HttpRequest) -> HttpResponse:
    """Propose an entry; it acts only once somebody else approved it."""
    form = Proposal(request.POST, auto_id="propose_%s")
    if form.is_valid():
        try:
            feature = library.propose(by=request.user, **form.cleaned_data)
        except Refusal as refusal:
            for error in refusal.errors or [{"field": "value", "detail": refusal.detail}]:
                form.add_error(error["field"] if error["field"] in form.fields else None, str(error["detail"]))
        else:
            messages.success(request, _("Proposed: %(term)s. Another person approves it.") % {"term": feature.value})
            return redirect("features")
    return _features(request, form, status=422)


@staff_page("feature.approve")
@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """Put an entry in force."""
    return _act(request, lambda: library.approve(feature_id=pk, by=request.user), _("In force: %(term)s"))


@staff_page("feature.approve")
@require_POST
def refuse(request: HttpRequest, pk: int) -> HttpResponse:
    """Turn a proposal down."""
    reason = request.POST.get("reason", "")[:2000]
    return _act(
        request, lambda: library.refuse(feature_id=pk, reason=reason, by=request.user), _("Turned down: %(term)s")
    )


@staff_page("feature.approve")
@require_POST
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an entry out of force."""
    reason = request.POST.get("reason", "")[:2000]
    return _act(request, lambda: library.retire(feature_id=pk, reason=reason, by=request.user), _("Retired: %(term)s"))


def _act(request: HttpRequest, command: Callable[[], Feature], said: str) -> HttpResponse:
    messages.success(request, said % {"term": command().value})
    return _back(request)


@staff_page("feature.approve")
@require_POST
def approve_list(request: HttpRequest) -> HttpResponse:
    """Approve every proposed entry of one source."""
    source = request.POST.get("source", "")
    done = library.approve_all(by=request.user, source=source) if source else 0
    if done:
        messages.success(
            request, ngettext("%(n)s entry is in force.", "%(n)s entries are in force.", done) % {"n": done}
        )
    else:
        messages.info(request, _("Nothing of this source waits for you."))
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    to = request.POST.get("back", "")
    allowed = to.startswith("/features/") and url_has_allowed_host_and_scheme(to, allowed_hosts=None)
    return redirect(to if allowed else "features")
