"""Where one is signed in oneself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts import sessions
from accounts.models import StaffSession
from accounts.pages.house import show
from core.pages import staff_page

SHOWN_ENDED = 10


@require_safe
@staff_page("account.own")
def my_sessions(request: HttpRequest) -> HttpResponse:
    """One's own sessions, and how the last ones ended."""
    who: Any = request.user
    own = StaffSession.objects.filter(staff_id=who.pk)
    past = own.filter(ended_at__isnull=False).order_by("-ended_at")[:SHOWN_ENDED]
    context = {
        "held": sessions.held().filter(staff_id=who.pk),
        "past": [(row, sessions.ENDED.get(row.ended_why, row.ended_why)) for row in past],
        "this": request.session.get(sessions.KEY, ""),
    }
    return show(request, "accounts/sessions.html", context, place="my_sessions")


@require_POST
@staff_page("account.own")
def end(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End one of them. Somebody else's and one that never was are answered like one that is over."""
    if sessions.end(session_id=pk, by=request.user):
        messages.success(request, _("The session is ended."))
    else:
        messages.info(request, _("This session was over already."))
    return redirect("my_sessions")


@require_POST
@staff_page("account.own")
def end_others(request: HttpRequest) -> HttpResponse:
    """End all but this one."""
    ended = sessions.end_others(keep=request.session[sessions.KEY], by=request.user)
    messages.success(request, ngettext("%(n)d session ended.", "%(n)d sessions ended.", ended) % {"n": ended})
    return redirect("my_sessions")
