"""What people must look at now."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.pages.house import show
from core import alarms as rung
from core.forms import DeskForm
from core.models import Alarm
from core.pages import Page, staff_page


@require_safe
@staff_page("alarm.see")
def alarms(request: HttpRequest) -> HttpResponse:
    """Alarms that nobody has looked at, and the earlier ones."""
    return _page(request)


@require_POST
@staff_page("alarm.see")
def saw(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Say that one looked."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: rung.saw(alarm_id=pk, by=request.user)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("It is written down that you looked."))
    return redirect("alarms")


def _page(request: HttpRequest, *, refused: DeskForm | None = None, status: int = 200) -> HttpResponse:
    before = request.GET.get("before", "")
    try:
        before = str(UUID(before)) if before else ""
    except ValueError:
        before = ""
    page = Page(Alarm.objects.exclude(seen_at=None), before=before)
    context = {
        "waiting": [(alarm, rung.KINDS.get(alarm.kind, alarm.kind)) for alarm in rung.unseen()],
        "past": [(alarm, rung.KINDS.get(alarm.kind, alarm.kind)) for alarm in page],
        "page": page,
        "refused": refused,
    }
    return show(request, "accounts/alarms.html", context, place="alarms", status=status)
