"""The list of news source units on screen (DS-06b, DS-06c): look, add, change, strike, take a published list in."""

from __future__ import annotations

import io
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from core.errors import Refusal
from core.forms import DeskForm
from core.pages import Page, staff_page
from core.roles import may
from moderation import source_units
from moderation.models import SourceUnit

MOST_BYTES = 4 * 1024 * 1024
SHOWN_PROBLEMS = 50


class UnitForm(DeskForm):
    """One unit."""

    name = forms.CharField(label=gettext_lazy("Source unit"), max_length=120)
    domains = forms.CharField(
        label=gettext_lazy("Addresses"),
        max_length=4000,
        help_text=gettext_lazy("The domains it publishes under, separated by spaces. Subdomains are included."),
    )
    list_name = forms.CharField(label=gettext_lazy("Published list"), max_length=120, required=False)


class ListForm(DeskForm):
    """A published list as a CSV file."""

    file = forms.FileField(label=gettext_lazy("CSV file with the columns name and domains"))
    list_name = forms.CharField(label=gettext_lazy("Published list"), max_length=120)


@staff_page("source_unit.view")
@require_safe
def source_units_list(request: HttpRequest) -> HttpResponse:
    """The list, newest entries first."""
    return _page(request)


def _page(
    request: HttpRequest,
    *,
    form: UnitForm | None = None,
    list_form: ListForm | None = None,
    imported: source_units.Imported | None = None,
    status: int = 200,
) -> HttpResponse:
    wanted = request.GET.get("q", "").replace("\x00", "").strip()[:120]
    rows = SourceUnit.objects.select_related("added_by").filter(active=True)
    if wanted:
        rows = rows.filter(name__icontains=wanted)
    before = request.GET.get("before", "")
    manages = may(request.user, "source_unit.manage")
    return render(
        request,
        "moderation/source_units.html",
        {
            "page": (page := Page(rows, before=before if before.isdecimal() and len(before) < 19 else "")),
            "rows": list(page),
            "wanted": wanted,
            "version": source_units.current().version,
            "total": SourceUnit.objects.filter(active=True).count(),
            "form": (form or UnitForm(auto_id="unit_%s")) if manages else None,
            "list_form": (list_form or ListForm(auto_id="list_%s")) if manages else None,
            "imported": imported,
            "problems": imported.problems[:SHOWN_PROBLEMS] if imported else [],
            "manages": manages,
            "first_url": "?" if before else "",
            "next_url": f"?before={page.next}" if page.next else "",
        },
        status=status,
    )


@staff_page("source_unit.manage")
@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Add a unit, or give a unit of this name other addresses."""
    form = UnitForm(request.POST, auto_id="unit_%s")

    def command(given: dict[str, Any]) -> SourceUnit:
        known = SourceUnit.objects.filter(name=" ".join(given["name"].split())).first()
        return source_units.save(
            name=given["name"],
            domains=given["domains"].replace(";", " ").replace("；", " ").split(),
            list_name=given["list_name"],
            unit_id=known.pk if known else None,
            by=request.user,
        )

    saved = form.carry_out(command)
    if saved is None:
        return _page(request, form=form, status=form.status)
    messages.success(request, _("On the list: %(name)s") % {"name": saved.name})
    return redirect("source_units")


@staff_page("source_unit.manage")
@require_POST
def strike(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a unit off the list."""
    try:
        unit = source_units.strike(unit_id=pk, reason=request.POST.get("reason", "")[:2000], by=request.user)
    except Refusal as refusal:
        messages.warning(request, str(refusal.errors[0]["detail"]) if refusal.errors else refusal.detail)
    else:
        messages.success(request, _("Off the list: %(name)s") % {"name": unit.name})
    return redirect("source_units")


@staff_page("source_unit.manage")
@require_POST
def import_list(request: HttpRequest) -> HttpResponse:
    """Try a published list out, or take it in: all of it, or nothing when a line is wrong."""
    form = ListForm(request.POST, request.FILES, auto_id="list_%s")
    try_only = request.POST.get("do") != "import"

    def command(given: dict[str, Any]) -> source_units.Imported:
        if given["file"].size > MOST_BYTES:
            raise Refusal("too_large", _("The file is too large."), status=413)
        with io.TextIOWrapper(given["file"].file, encoding="utf-8-sig", newline="") as opened:
            return source_units.import_list(
                file=opened, list_name=given["list_name"], by=request.user, dry_run=try_only
            )

    imported = form.carry_out(command)
    if imported is None:
        return _page(request, list_form=form, status=form.status)
    if imported.problems or try_only:
        return _page(request, list_form=form, imported=imported, status=422 if imported.problems else 200)
    done = imported.added + imported.changed
    messages.success(
        request,
        ngettext("%(n)s source unit is on the list.", "%(n)s source units are on the list.", done) % {"n": done},
    )
    return redirect("source_units")
