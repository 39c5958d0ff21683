"""The REST API of users, gates and webhook endpoints. Views parse, call one command and render."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema

from accounts import identities, measures, users
from accounts.keys import require_scope
from core import gates, jsonbody, webhooks
from core.api import ApiView
from core.errors import Refusal, field_error
from core.ids import parse_uuid
from core.models import WebhookEndpoint
from core.requests import body_limit

MAX_BODY = 2 * 1024 * 1024


class UserIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a registration."""

    external_id: str
    kind: str
    display_name: str
    region: str = ""


class IdentityIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a proof of identity."""

    method: str
    name: str = ""
    number: str = ""
    token: str = ""
    documents: list[str] = []


class EndpointIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a webhook endpoint."""

    url: str
    topics: list[str] = []


def respond(document: Any, status: int = 200) -> HttpResponse:
    """A JSON answer."""
    return HttpResponse(jsonbody.encode(document), status=status, content_type="application/json")


def read_body(request: HttpRequest, shape: Any, *, longest: int = 200) -> tuple[Any, Refusal | None]:
    """The body as a struct, and what is wrong with its fields: told by the caller after the scope was asked. Refuses
    with 413, 415 or 400 at once."""
    if request.META.get("CONTENT_TYPE", "").split(";", 1)[0].strip().lower() != "application/json":
        raise Refusal("unsupported_media_type", _("This content type isn't taken here."), status=415)
    read, _canonical = jsonbody.load_object(body_limit(request, MAX_BODY))
    try:
        body = msgspec.convert(read, shape)
    except msgspec.ValidationError as wrong:
        name, code = _where(str(wrong))
        return None, _invalid(name, code, _("This field is missing, unknown or of the wrong type."))
    for name in shape.__struct_fields__:
        value = getattr(body, name)
        if isinstance(value, str):
            if "\x00" in value:
                return None, _invalid(name, "nul_character", _("A text may not hold a NUL character."))
            if len(value) > (500 if name in ("url", "token") else longest):
                return None, _invalid(name, "length", _("This text is too long."))
    return body, None


def _where(message: str) -> tuple[str, str]:
    if " - at `$" in message:
        return message.split(" - at `$", 1)[1].rstrip("`").lstrip(".") or "body", "invalid"
    name = message.split("`")[1] if "`" in message else "body"
    return name, "required" if "missing" in message else "unknown_field" if "unknown" in message else "invalid"


def _invalid(name: str, code: str, detail: str) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(name, code, detail)])


class UsersView(ApiView):
    """Registration."""

    scopes_after_body = {"POST": "users:write"}
    http_method_names = ["post"]

    @extend_schema(
        operation_id="register_user",
        request={
            "application/json": {
                "type": "object",
                "required": ["external_id", "kind", "display_name"],
                "additionalProperties": False,
                "properties": {
                    "external_id": {"type": "string", "minLength": 1, "maxLength": 128},
                    "kind": {"type": "string", "enum": ["person", "organization"]},
                    "display_name": {"type": "string", "minLength": 1, "maxLength": 80},
                    "region": {"type": "string", "maxLength": 40},
                },
            }
        },
        responses={200: {"type": "object"}, 201: {"type": "object"}},
    )
    def post(self, request: Any) -> HttpResponse:
        """Make a user known; the same external_id again answers the same record."""
        body, problem = read_body(request._request, UserIn)
        caller = require_scope(request, self)
        if problem:
            raise problem
        for name, value, most in (
            ("external_id", body.external_id, 128),
            ("display_name", body.display_name, 80),
        ):
            if not 1 <= len(value) <= most:
                raise _invalid(name, "length", _("This text is empty or too long."))
        if len(body.region) > 40:
            raise _invalid("region", "length", _("This text is too long."))
        user, created = users.register(
            service=caller.service,
            external_id=body.external_id,
            kind=body.kind,
            display_name=body.display_name,
            region=body.region,
            by=caller,
        )
        return respond(users.representation(user), 201 if created else 200)


class UserView(ApiView):
    """One user."""

    scopes = {"GET": "users:read"}
    http_method_names = ["get"]

    @extend_schema(operation_id="get_user", responses={200: {"type": "object"}})
    def get(self, request: Any, external_id: str) -> HttpResponse:
        """Identity, account and measures; numbers are masked."""
        user = users.find(service=request.user.service, external_id=external_id)
        identity = user.identities.order_by("-submitted_at").first()
        return respond(
            {
                **users.representation(user),
                "identity": {
                    "method": identity.method,
                    "state": identity.state,
                    "number": identity.number_masked,
                    "name": identity.name_masked,
                    "reject_reason": identity.reject_reason,
                }
                if identity
                else None,
                "measures": [measures.representation(m) for m in user.measures.order_by("-starts_at")[:100]],
            }
        )


class IdentityView(ApiView):
    """Proof of identity."""

    scopes_after_body = {"POST": "users:write"}
    http_method_names = ["post"]

    @extend_schema(
        operation_id="submit_identity",
        request={
            "application/json": {
                "type": "object",
                "required": ["method"],
                "additionalProperties": False,
                "properties": {
                    "method": {"type": "string", "enum": ["mobile", "id_number", "uscc", "network_identity"]},
                    "name": {"type": "string", "maxLength": 80},
                    "number": {"type": "string", "maxLength": 40},
                    "token": {"type": "string", "maxLength": 500},
                    "documents": {"type": "array", "items": {"type": "string"}},
                },
            }
        },
        responses={202: {"type": "object"}},
    )
    def post(self, request: Any, external_id: str) -> HttpResponse:
        """Pending until an identity admin decides; a number whose check digit is wrong is refused with 422."""
        body, problem = read_body(request._request, IdentityIn)
        caller = require_scope(request, self)
        user = users.find(service=caller.service, external_id=external_id)
        if problem:
            raise problem
        if body.documents:
            raise _invalid("documents", "not_taken_yet", _("Documents can't be handed in yet."))
        identities.submit(
            user=user, method=body.method, name=body.name, number=body.number, token=body.token, by=caller
        )
        return respond({"identity_status": user.identity_status}, 202)


class GatesView(ApiView):
    """What is closed by order."""

    scopes = {"GET": "submissions:read"}
    http_method_names = ["get"]

    @extend_schema(operation_id="list_gates", responses={200: {"type": "array", "items": {"type": "object"}}})
    def get(self, request: Any) -> HttpResponse:
        """All three capabilities, closed or not."""
        return respond(gates.overview(request.user.service.pk))


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
