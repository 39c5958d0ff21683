"""The staff's pages of appeals (DS-12a, GEN-12): what waits for an answer, and one appeal with everything to decide it by.
Whoever applied the measure reads it all and decides nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import appeals as desk
from accounts.models import Appeal, Measure
from accounts.notice_words import functions_in_words
from accounts.pages.appeal_forms import AnswerForm
from accounts.pages.people import show
from core.pages import staff_page
from core.roles import may

LISTED = 200
SHOWN_ANSWERED = 50
SOON = timedelta(days=3)


@require_safe
@staff_page("appeal.view")
def appeals(request: HttpRequest) -> HttpResponse:
    """Open appeals, the most urgent first, and the latest answers."""
    waiting = list(desk.waiting()[:LISTED])
    context = {
        "waiting": [{"appeal": one, "mine": _applied_it(one, request), "clock": clock(one.due_at)} for one in waiting],
        "more": desk.waiting().count() - len(waiting) if len(waiting) == LISTED else 0,
        "answered": desk.answered()[:SHOWN_ANSWERED],
    }
    return show(request, "accounts/appeals.html", context, place="appeals")


@require_safe
@staff_page("appeal.view")
def appeal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One appeal: the statement, the measure as it was, what the user was told, earlier measures, and the answer."""
    return _one(request, pk)


@require_POST
@staff_page("appeal.decide")
def decide(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Answer an appeal."""
    form = AnswerForm(request.POST)
    decided = form.carry_out(lambda given: desk.decide(appeal_id=pk, by=request.user, **given))
    if decided is None:
        return _one(request, pk, form=form, status=form.status)
    accepted = decided.state == "accepted"
    messages.success(
        request,
        _("Accepted: the measure is lifted and the user is told.") if accepted else _("Refused: the user is told why."),
    )
    return redirect("appeals")


def clock(due_at: datetime) -> str:
    """How urgent an answer is: "overdue", "soon" or nothing."""
    left = due_at - timezone.now()
    return "overdue" if left <= timedelta(0) else "soon" if left <= SOON else ""


def _one(request: HttpRequest, pk: UUID, *, form: AnswerForm | None = None, status: int = 200) -> HttpResponse:
    found = (
        Appeal.objects.select_related("measure__user__service", "measure__applied_by", "decided_by")
        .filter(pk=pk)
        .first()
    )
    if found is None:
        raise Http404
    measure = found.measure
    context: dict[str, Any] = {
        "appeal": found,
        "measure": measure,
        "then": _as_it_was(measure, found.received_at),
        "person": measure.user,
        "functions": functions_in_words(measure.user, measure.functions),
        "cause": _cause(measure, request),
        "told": measure.notices.order_by("created_at"),
        "earlier": measure.user.measures.exclude(pk=measure.pk)
        .select_related("applied_by")
        .order_by("-starts_at")[:20],
        "other_appeals": measure.appeals.exclude(pk=found.pk).order_by("-received_at"),
        "clock": clock(found.due_at) if found.state == "open" else "",
        "mine": _applied_it(found, request),
        "form": form or AnswerForm(),
    }
    return show(request, "accounts/appeal.html", context, place="appeal", args=(pk,), status=status)


def _applied_it(appeal: Appeal, request: HttpRequest) -> bool:
    return not desk.may_decide(appeal, request.user)


def _as_it_was(measure: Measure, moment: datetime) -> Any:
    """The measure as the history keeps it for the moment of the appeal."""
    return measure.history.filter(history_date__lte=moment).order_by("-history_date", "-history_id").first() or measure


def _cause(measure: Measure, request: HttpRequest) -> dict[str, str]:
    """What the measure came from, with a link for those who may open it."""
    kind, _colon, of = measure.cause.partition(":")
    if not of:
        return {}
    link = ""
    if kind == "submission" and may(request.user, "submission.view"):
        try:
            link = reverse("submission", args=[of])
        except NoReverseMatch:
            link = ""
    return {"kind": kind, "id": of, "link": link}
