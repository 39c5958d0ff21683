"""Documents of a service, and what its users accepted of them (DS-08b)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from accounts import acceptances, users
from accounts.api.reading import read_body, respond
from accounts.keys import require_scope
from accounts.models import Acceptance
from core.api import ApiView
from governance import documents
from governance.models import Document


class AcceptanceIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an acceptance."""

    document: str
    version: int
    accepted_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    address: str = ""


class DocumentsView(ApiView):
    """The documents that users of this service meet."""

    scopes = {"GET": "users:read"}
    http_method_names = ["get"]

    @extend_schema(operation_id="list_documents", responses={200: {"type": "object"}})
    def get(self, request: Any) -> HttpResponse:
        """Every published document with its latest version, and the version that users must have accepted."""
        return respond({"results": [_document(row) for row in documents.for_service(request.user.service)]})


class AcceptancesView(ApiView):
    """Acceptances of one user."""

    scopes = {"GET": "users:read"}
    scopes_after_body = {"POST": "users:write"}
    http_method_names = ["get", "post"]

    @extend_schema(operation_id="list_acceptances", responses={200: {"type": "object"}})
    def get(self, request: Any, external_id: str) -> HttpResponse:
        """What this user accepted, newest first, and what is still wanted."""
        user = users.find(service=request.user.service, external_id=external_id)
        rows = user.acceptances.select_related("version__document").defer("version__text", "version__text_en")
        return respond(
            {
                "results": [_acceptance(row) for row in rows.order_by("-pk")[:100]],
                "wanted": [wanted._asdict() for wanted in acceptances.missing(user)],
            }
        )

    @extend_schema(
        operation_id="accept_document",
        request={
            "application/json": {
                "type": "object",
                "required": ["document", "version"],
                "additionalProperties": False,
                "properties": {
                    "document": {"type": "string", "maxLength": 50},
                    "version": {"type": "integer", "minimum": 1},
                    "accepted_at": {"type": "string", "format": "date-time"},
                    "address": {"type": "string", "description": "IP address that the user had"},
                },
            }
        },
        responses={200: {"type": "object"}, 201: {"type": "object"}},
    )
    def post(self, request: Any, external_id: str) -> HttpResponse:
        """Record a yes; the same again answers the same record."""
        body, problem = read_body(request._request, AcceptanceIn)
        caller = require_scope(request, self)
        user = users.find(service=caller.service, external_id=external_id)
        if problem:
            raise problem
        acceptance, created = acceptances.accept(
            user=user,
            document=body.document,
            version=body.version,
            accepted_at=body.accepted_at,
            address=body.address,
            by=caller,
        )
        acceptance = (
            Acceptance.objects.select_related("version__document")
            .defer("version__text", "version__text_en")
            .get(pk=acceptance.pk)
        )
        wanted = [one._asdict() for one in acceptances.missing(user)]
        return respond({**_acceptance(acceptance), "wanted": wanted}, 201 if created else 200)


def _document(row: Any) -> dict[str, Any]:
    return {
        "code": row.code,
        "kind": row.kind,
        "title": row.title,
        "title_en": row.title_en,
        "latest": {"version": row.latest, "sha256": row.latest_sha256, "published_at": _time(row.latest_at)},
        "required": row.required_number,
        "url": f"/public/documents/{row.code}/",
    }


def _acceptance(row: Acceptance) -> dict[str, Any]:
    document: Document = row.version.document
    return {
        "document": document.code,
        "version": row.version.number,
        "accepted_at": _time(row.accepted_at),
        "region": row.region,
    }


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
