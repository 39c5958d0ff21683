"""The programs that call the API, and their keys."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import keys
from accounts.models import ApiClient, ApiKey
from accounts.pages.forms import ClientForm, DeskForm, KeyForm, ReasonForm
from accounts.pages.house import show
from core.pages import staff_page


@require_safe
@staff_page("staff.view")
def clients(request: HttpRequest) -> HttpResponse:
    """Every client with its keys."""
    return _page(request)


@require_POST
@staff_page("client.manage")
def create(request: HttpRequest) -> HttpResponse:
    """A new client."""
    form = ClientForm(request.POST)
    if form.carry_out(lambda given: keys.create_client(by=request.user, **given)) is None:
        return _page(request, form=form, status=form.status)
    messages.success(request, _("The client is known. Issue a key for it now."))
    return redirect("clients")


@require_POST
@staff_page("client.manage")
def issue(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A new key. Its secret stands in this answer and nowhere else."""
    client = ApiClient.objects.select_related("service").filter(pk=pk).first()
    if client is None:
        raise Http404
    form = KeyForm(request.POST)
    issued = form.carry_out(lambda given: keys.issue_key(client=client, by=request.user, **given))
    if issued is None:
        return _page(request, key_form=form, key_of=pk, status=form.status)
    response = _page(request, issued=(client, *issued))
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@staff_page("client.manage")
def revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End a key."""
    form = ReasonForm(request.POST)
    if form.carry_out(lambda given: keys.revoke_key(key_id=pk, by=request.user, **given)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The key is revoked; it stops working within five seconds."))
    return redirect("clients")


def _page(
    request: HttpRequest,
    *,
    form: ClientForm | None = None,
    key_form: KeyForm | None = None,
    key_of: UUID | None = None,
    refused: DeskForm | None = None,
    issued: tuple[Any, ...] | None = None,
    status: int = 200,
) -> HttpResponse:
    rows = (
        ApiClient.objects.select_related("service")
        .prefetch_related(Prefetch("keys", queryset=ApiKey.objects.order_by("-created_at")))
        .order_by("service__code", "name")
    )
    cards = []
    for client in rows:
        # Each form has ids of its own: several stand on one page.
        given = key_form if key_form and key_of == client.pk else KeyForm(auto_id=f"id_{client.pk.hex}_%s")
        cards.append((client, given, bool(key_form and key_of == client.pk)))
    context = {"cards": cards, "form": form or ClientForm(), "refused": refused, "issued": issued}
    return show(request, "accounts/clients.html", context, place="clients", status=status)
