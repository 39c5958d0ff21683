"""Jobs that were stopped after three tries: retry or drop."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.pages.forms import ReasonForm
from accounts.pages.house import show
from core import quarantine as stopped
from core.forms import DeskForm
from core.models import QuarantinedJob
from core.pages import Page, staff_page


@require_safe
@staff_page("job.retry")
def quarantine(request: HttpRequest) -> HttpResponse:
    """Stopped jobs, newest first."""
    return _page(request)


@require_POST
@staff_page("job.retry")
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a job round again."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: stopped.retry(job_id=pk, by=request.user)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The job is in the queue again, with three new tries."))
    return redirect("quarantine")


@require_POST
@staff_page("job.retry")
def drop(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a job up."""
    form = ReasonForm(request.POST)
    if form.carry_out(lambda given: stopped.drop(job_id=pk, by=request.user, **given)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The job is dropped."))
    return redirect("quarantine")


def _page(request: HttpRequest, *, refused: DeskForm | None = None, status: int = 200) -> HttpResponse:
    before = request.GET.get("before", "")
    page = Page(QuarantinedJob.objects.all(), before=before if before.isdecimal() and len(before) < 19 else "")
    return show(
        request, "accounts/quarantine.html", {"page": page, "refused": refused}, place="quarantine", status=status
    )
