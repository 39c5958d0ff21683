"""Emergency rights: taking them, ending them, and looking at them afterwards."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import emergency
from accounts.confirmation import recently_confirmed
from accounts.models import BreakGlass
from accounts.pages.house import show
from accounts.pages.staff_forms import EmergencyForm, ReviewForm
from core import roles
from core.forms import DeskForm
from core.options import option
from core.pages import staff_page
from core.permission_words import WORDS

SHOWN_ACTS = 100
SHOWN_REVIEWED = 20


@require_safe
@staff_page("glass.view")
def emergencies(request: HttpRequest) -> HttpResponse:
    """What is open, what nobody has looked at yet, and what was reviewed."""
    return _page(request)


@require_POST
@staff_page("glass.break")
@recently_confirmed(back="emergencies")
def take(request: HttpRequest) -> HttpResponse:
    """Break the glass."""
    form = EmergencyForm(request.POST)
    if form.carry_out(lambda given: emergency.take(by=request.user, **given)) is None:
        return _page(request, form=form, status=form.status)
    messages.warning(request, _("You have emergency rights now. Everybody was told; what you do is marked."))
    return redirect("emergencies")


@require_POST
@staff_page("glass.view")
def end(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End an emergency before its time."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: emergency.end(emergency_id=pk, by=request.user)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The emergency is over."))
    return redirect("emergencies")


@require_POST
@staff_page("glass.review")
def review(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Write down what one found afterwards."""
    form = ReviewForm(request.POST, auto_id=f"id_{pk.hex}_%s")
    if form.carry_out(lambda given: emergency.review(emergency_id=pk, by=request.user, **given)) is None:
        return _page(request, review_form=form, review_of=pk, status=form.status)
    messages.success(request, _("The review is written down."))
    return redirect("emergencies")


def _page(
    request: HttpRequest,
    *,
    form: EmergencyForm | None = None,
    refused: DeskForm | None = None,
    review_form: ReviewForm | None = None,
    review_of: UUID | None = None,
    status: int = 200,
) -> HttpResponse:
    cards = []
    for row in emergency.unreviewed():
        given = review_form if review_form and review_of == row.pk else ReviewForm(auto_id=f"id_{row.pk.hex}_%s")
        cards.append((row, emergency.acts(row)[:SHOWN_ACTS], given))
    context = {
        "open": emergency.opened(),
        "cards": cards,
        "reviewed": BreakGlass.objects.filter(reviewed_at__isnull=False)
        .select_related("staff", "reviewed_by")
        .order_by("-started_at")[:SHOWN_REVIEWED],
        "form": form or EmergencyForm(),
        "refused": refused,
        "lasts": option("glass_open"),
        "rights": [WORDS.get(permission, permission) for permission in roles.GRANTS if permission in roles.EMERGENCY],
    }
    return show(request, "accounts/emergency.html", context, place="emergencies", status=status)
