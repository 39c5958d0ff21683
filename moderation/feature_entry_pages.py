"""One entry of the feature library on screen: what it is, what it hit, what became of it; and the form in which entries
are proposed, changed and revised."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core import audit
from core.pages import staff_page
from core.roles import may
from moderation import features as commands
from moderation.feature_figures import DAYS, Figures, figures_of, samples_of
from moderation.feature_forms import FeatureForm
from moderation.feature_from_file import take
from moderation.feature_kinds import KINDS
from moderation.feature_pages import deeds
from moderation.models import Feature
from moderation.screening import categories

HISTORY = 50
VERSIONS = 50
DONE = {
    "feature.proposed": gettext_lazy("Proposed"),
    "feature.edited": gettext_lazy("Proposal changed"),
    "feature.withdraw": gettext_lazy("Withdrawn"),
    "feature.approve": gettext_lazy("Approved"),
    "feature.refuse": gettext_lazy("Turned down"),
    "feature.revised": gettext_lazy("A revision was proposed"),
    "feature.replace": gettext_lazy("Replaced by its revision"),
    "feature.retire": gettext_lazy("Retired"),
    "feature.brake": gettext_lazy("Stopped by the brake"),
    "feature.let_go": gettext_lazy("Let go on after the brake"),
    "feature.began": gettext_lazy("Came into force by the clock"),
    "feature.ended": gettext_lazy("Went out of force by the clock"),
    "alarm.feature_braked": gettext_lazy("An alarm was raised"),
    "alarm.seen": gettext_lazy("The alarm was seen"),
}


@staff_page("feature.view")
@require_GET
def entry(request: HttpRequest, pk: int) -> HttpResponse:
    """An entry with its versions, its history, its figures and the items it hit."""
    feature = _found(pk)
    tree = categories()
    known = KINDS[feature.kind]
    context = {
        "feature": feature,
        "kind": Feature.KINDS[feature.kind],
        "share_shown": f"{feature.braked_share or 0:.1%}",
        "category": tree.get(feature.category_id),
        "options": [
            (known.options[name].label if name in known.options else name, "" if value is True else value)
            for name, value in (feature.options or {}).items()
        ],
        "figures": figures_of([pk]).get(pk, Figures()),
        "days": DAYS,
        "samples": samples_of(pk),
        "history": [
            {"event": event, "what": DONE.get(event.action, event.action)}
            for event in audit.latest(f"feature:{pk}", most=HISTORY)
        ],
        "versions": versions_of(feature),
        "waiting": Feature.objects.filter(replaces=feature, state="proposed").first(),
        "changed": commands.changes(feature.replaces, feature) if feature.replaces else [],
        "may_backtest": may(request.user, "backtest.run") and feature.state in ("proposed", "active", "braked"),
        "coming": feature.state == "active" and _not_yet(feature),
        **deeds(feature, request.user),
    }
    return render(request, "moderation/feature.html", context)


def _not_yet(feature: Feature) -> bool:
    return feature.valid_from is not None and feature.valid_from > commands.now()


def versions_of(feature: Feature) -> list[Feature]:
    """The versions before and after an entry, the newest first."""
    found = {feature.pk: feature}
    edge = [feature]
    while edge and len(found) < VERSIONS:
        ids = [one.pk for one in edge]
        earlier = [one.replaces_id for one in edge if one.replaces_id and one.replaces_id not in found]
        rows = Feature.objects.filter(replaces__in=ids) | Feature.objects.filter(pk__in=earlier)
        edge = [one for one in rows.select_related("proposed_by", "approved_by") if one.pk not in found]
        found |= {one.pk: one for one in edge}
    return sorted(found.values(), key=lambda one: -one.pk)


@staff_page("feature.propose")
@require_GET
def new(request: HttpRequest) -> HttpResponse:
    """The form for an entry of a kind."""
    kind = request.GET.get("kind", "term")
    kind = kind if kind in KINDS else "term"
    return _form(request, FeatureForm(kind, initial={"source": request.GET.get("source", "")[:120]}))


@staff_page("feature.propose")
@require_POST
def propose(request: HttpRequest) -> HttpResponse:
    """Propose an entry; it acts only once somebody else approved it."""
    kind = request.POST.get("kind", "term")
    if kind not in KINDS:
        raise Http404
    form = FeatureForm(kind, request.POST, request.FILES)
    made = form.carry_out(lambda given: commands.propose(kind=kind, by=request.user, **_shown(form, given)))
    if made is None:
        return _form(request, form)
    messages.success(request, _("Proposed: %(term)s. Another person approves it.") % {"term": made.value[:80]})
    return redirect("feature", made.pk)


@staff_page("feature.propose")
@require_http_methods(["GET", "POST"])
def revise(request: HttpRequest, pk: int) -> HttpResponse:
    """Propose another version of an entry in force."""
    return _change(request, pk, commands.revise, _("The revision is proposed. Another person approves it."))


@staff_page("feature.propose")
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change one's own proposal."""
    return _change(request, pk, commands.edit, _("The proposal is changed."))


def _change(request: HttpRequest, pk: int, command: Callable[..., Feature], said: str) -> HttpResponse:
    feature = _found(pk)
    if request.method == "GET":
        return _form(request, FeatureForm(feature.kind, of=feature), of=feature)
    form = FeatureForm(feature.kind, request.POST, request.FILES, of=feature)
    made = form.carry_out(lambda given: command(feature_id=pk, by=request.user, **_shown(form, given)))
    if made is None:
        return _form(request, form, of=feature)
    messages.success(request, said)
    return redirect("feature", made.pk)


def _form(request: HttpRequest, form: FeatureForm, *, of: Feature | None = None) -> HttpResponse:
    context = {
        "form": form,
        "kind": form.kind,
        "kind_name": Feature.KINDS[form.kind],
        "kinds": Feature.KINDS.items(),
        "of": of,
        "edits": of is not None and of.state == "proposed",
    }
    return render(request, "moderation/feature_form.html", context, status=form.status if form.is_bound else 200)


def _shown(form: FeatureForm, given: dict[str, Any]) -> dict[str, Any]:
    """What was typed, and for a kind of files what the shown file says. The file is opened in the box."""
    said = form.said()
    upload = given.get("file")
    if upload is None:
        return said
    with tempfile.NamedTemporaryFile(prefix="feature-") as copy:
        _copy(upload, copy)
        taken = take(kind=form.kind, path=copy.name)
    named = form.kind in ("video", "audio") and said["value"]
    return {**said, "value": said["value"] if named else taken.value, "data": taken.data}


def _copy(upload: UploadedFile, copy: Any) -> None:
    for chunk in upload.chunks():
        copy.write(chunk)
    copy.flush()


def _found(pk: int) -> Feature:
    rows = Feature.objects.select_related("proposed_by", "approved_by", "replaces")
    feature = rows.filter(pk=pk).first() if pk < 2**31 else None
    if feature is None:
        raise Http404
    return feature
