"""Where services hear of events, and what became of each delivery."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.pages.forms import EndpointForm
from accounts.pages.house import show
from core import webhooks as courier
from core.forms import DeskForm
from core.models import WebhookDelivery, WebhookEndpoint
from core.pages import staff_page
from governance.models import Service

SHOWN = 100


@require_safe
@staff_page("staff.view")
def webhooks(request: HttpRequest) -> HttpResponse:
    """Every endpoint."""
    return _page(request)


@require_POST
@staff_page("webhook.manage")
def register(request: HttpRequest) -> HttpResponse:
    """Make an endpoint known. The secret stands in this answer and nowhere else."""
    form = EndpointForm(request.POST)
    made = form.carry_out(
        lambda given: courier.register_endpoint(
            service_id=given["service"].pk, url=given["url"], topics=given["topics"], by=request.user
        )
    )
    if made is None:
        return _page(request, form=form, status=form.status)
    response = _page(request, made=made)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@staff_page("webhook.manage")
def remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Forget an endpoint."""
    endpoint = _found(pk)
    courier.remove_endpoint(endpoint_id=pk, service_id=endpoint.service_id, by=request.user)
    messages.success(request, _("The endpoint is forgotten."))
    return redirect("webhooks")


@require_safe
@staff_page("staff.view")
def webhook(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One endpoint with its latest deliveries."""
    return _one(request, _found(pk))


@require_POST
@staff_page("webhook.manage")
def resend(request: HttpRequest, pk: UUID, delivery: UUID) -> HttpResponse:
    """Send a delivery once more."""
    endpoint = _found(pk)
    if not endpoint.deliveries.filter(pk=delivery).exists():
        raise Http404
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: courier.resend(delivery_id=delivery, by=request.user)) is None:
        return _one(request, endpoint, refused=form, status=form.status)
    messages.success(request, _("It is on its way once more."))
    return redirect("webhook", pk)


def _found(pk: UUID) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.objects.filter(pk=pk).first()
    if endpoint is None:
        raise Http404
    return endpoint


def _page(
    request: HttpRequest, *, form: EndpointForm | None = None, made: tuple[Any, ...] | None = None, status: int = 200
) -> HttpResponse:
    services = {service.pk: service for service in Service.objects.all()}
    rows = WebhookEndpoint.objects.annotate(
        open=Count("deliveries", filter=Q(deliveries__state=WebhookDelivery.PENDING)),
        failed=Count("deliveries", filter=Q(deliveries__state=WebhookDelivery.FAILED)),
    ).order_by("created_at")
    context = {
        "endpoints": [(row, services.get(row.service_id, "—")) for row in rows],
        "form": form or EndpointForm(),
        "made": made,
    }
    return show(request, "accounts/webhooks.html", context, place="webhooks", status=status)


def _one(
    request: HttpRequest, endpoint: WebhookEndpoint, *, refused: DeskForm | None = None, status: int = 200
) -> HttpResponse:
    state = request.GET.get("state", "")
    rows = endpoint.deliveries.order_by("-created_at")
    if state in WebhookDelivery.STATES:
        rows = rows.filter(state=state)
    context = {
        "endpoint": endpoint,
        "service": Service.objects.filter(pk=endpoint.service_id).first(),
        "deliveries": rows.defer("body")[:SHOWN],
        "shown": SHOWN,
        "state": state,
        "states": list(WebhookDelivery.STATES.items()),
        "refused": refused,
    }
    return show(request, "accounts/webhook.html", context, place="webhook", args=(endpoint.pk,), status=status)
