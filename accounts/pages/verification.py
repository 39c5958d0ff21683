"""The verification queue: pending identities, one open at a time, decided and on to the next (DS-09a)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from accounts import identities, plausibility
from accounts.models import Identity
from accounts.pages.forms import DecisionForm, RevealForm
from core.errors import Conflict
from core.ids import parse_uuid
from core.pages import staff_page

LISTED = 50
SHOWN_SECONDS = 60
REASONS = (
    (gettext_lazy("Name"), gettext_lazy("The name doesn't belong to this number. Please hand in both again.")),
    (gettext_lazy("Number"), gettext_lazy("The number can't be right. Please check it and hand it in again.")),
    (gettext_lazy("In use"), gettext_lazy("This identity already belongs to another account.")),
    (gettext_lazy("Minor"), gettext_lazy("You are under 18: please have your guardian get in touch.")),
)


@require_safe
@staff_page("identity.decide")
def verification(request: HttpRequest) -> HttpResponse:
    """The oldest pending identity, or the one asked for while it is pending."""
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
    if form.is_valid() and form.cleaned_data["outcome"] == "verify":
        decided = form.carry_out(lambda given: identities.verify(identity_id=pk, by=request.user))
        done = _("Verified.")
    else:
        decided = form.carry_out(
            lambda given: identities.reject(identity_id=pk, reason=given["reason"], by=request.user)
        )
        done = _("Rejected; the user is told the reason.")
    if decided is None:
        return _page(request, pk, form=form, status=form.status)
    messages.success(request, done)
    following = form.cleaned_data["next"]
    return redirect(f"{reverse('verification')}?open={following}" if following else "verification")


@require_POST
@staff_page("identity.decide")
def reveal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show name and number once, in the answer to this very POST. The ledger's line was committed before."""
    form = RevealForm(request.POST)
    if not identities.waiting().filter(pk=pk).exists():
        return _page(request, pk, status=Conflict.status)
    shown = form.carry_out(
        lambda given: identities.reveal_for_decision(identity_id=pk, reason=given["reason"], by=request.user)
    )
    response = _page(request, pk, reveal_form=form, shown=shown, status=200 if shown is not None else form.status)
    response["Cache-Control"] = "no-store"
    return response


def _page(
    request: HttpRequest,
    wanted: UUID | None,
    *,
    form: DecisionForm | None = None,
    reveal_form: RevealForm | None = None,
    shown: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    waiting = identities.waiting().order_by("submitted_at", "pk")
    queue = list(waiting[:LISTED])
    opened = next((one for one in queue if one.pk == wanted), None)
    if opened is None and wanted:
        opened = waiting.filter(pk=wanted).first()
    if wanted and opened is None:
        # Somebody else decided it meanwhile: their decision stands. What was typed belonged to that one and must not
        # appear beside another person.
        messages.warning(request, _("The one you had open is decided already; this is the next one."))
        form = reveal_form = shown = None
        status = Conflict.status if request.method == "POST" else status
    opened = opened or (queue[0] if queue else None)
    place = queue.index(opened) if opened in queue else -1
    after = queue[place + 1] if 0 <= place < len(queue) - 1 else next((one for one in queue if one != opened), None)
    context: dict[str, Any] = {
        "queue": queue,
        "total": waiting.count() if len(queue) == LISTED else len(queue),
        "opened": opened,
        "previous": queue[place - 1] if place > 0 else None,
        "after": after,
        "here": reverse("verification"),
    }
    if opened:
        context |= _about(opened)
        context |= {
            "form": form or DecisionForm(),
            "reveal_form": reveal_form or RevealForm(),
            "shown": shown,
            "seconds": SHOWN_SECONDS,
            "reasons": [{"number": n, "label": label, "text": text} for n, (label, text) in enumerate(REASONS)],
        }
    return render(request, "accounts/verification.html", context, status=status)


def _about(identity: Identity) -> dict[str, Any]:
    found = plausibility.findings(identity)
    twins: dict[UUID, Identity] = {}
    for twin in identities.same_identity(identity).select_related("user__service").order_by("-pk")[:50]:
        twins.setdefault(twin.user_id, twin)
    return {
        "number_findings": [f for f in found if f.field == "number"],
        "name_findings": [f for f in found if f.field == "name"],
        "twins": list(twins.values())[:10],
        "twins_total": identities.same_identity(identity).values("user").distinct().count(),
        "earlier": identity.user.identities.exclude(pk=identity.pk).order_by("-submitted_at")[:5],
    }
