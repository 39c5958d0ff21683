"""Pages of bundles: the list with the form, one bundle, its file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django.views.decorators.vary import vary_on_headers

from core.errors import Refusal
from core.ids import parse_uuid
from core.pages import Page, staff_page
from core.roles import may
from reporting import bundles
from reporting.definitions import DEFINITIONS
from reporting.forms import BundleForm
from reporting.models import Bundle
from reporting.periods import start_of


@require_http_methods(["GET", "POST"])
@staff_page("report.view")
@vary_on_headers("HX-Request")
def reports(request: HttpRequest) -> HttpResponse:
    """The bundles, newest first; a form to ask for one. While one is on its way the table looks again by itself."""
    form = BundleForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            bundles.request_bundle(
                name=form.cleaned_data["name"],
                start=start_of(form.cleaned_data["start"]),
                end=start_of(form.cleaned_data["end"]),
                guard_csv=form.cleaned_data["guard_csv"],
                by=request.user,
            )
        except Refusal as refusal:
            if not refusal.errors:
                raise
            for error in refusal.errors:
                form.add_error({"from": "start", "to": "end"}.get(error["field"]), error["detail"])
        else:
            messages.success(request, _("The bundle is being made; it appears below when it is ready."))
            return redirect("reports")
    return _list(request, form)


def _list(request: HttpRequest, form: BundleForm) -> HttpResponse:
    before = parse_uuid(request.GET.get("before", ""))
    page = Page(Bundle.objects.select_related("archive").defer("manifest"), size=30, before=str(before or ""))
    for bundle in page:
        _describe(bundle)
    context = {
        "page": page,
        "form": form,
        "may_make": may(request.user, "report.make"),
        "on_the_way": any(bundle.unfinished for bundle in page),
        "poll_url": request.get_full_path() if request.method == "GET" else reverse("reports"),
    }
    status = 422 if form.is_bound and form.errors else 200
    asked_for_table = getattr(request, "htmx", False) and request.method == "GET"
    return render(
        request, "reporting/_bundles.html" if asked_for_table else "reporting/reports.html", context, status=status
    )


def _describe(bundle: Any) -> Bundle:
    known = DEFINITIONS.get(bundle.name)
    bundle.title = known.title if known else bundle.name
    kind, _colon, who = bundle.requested_by.partition(":")
    bundle.maker = who if kind == "staff" else ""
    bundle.why_failed = bundles.FAILURES.get(bundle.failure, bundle.failure)
    return bundle


@require_GET
@staff_page("report.view")
@vary_on_headers("HX-Request")
def bundle_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One bundle: its state, its manifest, and how to verify it."""
    bundle = Bundle.objects.select_related("archive", "previous").filter(pk=pk).first()
    if bundle is None:
        raise Http404
    context = {"bundle": _describe(bundle), "may_make": may(request.user, "report.make")}
    return render(
        request, "reporting/_bundle.html" if getattr(request, "htmx", False) else "reporting/bundle.html", context
    )


@require_GET
@staff_page("report.view")
def download(request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
    """The archive, streamed from the evidence store."""
    bundle, pieces = bundles.download(bundle_id=pk, by=request.user)
    response = StreamingHttpResponse(pieces, content_type=bundles.MEDIA_TYPE)
    response["Content-Length"] = str(bundle.archive.size)  # type: ignore[union-attr]
    response["Content-Disposition"] = f'attachment; filename="{bundle.file_name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


@require_POST
@staff_page("report.make")
def retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Try a failed bundle again."""
    bundle = bundles.retry(bundle_id=pk, by=request.user)
    messages.success(request, _("It is being made again."))
    return redirect("bundle", pk=bundle.pk)
