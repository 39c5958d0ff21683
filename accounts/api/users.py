"""Registration of users, changes, and what the API says of them. Views parse, call one command and render."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from accounts import measures, users
from accounts.api.reading import read_body, respond
from accounts.keys import require_scope
from accounts.models import User
from core.api import ApiView


class UserIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a registration."""

    external_id: str
    kind: str
    display_name: str
    region: str = ""
    profession: str = ""
    institution: str = ""
    contact: str = ""
    device: str = ""
    address: str = ""


class ChangeIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a change: what is left out stays as it is."""

    display_name: str | None = None
    region: str | None = None
    profession: str | None = None
    institution: str | None = None
    contact: str | None = None
    device: str | None = None
    address: str | None = None


_DETAILS = {
    "region": {"type": "string", "maxLength": 40, "description": "As the user says"},
    "profession": {"type": "string", "maxLength": 80},
    "institution": {"type": "string", "maxLength": 120},
    "contact": {"type": "string", "format": "email", "maxLength": 120, "description": "Sealed; told back masked"},
    "device": {"type": "string", "maxLength": 200, "description": "Your id of the device; only a digest is kept"},
    "address": {"type": "string", "maxLength": 60, "description": "IP address; only its region is kept"},
}
_NAME = {"type": "string", "minLength": 1, "maxLength": 80}


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
                    "display_name": _NAME,
                    **_DETAILS,
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
        user, created = users.register(service=caller.service, by=caller, **msgspec.structs.asdict(body))
        return respond(users.representation(user), 201 if created else 200)


class UserView(ApiView):
    """One user."""

    scopes = {"GET": "users:read"}
    scopes_after_body = {"PATCH": "users:write"}
    http_method_names = ["get", "patch"]

    @extend_schema(operation_id="get_user", responses={200: {"type": "object"}})
    def get(self, request: Any, external_id: str) -> HttpResponse:
        """Identity, account, measures and what is still wanted; numbers are masked."""
        user = users.find(service=request.user.service, external_id=external_id)
        return respond(_one(user))

    @extend_schema(
        operation_id="change_user",
        request={
            "application/json": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"display_name": _NAME, **_DETAILS},
            }
        },
        responses={200: {"type": "object"}},
    )
    def patch(self, request: Any, external_id: str) -> HttpResponse:
        """Change what is known; a verified user's new profession or institution asks for the identity again."""
        body, problem = read_body(request._request, ChangeIn)
        caller = require_scope(request, self)
        user = users.find(service=caller.service, external_id=external_id)
        if problem:
            raise problem
        return respond(_one(users.change(user=user, by=caller, **msgspec.structs.asdict(body))))


def _one(user: User) -> dict[str, Any]:
    identity = user.identities.order_by("-submitted_at").first()
    return {
        **users.whole(user),
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
