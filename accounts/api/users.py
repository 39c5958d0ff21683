"""Registration of users and what the API says of them. Views parse, call one command and render."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema

from accounts import measures, users
from accounts.api.reading import invalid, read_body, respond
from accounts.keys import require_scope
from core.api import ApiView


class UserIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a registration."""

    external_id: str
    kind: str
    display_name: str
    region: str = ""


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
                raise invalid(name, "length", _("This text is empty or too long."))
        if len(body.region) > 40:
            raise invalid("region", "length", _("This text is too long."))
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
