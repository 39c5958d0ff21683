"""The desk: one item at a time, held by a lease, decided, and on to the next. Plain forms; js/desk.js adds the keys and
the heartbeat."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from core import context
from core.errors import Conflict, Refusal, field_error
from core.ids import parse_uuid
from core.options import option
from core.pages import staff_page
from core.problems import refusal_response
from core.roles import may
from moderation import decisions, desk_item, queue, statistics
from moderation.decisions import APPLIED, CHOICES, HELD, Choice, Outcome

context.badge("review", statistics.waiting)

BLOCK, RELEASE, ESCALATE = "block", "release", "escalate"
SAID = {  # outcome -> what is told when it was applied
    BLOCK: gettext_lazy("Blocked: %(item)s"),
    RELEASE: gettext_lazy("Released: %(item)s"),
}


@staff_page("review.work")
@require_GET
def desk(request: HttpRequest) -> HttpResponse:
    """The item the person holds; with none, what waits and the button that takes the next."""
    return _desk(request)


def _desk(request: HttpRequest, *, refusal: Refusal | None = None, typed: dict[str, str] | None = None) -> HttpResponse:
    held = queue.held_by(request.user)
    summary = desk_item.queue_summary(request.user)
    status = refusal.status if refusal else 200
    if held is None:
        return render(request, "moderation/desk_empty.html", {"summary": summary, "refusal": refusal}, status=status)
    shown = desk_item.shown(held, request.user)
    typed = typed or {}
    now = timezone.now()
    return render(
        request,
        "moderation/desk.html",
        {
            "held": held,
            "summary": summary,
            "refusal": refusal,
            "wrong": {error["field"]: error["detail"] for error in refusal.errors} if refusal else {},
            "typed": typed,
            "lease_seconds": max(0, (held.until - now).total_seconds()),
            "due_seconds": round((held.due_at - now).total_seconds()),
            "due_total": option("review_due"),
            "heartbeat": option("review_heartbeat"),
            "choices": _choices(request.user, held.queue, typed.get("outcome", "")),
            "appeal_days": int(option("appeal_days")),
            **shown,
        },
        status=status,
    )


def _choices(person: Any, queue_name: str, chosen: str) -> list[dict[str, Any]]:
    offered = [
        {"code": BLOCK, "label": _("Block"), "icon": "ban"},
        {"code": RELEASE, "label": _("Release"), "icon": "circle-check"},
        *({"code": c.code, "label": c.label, "icon": c.icon} for c in _registered(person)),
    ]
    if queue_name != queue.SENIOR:
        offered.append({"code": ESCALATE, "label": _("Pass to a senior moderator"), "icon": "arrow-up"})
    return [{**choice, "key": number, "chosen": choice["code"] == chosen} for number, choice in enumerate(offered, 1)]


def _registered(person: Any) -> list[Choice]:
    return [choice for choice in CHOICES.values() if may(person, choice.permission)]


@staff_page("review.work")
@require_POST
def take_next(request: HttpRequest) -> HttpResponse:
    """Take the next item, or show again the one that is held."""
    if queue.next_task(by=request.user) is None:
        messages.info(request, _("Nothing waits for you now."))
    return redirect("review")


@staff_page("review.work")
@require_POST
def decide(request: HttpRequest) -> HttpResponse:
    """Carry out the choice and take the next item. A refusal leaves what was typed where it was."""
    typed = {name: request.POST.get(name, "")[:5000] for name in ("outcome", "category", "reason", "prefilled")}
    try:
        said = _carry_out(_held_form(request), typed, request.user)
    except Conflict as lost:
        return _desk(request, refusal=lost)
    except Refusal as refusal:
        return _desk(request, refusal=refusal, typed=typed)
    _tell(request, said, typed["outcome"])
    queue.next_task(by=request.user)
    return redirect("review")


def _carry_out(form: tuple[UUID, UUID], typed: dict[str, str], person: Any) -> Outcome:
    submission_id, token = form
    outcome, category = typed["outcome"], typed["category"]
    reason = desk_item.reason_meant(outcome, category, typed["reason"], typed["prefilled"])
    if outcome == ESCALATE:
        queue.escalate(token=token, reason=reason, by=person, submission_id=submission_id)
        return Outcome(APPLIED, _("Passed to a senior moderator."))
    choice = next((c for c in _registered(person) if c.code == outcome), None)
    if choice:
        return choice.run(submission_id=submission_id, token=token, reason=reason, category=category, by=person)
    return decisions.decide(
        submission_id=submission_id, token=token, outcome=outcome, category=category, reason=reason, by=person
    )


def _held_form(request: HttpRequest) -> tuple[UUID, UUID]:
    submission_id = parse_uuid(request.POST.get("submission", ""))
    token = parse_uuid(request.POST.get("token", ""))
    if submission_id is None or token is None:
        raise queue.lost(submission_id)
    return submission_id, token


def _tell(request: HttpRequest, said: Outcome, outcome: str) -> None:
    sentence = str(said.detail)
    if said.result == APPLIED:
        item = said.decision.submission.external_id if said.decision else ""
        if not sentence:
            sentence = str(SAID[outcome]) % {"item": item} if outcome in SAID else _("Done.")
        messages.success(request, sentence)
    elif said.result == HELD:
        messages.info(request, sentence)
    else:
        messages.info(request, _("Skipped: %(why)s") % {"why": sentence})


@staff_page("review.work")
@require_POST
def skip(request: HttpRequest) -> HttpResponse:
    """Give the item back with a reason, and take the next."""
    reason = request.POST.get("skip_reason", "") or request.POST.get("reason", "")
    try:
        submission_id, token = _held_form(request)
        queue.give_back(token=token, reason=reason[:200], by=request.user, submission_id=submission_id)
    except Conflict as lost:
        return _desk(request, refusal=lost)
    except Refusal as refusal:
        refusal.errors = [field_error("skip_reason", e["code"], e["detail"]) for e in refusal.errors]
        return _desk(request, refusal=refusal)
    messages.info(request, _("Skipped; the item is back in the queue."))
    queue.next_task(by=request.user)
    return redirect("review")


@staff_page("review.work")
@require_POST
def heartbeat(request: HttpRequest) -> HttpResponse:
    """A sign of life: how long the lease lasts now, or a problem document that says who holds the item."""
    try:
        submission_id, token = _held_form(request)
        until = queue.heartbeat(token=token, by=request.user, submission_id=submission_id)
    except Refusal as refusal:
        return refusal_response(refusal)
    return JsonResponse({"seconds": max(0, round((until - timezone.now()).total_seconds()))})
