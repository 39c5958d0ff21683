"""The second look at rejections: what is proposed and waits for another person, and what could be proposed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import overturns
from accounts.confirmation import recently_confirmed
from accounts.models import Identity
from accounts.pages import people
from accounts.pages.documents_of_identities import SHOWN_SECONDS, open_for
from accounts.pages.forms import ProposalForm, ReasonForm, RevealForm
from accounts.pages.proofs import about
from core.forms import DeskForm
from core.ids import parse_uuid
from core.pages import Page, staff_page


@require_safe
@staff_page("identity.overturn")
def second_look(request: HttpRequest) -> HttpResponse:
    """What waits for a second person, one of them open, and the rejections that could be proposed, newest first."""
    return _page(request, parse_uuid(request.GET.get("open", "")))


@require_POST
@staff_page("identity.overturn")
def propose(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Propose that this rejection was wrong."""
    form = ReasonForm(request.POST)
    done = form.carry_out(lambda given: overturns.propose(identity_id=pk, reason=given["reason"], by=request.user))
    return _answer(request, pk, form, done, _("Proposed: somebody else decides it now."))


@require_POST
@staff_page("identity.overturn")
def approve(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Carry out the proposal that was on the screen."""
    form = ProposalForm(request.POST)
    done = form.carry_out(lambda given: overturns.approve(identity_id=pk, seen=given["seen"], by=request.user))
    return _answer(request, pk, form, done, _("Overturned: the identity is verified."))


@require_POST
@staff_page("identity.overturn")
def decline(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Let the rejection stand."""
    form = ProposalForm(request.POST)
    done = form.carry_out(
        lambda given: overturns.decline(identity_id=pk, reason=given["reason"], seen=given["seen"], by=request.user)
    )
    return _answer(request, pk, form, done, _("The rejection stands."))


@require_POST
@staff_page("identity.overturn")
@recently_confirmed(back="overturns")
def reveal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Name, number and pictures for a minute, to whoever may carry the proposal out."""
    form = RevealForm(request.POST)
    shown = form.carry_out(lambda given: overturns.reveal(identity_id=pk, reason=given["reason"], by=request.user))
    if shown is not None:
        open_for(request, pk)
    return _page(request, pk, reveal_form=form, shown=shown, status=200 if shown is not None else form.status)


def _answer(request: HttpRequest, pk: UUID, form: DeskForm, done: Identity | None, sentence: str) -> HttpResponse:
    if done is None:
        return _page(request, pk, refused=form, status=form.status)
    messages.success(request, sentence)
    return redirect("overturns")


def _page(
    request: HttpRequest,
    wanted: UUID | None,
    *,
    refused: DeskForm | None = None,
    reveal_form: RevealForm | None = None,
    shown: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    proposals = list(overturns.proposed()[:50])
    opened = next((one for one in proposals if one.pk == wanted), None)
    if opened is None:
        opened = next((one for one in proposals if overturns.may_carry_out(one, request.user)), None)
        opened = opened or (proposals[0] if proposals else None)
        reveal_form = shown = None  # it belonged to one that is gone
    page = Page(overturns.rejected(), size=20, before=str(parse_uuid(request.GET.get("before", "")) or ""))
    context: dict[str, Any] = {"proposals": proposals, "opened": opened, "page": page, "refused": refused}
    if opened:
        context |= about(opened)
        context |= {
            "may_carry_out": overturns.may_carry_out(opened, request.user),
            "is_proposer": opened.overturn_by_id == request.user.pk,
            "reveal_form": reveal_form or RevealForm(),
            "reveal_url": reverse("overturn_reveal", args=[opened.pk]),
            "shown": shown,
            "is_shown": shown is not None,
            "seconds": SHOWN_SECONDS,
        }
    response = people.show(request, "accounts/overturns.html", context, place="overturns", status=status)
    response["Cache-Control"] = "no-store"
    return response
