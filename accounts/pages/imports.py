"""Imports of an existing user base: send a file, see what would happen, have it carried out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts import imports as commands
from accounts.confirmation import recently_confirmed
from accounts.import_rows import COLUMNS, ENCODINGS, MOST_ROWS, OPTIONAL, words_of
from accounts.models import UserImport
from accounts.pages.forms import service_choice
from accounts.pages.import_upload import SealedUpload, SealingHandler
from accounts.pages.people import show
from core.forms import DeskForm
from core.ids import uuid7
from core.options import option
from core.pages import staff_page

SHOWN = 50
WAITS = {"gate_closed": gettext_lazy("Registration is closed by order; it goes on by itself when it is open again.")}


class UploadForm(DeskForm):
    """A file of users."""

    service = service_choice()
    file = forms.FileField(
        label=gettext_lazy("File (CSV or XLSX)"),
        widget=forms.FileInput(attrs={"accept": ".csv,.xlsx,text/csv"}),
    )
    encoding = forms.ChoiceField(
        required=False, label=gettext_lazy("Encoding of a CSV file"), choices=list(ENCODINGS.items())
    )


class CarryOutForm(DeskForm):
    """Let a checked import be carried out."""

    trust = forms.BooleanField(
        required=False,
        label=gettext_lazy("Trust earlier verification"),
        help_text=gettext_lazy(
            "Rows that say when they were verified become verified, with you as who decided. Without it everybody waits"
            " at the verification desk."
        ),
    )


@require_safe
@staff_page("user.import")
def imports(request: HttpRequest) -> HttpResponse:
    """The imports, newest first, and the form for another."""
    return _list(request)


@require_POST
@csrf_exempt  # the token lies in the body, which must not be read before the upload handler is there: `_receive` asks
@staff_page("user.import")
def start(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take a file in. `pk` was chosen when the form was shown."""
    request.upload_handlers = [SealingHandler(request, pk)]  # type: ignore[misc]
    return _receive(request, pk)


@csrf_protect
def _receive(request: HttpRequest, pk: UUID) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)

    def begin(given: dict[str, Any]) -> UserImport:
        upload: SealedUpload = given["file"]
        return commands.start(
            import_id=pk, service=given["service"], file=upload.incoming(), encoding=given["encoding"], by=request.user
        )

    made = form.carry_out(begin)
    if made is None:
        return _list(request, form=form, status=form.status)
    messages.success(request, _("The file is being checked. Nothing is changed by that."))
    return redirect("import", made.pk)


@require_safe
@staff_page("user.import")
@vary_on_headers("HX-Request")
def one(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One import: how far it is, what came of it, and what may be done."""
    return _one(request, _found(pk))


@require_POST
@staff_page("user.import")
@recently_confirmed(back="imports")
def carry_out(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have it carried out."""
    form = CarryOutForm(request.POST)
    if form.carry_out(lambda given: commands.carry_out(import_id=pk, by=request.user, **given)) is None:
        return _one(request, _found(pk), refused=form, status=form.status)
    messages.success(request, _("The users are being imported."))
    return redirect("import", pk)


@require_POST
@staff_page("user.import")
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Go on with one that stopped."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: commands.resume(import_id=pk, by=request.user)) is None:
        return _one(request, _found(pk), refused=form, status=form.status)
    messages.success(request, _("It goes on where it stopped."))
    return redirect("import", pk)


@require_POST
@staff_page("user.import")
def abort(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop it for good."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: commands.abort(import_id=pk, by=request.user)) is None:
        return _one(request, _found(pk), refused=form, status=form.status)
    messages.success(request, _("It is aborted. Users that are in stay in."))
    return redirect("import", pk)


@require_safe
@staff_page("user.import")
def report(request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
    """The report as a file."""
    response = StreamingHttpResponse(commands.report(import_id=pk, by=request.user), content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="import-{pk}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


def _found(pk: UUID) -> UserImport:
    row = UserImport.objects.select_related("service", "started_by", "carried_by").filter(pk=pk).first()
    if row is None:
        raise Http404
    return _described(row)


def _described(row: Any) -> UserImport:
    row.why = words_of(row.error) if row.error else ""
    row.why = commands.STOPPED.get(row.error, WAITS.get(row.error, row.why))
    row.has_file, row.has_report = row.file_key_sealed is not None, row.report_key_sealed is not None
    return row


def _list(request: HttpRequest, *, form: UploadForm | None = None, status: int = 200) -> HttpResponse:
    rows = UserImport.objects.select_related("service", "started_by").order_by("-pk")[:SHOWN]
    context = {
        "rows": [_described(row) for row in rows],
        "form": form or UploadForm(),
        "new_id": uuid7(),
        "columns": [(name, heads[1], name in OPTIONAL) for name, heads in COLUMNS.items()],
        "most_rows": MOST_ROWS,
        "most_mb": commands.LARGEST // 1024**2,
        "keep_days": int(option("import_keep_days")),
    }
    return show(request, "accounts/imports.html", context, place="imports", status=status)


def _one(request: HttpRequest, row: UserImport, *, refused: DeskForm | None = None, status: int = 200) -> HttpResponse:
    context = {"row": row, "refused": refused, "form": CarryOutForm(), "keep_days": int(option("import_keep_days"))}
    if getattr(request, "htmx", False) and request.method == "GET":
        # The page asks for this part every two seconds; once there is something to do, it loads anew as a whole.
        response = render(request, "accounts/_import.html", context, status=status)
        if not row.unfinished:
            response["HX-Refresh"] = "true"
        return response
    return show(request, "accounts/import.html", context, place="import", args=(row.pk,), status=status)
