"""The feature library (DS-10b) on screen: the list with its filters, and what is done with an entry there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from core import audit
from core.pages import Page, staff_page
from core.roles import may
from moderation import features as commands
from moderation.desk_item import leaves_by_root
from moderation.feature_figures import DAYS, Figures, figures_of
from moderation.feature_files import write_rows
from moderation.models import Feature, FeatureImport, Library
from moderation.screening import categories
from moderation.states import FEATURE

FILTERS = ("state", "kind", "category", "source", "q")


@staff_page("feature.view")
@require_GET
def features(request: HttpRequest) -> HttpResponse:
    """The library: its version, its entries newest first, what each hit and what people said of that."""
    wanted = _wanted(request)
    before = request.GET.get("before", "")
    rows = _filtered(wanted).select_related("proposed_by", "approved_by")
    page = Page(rows, before=before if before.isdecimal() and len(before) < 10 else "")
    tree = categories()
    figures = figures_of([feature.pk for feature in page])
    approver = may(request.user, "feature.approve")
    proposer = may(request.user, "feature.propose")
    kept = {name: value for name, value in wanted.items() if value}
    counts = dict(Feature.objects.values_list("state").annotate(Count("pk")).order_by())
    return render(
        request,
        "moderation/features.html",
        {
            "library": Library.objects.filter(pk=1).first(),
            "page": page,
            "rows": [
                {
                    "feature": feature,
                    "kind": Feature.KINDS.get(feature.kind, feature.kind),
                    "category": tree.get(feature.category_id),
                    "figures": figures.get(feature.pk, Figures()),
                    **deeds(feature, request.user),
                }
                for feature in page
            ],
            "wanted": wanted,
            "filtered": bool(kept),
            "states": [(state, FEATURE.words[state], counts.get(state, 0)) for state in FEATURE.states],
            "kinds": Feature.KINDS.items(),
            "leaves": leaves_by_root(tree),
            "lists": commands.waiting_lists(request.user) if approver else [],
            "may_propose": proposer,
            "may_see_sources": may(request.user, "source_unit.view"),
            "imports": FeatureImport.objects.filter(state__in=["checking", "checked", "running"]).count()
            if proposer
            else 0,
            "days": DAYS,
            "export": urlencode(kept),
            "first_url": "?" + urlencode(kept) if before else "",
            "next_url": "?" + urlencode({**kept, "before": page.next}) if page.next else "",
        },
    )


def _wanted(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET.get(name, "").replace("\x00", "").strip()[:200] for name in FILTERS}


def _filtered(wanted: dict[str, str]) -> QuerySet[Feature]:
    rows = Feature.objects.all()
    for name in ("state", "kind"):
        if wanted[name]:
            rows = rows.filter(**{name: wanted[name]})
    if wanted["category"]:
        rows = rows.filter(Q(category=wanted["category"]) | Q(category__code__startswith=wanted["category"] + "."))
    if wanted["source"]:
        rows = rows.filter(source__icontains=wanted["source"])
    if wanted["q"]:
        rows = rows.filter(value__icontains=wanted["q"])
    return rows


def deeds(feature: Feature, person: Any) -> dict[str, Any]:
    """What this person may do with an entry. The server asks again; buttons that would only be refused aren't shown."""
    approver, proposer = may(person, "feature.approve"), may(person, "feature.propose")
    own, state = feature.proposed_by_id == person.pk, feature.state
    proposed = state == "proposed"
    return {
        "own": own,
        "saw": commands.seen(feature) if proposed else "",
        "may_approve": approver and proposed and not own,
        "may_refuse": approver and proposed and not own,
        "may_withdraw": proposer and proposed and own,
        "may_edit": proposer and proposed and own,
        "may_retire": approver and state in commands.IN_FORCE,
        "may_let_go": approver and state == "braked",
        "may_revise": proposer and state in commands.IN_FORCE,
    }


@staff_page("feature.approve")
@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """Put an entry in force."""
    saw = request.POST.get("saw", "")
    return _act(request, lambda: commands.approve(feature_id=pk, saw=saw, by=request.user), _("In force: %(term)s"))


@staff_page("feature.approve")
@require_POST
def refuse(request: HttpRequest, pk: int) -> HttpResponse:
    """Turn a proposal down."""
    return _act(
        request,
        lambda: commands.refuse(feature_id=pk, reason=_reason(request), by=request.user),
        _("Turned down: %(term)s"),
    )


@staff_page("feature.propose")
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take one's own proposal back."""
    return _act(
        request,
        lambda: commands.withdraw(feature_id=pk, reason=_reason(request), by=request.user),
        _("Withdrawn: %(term)s"),
    )


@staff_page("feature.approve")
@require_POST
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an entry out of force."""
    return _act(
        request,
        lambda: commands.retire(feature_id=pk, reason=_reason(request), by=request.user),
        _("Retired: %(term)s"),
    )


@staff_page("feature.approve")
@require_POST
def let_go(request: HttpRequest, pk: int) -> HttpResponse:
    """Let an entry go on that the brake stopped."""
    return _act(
        request,
        lambda: commands.let_go(feature_id=pk, reason=_reason(request), by=request.user),
        _("In force again: %(term)s"),
    )


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").replace("\x00", "")[:2000]


def _act(request: HttpRequest, command: Callable[[], Feature], said: str) -> HttpResponse:
    messages.success(request, said % {"term": command().value[:80]})
    return back(request)


@staff_page("feature.approve")
@require_POST
def approve_list(request: HttpRequest) -> HttpResponse:
    """Approve every proposed entry of one source."""
    source = request.POST.get("source", "")
    done = commands.approve_all(by=request.user, source=source, saw=request.POST.get("saw", "")) if source else 0
    if done:
        messages.success(
            request, ngettext("%(n)s entry is in force.", "%(n)s entries are in force.", done) % {"n": done}
        )
    else:
        messages.info(request, _("Nothing of this source waits for you."))
    return back(request)


def back(request: HttpRequest) -> HttpResponse:
    """To the page of the library that one came from."""
    to = request.POST.get("back", "")
    allowed = to.startswith("/features/") and url_has_allowed_host_and_scheme(to, allowed_hosts=None)
    return redirect(to if allowed else "features")


@staff_page("feature.view")
@require_GET
def export(request: HttpRequest) -> StreamingHttpResponse:
    """The entries that the filters let through as a CSV file, which can be imported again; with `guard` for
    spreadsheets."""
    wanted = _wanted(request)
    guard = request.GET.get("guard") == "1"
    rows = _filtered(wanted).order_by("pk")
    with transaction.atomic():
        audit.record(
            action="feature.exported",
            subject="library:1",
            by=request.user,
            data={"rows": rows.count(), "filters": [name for name in FILTERS if wanted[name]]},
        )
    response = StreamingHttpResponse(write_rows(rows, guard=guard), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="features.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response
