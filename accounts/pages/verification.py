"""The verification desk: one identity at a time, held by a lease, decided, and on to the next (DS-09a). Plain forms;
js/verification.js adds keys, pictures that turn, and the heartbeat."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from accounts import guardians, identities, service_checks, verification
from accounts.confirmation import recently_confirmed
from accounts.models import GuardianConsent, Identity
from accounts.pages.documents_of_identities import SHOWN_SECONDS, open_for
from accounts.pages.forms import DecisionForm, GuardianForm, ReasonForm, RevealForm
from accounts.pages.proofs import about
from core.errors import Conflict, NotFound, Refusal
from core.ids import parse_uuid
from core.options import option
from core.pages import staff_page
from core.problems import refusal_response

LISTED = 50
REASONS = (
    (gettext_lazy("Name"), gettext_lazy("The name doesn't belong to this number. Please hand in both again.")),
    (gettext_lazy("Number"), gettext_lazy("The number can't be right. Please check it and hand it in again.")),
    (gettext_lazy("Picture"), gettext_lazy("The picture can't be read. Please take it again in good light, all corners.")),
    (gettext_lazy("Missing"), gettext_lazy("A picture of the document is missing. Please hand it in with the number.")),
    (gettext_lazy("In use"), gettext_lazy("This identity already belongs to another account.")),
    (gettext_lazy("Minor"), gettext_lazy("You are under 18: please have your guardian get in touch.")),
    (
        gettext_lazy("Consent"),
        gettext_lazy("The consent of your guardian is missing. Please hand in a picture of it, signed."),
    ),
)  # fmt: skip


@require_safe
@staff_page("identity.decide")
def desk(request: HttpRequest) -> HttpResponse:
    """The identity asked for while nobody else has it, else the one the person holds, else the next. Opening the desk
    is what takes it: the keys work at once, and a lease that nobody keeps alive ends by itself."""
    wanted = parse_uuid(request.GET.get("open", ""))
    snippet = request.GET.get("reason", "")
    form = None
    if snippet.isdecimal() and int(snippet) < len(REASONS):
        # The way of the ready-made reasons without scripts: the page comes back with the words filled in.
        form = DecisionForm(initial={"outcome": "reject", "reason": REASONS[int(snippet)][1]})
    return _page(request, wanted, form=form if wanted else None)


@require_POST
@staff_page("identity.decide")
def decide(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Verify or reject, then on to the next one."""
    form = DecisionForm(request.POST)
    decided = form.carry_out(
        lambda given: verification.decide(
            identity_id=pk,
            token=parse_uuid(request.POST.get("token", "")),
            outcome=given["outcome"],
            reason=given["reason"],
            by=request.user,
        )
    )
    if decided is None:
        return _page(request, pk, form=form, status=form.status)
    verified = form.cleaned_data["outcome"] == verification.VERIFY
    messages.success(request, _("Verified.") if verified else _("Rejected; the user is told the reason."))
    if following := form.cleaned_data["next"]:
        # A colleague may be faster: then the desk opens with the next one that is free.
        with contextlib.suppress(Conflict, NotFound):
            verification.take(identity_id=following, by=request.user)
    return redirect("verification")


@require_POST
@staff_page("identity.decide")
@recently_confirmed(back="verification")
def reveal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show name and number once, in the answer to this very POST, and the pictures for a minute. The ledger's line was
    committed before."""
    form = RevealForm(request.POST)
    shown = form.carry_out(lambda given: verification.reveal(identity_id=pk, reason=given["reason"], by=request.user))
    if shown is not None:
        open_for(request, pk)
    response = _page(request, pk, reveal_form=form, shown=shown, status=200 if shown is not None else form.status)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@staff_page("identity.decide")
def heartbeat(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A sign of life: how long the lease lasts now, or a problem document that says who holds the identity."""
    token = parse_uuid(request.POST.get("token", ""))
    try:
        if token is None:
            raise verification.lost(pk)
        until = verification.heartbeat(token=token, by=request.user, identity_id=pk)
    except Refusal as refusal:
        return refusal_response(refusal)
    return JsonResponse({"seconds": max(0, round((until - timezone.now()).total_seconds()))})


@require_POST
@staff_page("identity.decide")
def give_back(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop working: the identity goes back to its place."""
    token = parse_uuid(request.POST.get("token", ""))
    try:
        if token is None:
            raise verification.lost(pk)
        verification.give_back(token=token, by=request.user, identity_id=pk)
    except Refusal as refusal:
        messages.warning(request, refusal.detail)
    else:
        messages.info(request, _("It is back in the queue."))
    return redirect("users")


@require_POST
@staff_page("identity.decide")
def ask_again(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Put the question to the verification service once more."""
    try:
        service_checks.ask_again(identity_id=pk, by=request.user)
    except Refusal as refusal:
        messages.warning(request, refusal.detail)
    else:
        messages.info(request, _("The verification service is asked once more."))
    return redirect("verification")


@require_POST
@staff_page("guardian.record")
def record_guardian(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Put a guardian's consent on record for the user of this identity (GEN-07)."""
    identity = Identity.objects.select_related("user").filter(pk=pk).first()
    if identity is None:
        raise NotFound("not_found", _("There is no such identity."))
    form = GuardianForm(request.POST)
    recorded = form.carry_out(
        lambda given: guardians.record(
            user=identity.user,
            relation=given["relation"],
            name=given["name"],
            document_id=given["document"],
            by=request.user,
        )
    )
    if recorded is None:
        return _page(request, pk, guardian_form=form, status=form.status)
    messages.success(request, _("The guardian's consent is on record."))
    return redirect(f"{reverse('verification')}?open={pk}")


@require_POST
@staff_page("guardian.record")
def withdraw_guardian(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End a guardian's consent."""
    form = ReasonForm(request.POST)
    done = form.carry_out(lambda given: guardians.withdraw(consent_id=pk, reason=given["reason"], by=request.user))
    if done is not None:
        messages.success(request, _("The consent holds no longer."))
    else:
        for sentence in form.errors.values():
            messages.error(request, str(sentence[0]))
    waiting = Identity.objects.filter(user__guardian_consents=pk, state="pending").first()
    if waiting:
        return redirect(f"{reverse('verification')}?open={waiting.pk}")
    consent = GuardianConsent.objects.filter(pk=pk).first()
    return redirect("user", consent.user_id) if consent else redirect("verification")


def _page(
    request: HttpRequest,
    wanted: UUID | None,
    *,
    form: DecisionForm | None = None,
    reveal_form: RevealForm | None = None,
    guardian_form: GuardianForm | None = None,
    shown: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    held = _take(request, wanted) if wanted else None
    if wanted and held is None:
        # What was typed belonged to the one that is gone and must not appear beside another person.
        form = reveal_form = guardian_form = shown = None
        status = Conflict.status if request.method == "POST" else status
    if held is None:
        # HEAD asks whether the page is there; it must not take work from anybody.
        pull = verification.held_by if request.method == "HEAD" else _next
        held = pull(request.user)
    queue = verification.queue(at_most=LISTED)
    opened = None
    if held:
        opened = next((one for one in queue if one.pk == held.identity_id), None)
        opened = opened or identities.waiting().filter(pk=held.identity_id).first()
    context: dict[str, Any] = {
        "queue": queue,
        "total": identities.waiting().count() if len(queue) == LISTED else len(queue),
        "opened": opened,
        "here": reverse("verification"),
    }
    if held and opened:
        context |= _around(queue, opened, request.user)
        context |= about(opened)
        context |= {
            "held": held,
            "lease_seconds": max(0, (held.until - timezone.now()).total_seconds()),
            "heartbeat": option("review_heartbeat"),
            "form": form or DecisionForm(),
            "reveal_form": reveal_form or RevealForm(),
            "reveal_url": reverse("verification_reveal", args=[opened.pk]),
            "guardian_form": guardian_form or GuardianForm(),
            "shown": shown,
            "is_shown": shown is not None,
            "seconds": SHOWN_SECONDS,
            "reasons": [{"number": n, "label": label, "text": text} for n, (label, text) in enumerate(REASONS)],
        }
    return render(request, "accounts/verification.html", context, status=status)


def _take(request: HttpRequest, wanted: UUID) -> verification.Held | None:
    try:
        return verification.take(identity_id=wanted, by=request.user)
    except verification.LeaseLost as lost:
        messages.warning(request, lost.detail)
    except (Conflict, NotFound):
        messages.warning(request, _("The one you had open is decided already; this is the next one."))
    return None


def _next(person: Any) -> verification.Held | None:
    return verification.next_identity(by=person)


def _around(queue: list[Identity], opened: Identity, person: Any) -> dict[str, Identity | None]:
    """The neighbours that J and K lead to: those that nobody else holds."""
    free = [one for one in queue if one.pk == opened.pk or one.holder in (None, person)]  # type: ignore[attr-defined]
    place = next((n for n, one in enumerate(free) if one.pk == opened.pk), -1)
    after = free[place + 1] if 0 <= place < len(free) - 1 else next((one for one in free if one.pk != opened.pk), None)
    return {"previous": free[place - 1] if place > 0 else None, "after": after}
