"""Requests of persons about their own data, handed in by their service (GA-11, GEN-08)."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from accounts import person_requests, users
from accounts.api.reading import read_body, respond
from accounts.keys import require_scope
from core.api import ApiView


class PersonRequestIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request."""

    kind: str
    detail: str = ""


class PersonRequestsView(ApiView):
    """Requests of one user."""

    scopes = {"GET": "users:read"}
    scopes_after_body = {"POST": "users:write"}
    http_method_names = ["get", "post"]

    @extend_schema(operation_id="list_person_requests", responses={200: {"type": "object"}})
    def get(self, request: Any, external_id: str) -> HttpResponse:
        """What this user asked for about their data, newest first."""
        user = users.find(service=request.user.service, external_id=external_id)
        rows = user.requests.order_by("-pk")[:100]
        return respond({"results": [person_requests.representation(row, request._request) for row in rows]})

    @extend_schema(
        operation_id="request_about_data",
        request={
            "application/json": {
                "type": "object",
                "required": ["kind"],
                "additionalProperties": False,
                "properties": {
                    "kind": {"type": "string", "enum": ["access", "copy", "correct", "delete"]},
                    "detail": {"type": "string", "maxLength": person_requests.LONGEST},
                },
            }
        },
        responses={200: {"type": "object"}, 201: {"type": "object"}},
    )
    def post(self, request: Any, external_id: str) -> HttpResponse:
        """Take the request; while one of its kind is open, that one is the answer. Give the person `status_url`."""
        body, problem = read_body(request._request, PersonRequestIn, longest=person_requests.LONGEST)
        caller = require_scope(request, self)
        user = users.find(service=caller.service, external_id=external_id)
        if problem:
            raise problem
        taken, created = person_requests.receive(user=user, kind=body.kind, detail=body.detail, by=caller)
        taken.refresh_from_db(fields=["received_at", "due_at"])
        return respond(person_requests.representation(taken, request._request), 201 if created else 200)
