"""Who looked at whom, and why: for those who review it (security.md §4, "reveal auditing")."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_POST, require_safe

from accounts import reveals as book
from accounts.models import Look
from accounts.pages.people import show
from accounts.pages.request_forms import LooksFilter
from core.ids import parse_uuid
from core.pages import Page, staff_page


@require_safe
@staff_page("reveal.review")
def reveals(request: HttpRequest) -> HttpResponse:
    """Looks at persons, newest first, and how many each colleague had by week."""
    filters = LooksFilter(request.GET)
    chosen = filters.cleaned_data.get("staff") if filters.is_valid() else None
    before = parse_uuid(request.GET.get("before", ""))
    context = {
        "page": Page(book.listed(staff_id=chosen.pk if chosen else None, by=request.user), before=str(before or "")),
        "weeks": book.by_week(by=request.user),
        "filters": filters,
        "chosen": chosen,
        "kinds": Look.KINDS,
    }
    return show(request, "accounts/reveals.html", context, place="reveals")


@require_POST
@staff_page("reveal.review")
def export(request: HttpRequest) -> StreamingHttpResponse:
    """The whole list as CSV."""
    lines = book.as_csv(book.listed(by=request.user), by=request.user)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="reveals.csv"'
    response["Cache-Control"] = "no-store"
    return response
