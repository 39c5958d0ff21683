"""Lists of entries on screen: send a file, see what would come of each row, have it proposed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from django.views.decorators.vary import vary_on_headers

from core.forms import DeskForm
from core.ids import uuid7
from core.options import option
from core.pages import staff_page
from moderation import feature_imports as commands
from moderation.feature_files import COLUMNS, MOST_ROWS, REASONS, REQUIRED, write_report
from moderation.feature_forms import ListForm
from moderation.models import FeatureImport, FeatureImportRow

SHOWN = 50
PROBLEMS = 100
OUTCOMES = {"known": "info", "wrong": "bad"}


@staff_page("feature.propose")
@require_GET
def imports(request: HttpRequest) -> HttpResponse:
    """The imports, newest first, and the form for another."""
    return _list(request, ListForm(auto_id="list_%s"))


def _list(request: HttpRequest, form: ListForm, status: int = 200) -> HttpResponse:
    context = {
        "rows": FeatureImport.objects.select_related("started_by").order_by("-pk")[:SHOWN],
        "form": form,
        "new_id": uuid7(),
        "columns": [(name, meaning, name in REQUIRED) for name, meaning in COLUMNS.items()],
        "most_rows": MOST_ROWS,
        "most_mb": commands.LARGEST // 1024**2,
    }
    return render(request, "moderation/feature_imports.html", context, status=status)


@staff_page("feature.propose")
@require_POST
def start(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take a list in. `pk` was chosen when the form was shown."""
    form = ListForm(request.POST, request.FILES, auto_id="list_%s")

    def begin(given: dict[str, Any]) -> FeatureImport:
        file = given["file"]
        return commands.start(
            import_id=pk,
            name=file.name or "",
            source=given["source"],
            chunks=file.chunks(),
            size=file.size or 0,
            by=request.user,
        )

    made = form.carry_out(begin)
    if made is None:
        return _list(request, form, form.status)
    messages.success(request, _("The file is being checked. Nothing is changed by that."))
    return redirect("feature_import", made.pk)


@staff_page("feature.propose")
@require_GET
@vary_on_headers("HX-Request")
def one(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One import: how far it is, what came of each row, and what may be done."""
    return _one(request, _found(pk))


def _one(
    request: HttpRequest, row: FeatureImport, *, refused: DeskForm | None = None, status: int = 200
) -> HttpResponse:
    unfinished = row.state in ("checking", "running")
    lines = FeatureImportRow.objects.filter(feature_import=row, outcome__in=OUTCOMES).order_by("number", "id")
    context = {
        "row": row,
        "unfinished": unfinished,
        "why": REASONS.get(row.error, row.error),
        "problems": [] if unfinished else [(line, OUTCOMES[line.outcome]) for line in lines[:PROBLEMS]],
        "more": max(0, row.known + row.wrong - PROBLEMS),
        "refused": refused,
        "keep_days": int(option("import_keep_days")),
        "has_rows": FeatureImportRow.objects.filter(feature_import=row).exists(),
    }
    if getattr(request, "htmx", False) and request.method == "GET":
        # The page asks for this part every two seconds; once there is something to do, it loads anew as a whole.
        response = render(request, "moderation/_feature_import.html", context, status=status)
        if not unfinished:
            response["HX-Refresh"] = "true"
        return response
    return render(request, "moderation/feature_import.html", context, status=status)


@staff_page("feature.propose")
@require_POST
def carry_out(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have the rows proposed that can be taken."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: commands.carry_out(import_id=pk, by=request.user)) is None:
        return _one(request, _found(pk), refused=form, status=form.status)
    messages.success(request, _("The entries are being proposed."))
    return redirect("feature_import", pk)


@staff_page("feature.propose")
@require_POST
def abort(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Leave a list that was not carried out."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: commands.abort(import_id=pk, by=request.user)) is None:
        return _one(request, _found(pk), refused=form, status=form.status)
    messages.success(request, _("It is aborted. Nothing was proposed."))
    return redirect("feature_import", pk)


@staff_page("feature.propose")
@require_GET
def report(request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
    """What came of each row, as a CSV file."""
    row = _found(pk)
    response = StreamingHttpResponse(write_report(commands.report_of(row.pk)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="features-{row.pk}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def _found(pk: UUID) -> FeatureImport:
    row = FeatureImport.objects.select_related("started_by").filter(pk=pk).first()
    if row is None:
        raise Http404
    return row
