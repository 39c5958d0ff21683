"""A service's webhook endpoints."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema

from accounts.api.reading import read_body, respond
from accounts.keys import require_scope
from core import webhooks
from core.api import ApiView
from core.errors import Refusal
from core.ids import parse_uuid
from core.models import WebhookEndpoint


class EndpointIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a webhook endpoint."""

    url: str
    topics: list[str] = []


class EndpointsView(ApiView):
    """The service's webhook endpoints."""

    scopes = {"GET": "webhooks"}
    scopes_after_body = {"POST": "webhooks"}
    http_method_names = ["get", "post"]

    @extend_schema(operation_id="list_webhooks", responses={200: {"type": "object"}})
    def get(self, request: Any) -> HttpResponse:
        """Every endpoint of this service."""
        rows = WebhookEndpoint.objects.filter(service_id=request.user.service.pk).order_by("created_at")
        return respond({"results": [_endpoint(row) for row in rows]})

    @extend_schema(
        operation_id="register_webhook",
        request={
            "application/json": {
                "type": "object",
                "required": ["url"],
                "additionalProperties": False,
                "properties": {"url": {"type": "string"}, "topics": {"type": "array", "items": {"type": "string"}}},
            }
        },
        responses={200: {"type": "object"}},
    )
    def post(self, request: Any) -> HttpResponse:
        """Register an address; answers its secret. The same address again answers the same endpoint."""
        body, problem = read_body(request._request, EndpointIn, longest=500)
        caller = require_scope(request, self)
        if problem:
            raise problem
        endpoint, secret = webhooks.register_endpoint(
            service_id=caller.service.pk, url=body.url, topics=body.topics, by=caller
        )
        return respond({**_endpoint(endpoint), "secret": secret})


class EndpointView(ApiView):
    """One webhook endpoint."""

    scopes = {"DELETE": "webhooks"}
    http_method_names = ["delete"]

    @extend_schema(operation_id="remove_webhook", responses={204: None})
    def delete(self, request: Any, pk: str) -> HttpResponse:
        """Forget it."""
        known = parse_uuid(pk)
        if known is None:
            raise Refusal("not_found", _("There is no such endpoint."), status=404)
        webhooks.remove_endpoint(endpoint_id=known, service_id=request.user.service.pk, by=request.user)
        return HttpResponse(status=204)


def _endpoint(row: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "url": row.url,
        "topics": row.topics,
        "active": row.active,
        "disabled_reason": row.disabled_reason,
    }
