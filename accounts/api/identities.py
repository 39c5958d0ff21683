"""Proofs of identity handed in by a service, and the one-time codes of its users."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from accounts import codes, identities, users
from accounts.api.reading import read_body, respond
from accounts.keys import require_scope
from accounts.models import Identity
from core.api import ApiView

STATUS = {"type": "object", "properties": {"identity_status": {"type": "string"}}}


class IdentityIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a proof of identity."""

    method: str
    name: str = ""
    number: str = ""
    token: str = ""
    document_kind: str = ""
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
                    "method": {"type": "string", "enum": list(Identity.METHODS)},
                    "name": {"type": "string", "maxLength": 80},
                    "number": {"type": "string", "maxLength": 40},
                    "token": {"type": "string", "maxLength": 500},
                    "document_kind": {"type": "string", "enum": ["", *Identity.DOCUMENT_KINDS]},
                    "documents": {"type": "array", "items": {"type": "string"}, "maxItems": 10},
                },
            }
        },
        responses={202: STATUS},
    )
    def post(self, request: Any, external_id: str) -> HttpResponse:
        """Pending until it is verified: by a code, the verification service or an identity admin. A number whose check
        digit is wrong is refused with 422."""
        body, problem = read_body(request._request, IdentityIn)
        caller = require_scope(request, self)
        user = users.find(service=caller.service, external_id=external_id)
        if problem:
            raise problem
        identities.submit(
            user=user,
            method=body.method,
            name=body.name,
            number=body.number,
            token=body.token,
            document_kind=body.document_kind,
            documents=body.documents,
            by=caller,
        )
        return respond({"identity_status": user.identity_status}, 202)


class CodeIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a confirmation."""

    code: str


class CodeView(ApiView):
    """The one-time code that a user typed."""

    scopes_after_body = {"POST": "users:write"}
    http_method_names = ["post"]

    @extend_schema(
        operation_id="confirm_identity_code",
        request={
            "application/json": {
                "type": "object",
                "required": ["code"],
                "additionalProperties": False,
                "properties": {"code": {"type": "string", "maxLength": 20}},
            }
        },
        responses={200: STATUS},
    )
    def post(self, request: Any, external_id: str) -> HttpResponse:
        """The right code verifies the mobile number. A wrong one is 422 `code_wrong` with `tries_left`; one that was
        not sent, is void or too old is 409."""
        body, problem = read_body(request._request, CodeIn, longest=20)
        caller = require_scope(request, self)
        user = users.find(service=caller.service, external_id=external_id)
        if problem:
            raise problem
        user = codes.confirm(user=user, code=body.code, by=caller)
        return respond({"identity_status": user.identity_status})


class NothingIn(msgspec.Struct, forbid_unknown_fields=True):
    """An empty object."""


class ResendView(ApiView):
    """Another code."""

    scopes_after_body = {"POST": "users:write"}
    http_method_names = ["post"]

    @extend_schema(
        operation_id="resend_identity_code",
        request={"application/json": {"type": "object", "additionalProperties": False}},
        responses={202: {"type": "object", "properties": {"next_in": {"type": "integer"}}}},
    )
    def post(self, request: Any, external_id: str) -> HttpResponse:
        """Send another code; the one before is void. Answers in how many seconds yet another may be asked for; 429
        with Retry-After when it is too soon or too often."""
        _body, problem = read_body(request._request, NothingIn)
        caller = require_scope(request, self)
        user = users.find(service=caller.service, external_id=external_id)
        if problem:
            raise problem
        pause = codes.resend(user=user, by=caller)
        return respond({"identity_status": user.identity_status, "next_in": pause}, 202)
