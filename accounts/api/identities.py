"""Proofs of identity handed in by a service."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema

from accounts import identities, users
from accounts.api.reading import invalid, read_body, respond
from accounts.keys import require_scope
from core.api import ApiView


class IdentityIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a proof of identity."""

    method: str
    name: str = ""
    number: str = ""
    token: str = ""
    documents: list[str] = []


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
            raise invalid("documents", "not_taken_yet", _("Documents can't be handed in yet."))
        identities.submit(
            user=user, method=body.method, name=body.name, number=body.number, token=body.token, by=caller
        )
        return respond({"identity_status": user.identity_status}, 202)
