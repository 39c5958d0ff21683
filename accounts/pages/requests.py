"""The staff's pages of requests about personal data (GA-11, GEN-08, GEN-09): a list by due date, and one request with what
can be done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import person_requests as desk
from accounts.models import PersonRequest
from accounts.pages.appeals import clock
from accounts.pages.people import show
from accounts.pages.request_forms import AnswerForm, DownloadForm
from core.forms import DeskForm
from core.ids import parse_uuid
from core.pages import Page, staff_page
from core.roles import may

LISTED = 200


@require_safe
@staff_page("person_request.view")
def requests(request: HttpRequest) -> HttpResponse:
    """Open requests, the most urgent first, and those that were answered."""
    waiting = list(desk.waiting()[: LISTED + 1])
    before = parse_uuid(request.GET.get("before", ""))
    context = {
        "waiting": [{"request": one, "clock": clock(one.due_at)} for one in waiting[:LISTED]],
        "more": len(waiting) > LISTED,
        "page": Page(desk.settled(), size=30, before=str(before or "")),
    }
    return show(request, "accounts/requests.html", context, place="person_requests")


@require_safe
@staff_page("person_request.view")
def one(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One request and its next step."""
    return _page(request, pk)


@require_POST
@staff_page("person_request.work")
def take(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Begin to work on it."""
    return _carried_out(request, pk, DeskForm(request.POST), desk.take_up, _("It is yours to work on."))


@require_POST
@staff_page("person_request.work")
def bundle(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have everything about the person gathered."""
    done = _("It is being gathered; the person is told when it can be fetched.")
    return _carried_out(request, pk, DeskForm(request.POST), desk.make_bundle, done)


@require_POST
@staff_page("person_request.work")
def finish(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A correction was made."""
    return _carried_out(request, pk, AnswerForm(request.POST), desk.finish, _("Answered; the person is told."))


@require_POST
@staff_page("person_request.work")
def refuse(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Say no, with reasons."""
    return _carried_out(request, pk, AnswerForm(request.POST), desk.refuse, _("Refused; the person is told why."))


@require_POST
@staff_page("person_request.work")
def propose(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The first of two people."""
    done = _("Proposed: somebody else approves it now.")
    return _carried_out(request, pk, DeskForm(request.POST), desk.propose_deletion, done)


@require_POST
@staff_page("person_request.work")
def approve(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The second of two people."""
    done = _("The account is closed and frozen; its data is erased when the retention period is over.")
    return _carried_out(request, pk, DeskForm(request.POST), desk.approve_deletion, done)


@require_POST
@staff_page("person_request.work")
def download(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The bundle, for a colleague who hands it over; recorded before the first byte."""
    form = DownloadForm(request.POST)
    pieces = form.carry_out(lambda given: desk.download(request_id=pk, by=request.user, **given))
    if pieces is None:
        return _page(request, pk, download_form=form, status=form.status)
    return as_file(pieces, _found(pk))


def as_file(pieces: Iterator[bytes], request: PersonRequest) -> StreamingHttpResponse:
    """The bundle as a download that nobody keeps."""
    response = StreamingHttpResponse(pieces, content_type="application/zip")
    response["Content-Disposition"] = content_disposition_header(True, f"{request.number}.zip") or "attachment"
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _carried_out(
    request: HttpRequest, pk: UUID, form: DeskForm, command: Callable[..., PersonRequest], done: str
) -> HttpResponse:
    if form.carry_out(lambda given: command(request_id=pk, by=request.user, **given)) is None:
        return _page(request, pk, form=form, status=form.status)
    messages.success(request, done)
    return redirect("person_request", pk)


def _found(pk: UUID) -> PersonRequest:
    found = PersonRequest.objects.select_related("user__service", "proposed_by", "decided_by").filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _page(
    request: HttpRequest,
    pk: UUID,
    *,
    form: DeskForm | None = None,
    download_form: DownloadForm | None = None,
    status: int = 200,
) -> HttpResponse:
    asked = _found(pk)
    works = may(request.user, "person_request.work")
    until = desk.bundle_until(asked)
    refused = form or DeskForm()
    context: dict[str, Any] = {
        "asked": asked,
        "person": asked.user,
        "kind": PersonRequest.KINDS[asked.kind],
        "clock": clock(asked.due_at) if asked.state in desk.OPEN else "",
        "detail": desk.detail_of(asked, by=request.user) if works else "",
        "works": works,
        "is_open": asked.state in desk.OPEN,
        "being_gathered": asked.kind in ("access", "copy") and asked.state == "working" and asked.proposed_by_id,
        "is_proposer": asked.proposed_by_id == request.user.pk,
        "fetchable": bool(asked.bundle_key_sealed) and until is not None and until > timezone.now(),
        "bundle_until": until,
        "refused": refused,
        "answer_form": form if isinstance(form, AnswerForm) else AnswerForm(),
        "download_form": download_form or DownloadForm(),
    }
    return show(request, "accounts/request.html", context, place="person_requests", status=status)
