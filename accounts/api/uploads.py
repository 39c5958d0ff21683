"""Pictures of documents handed in by a service, to be named by an identity afterwards."""

from __future__ import annotations

import io
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema

from accounts import documents
from accounts.api.reading import invalid, respond
from accounts.keys import require_scope
from accounts.models import IdentityDocument
from core.api import ApiView
from core.errors import Refusal
from core.options import option
from core.requests import body_limit

AROUND = 16 * 1024  # what a form may add to the picture itself
_UPLOAD = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "media_type": {"type": "string", "enum": list(documents.MEDIA_TYPES)},
        "size": {"type": "integer"},
    },
}


class UploadsView(ApiView):
    """Pictures of documents."""

    scopes_after_body = {"POST": "users:write"}
    http_method_names = ["post"]

    @extend_schema(
        operation_id="upload_document",
        parameters=[
            OpenApiParameter("kind", str, enum=list(IdentityDocument.KINDS), description="what the picture shows")
        ],
        request={
            "image/jpeg": {"type": "string", "format": "binary"},
            "image/png": {"type": "string", "format": "binary"},
            "multipart/form-data": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}, "kind": {"type": "string"}},
            },
        },
        responses={201: _UPLOAD},
    )
    def post(self, request: Any) -> HttpResponse:
        """Keep a picture for a day, until an identity names its id in `documents`."""
        data, media_type, kind = _read(request._request)
        caller = require_scope(request, self)
        if data is None:
            raise invalid("file", "required", _("The form holds no file."))
        document = documents.take(service=caller.service, data=data, media_type=media_type, kind=kind, by=caller)
        return respond(
            {"id": str(document.pk), "media_type": document.media_type, "size": document.size},
            201,
        )


def _read(request: HttpRequest) -> tuple[bytes | None, str, str]:
    """The picture (None: the form held none), the type it is said to be, and its kind. Refuses with 413, 415, 400."""
    limit = int(option("max_document"))
    declared = request.META.get("CONTENT_TYPE", "").split(";", 1)[0].strip().lower()
    asked = request.GET.get("kind", "other")
    if declared in documents.MEDIA_TYPES:
        return body_limit(request, limit), declared, asked
    if declared != "multipart/form-data":
        raise Refusal("unsupported_media_type", _("Only JPEG and PNG pictures are taken here."), status=415)
    fields, files = _form(request, body_limit(request, limit + AROUND))
    kind = fields.get("kind", asked)
    part = files.get("file")
    if part is None:
        return None, "", kind
    media_type = (part.content_type or "").lower()
    if media_type not in documents.MEDIA_TYPES:
        raise Refusal("unsupported_media_type", _("Only JPEG and PNG pictures are taken here."), status=415)
    if part.size > limit:
        raise Refusal("too_large", _("The file is too large."), status=413, extra={"limit": limit})
    return part.read(), media_type, kind


class _InMemory(MemoryFileUploadHandler):
    """Keeps every part in memory, whose size is bounded already: Django's other handlers would write the picture in the
    clear into a temporary file."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True


def _form(request: HttpRequest, body: bytes) -> tuple[Any, Any]:
    meta = {"CONTENT_TYPE": request.META["CONTENT_TYPE"], "CONTENT_LENGTH": len(body)}
    try:
        return MultiPartParser(meta, io.BytesIO(body), [_InMemory(request)], "utf-8").parse()
    except (MultiPartParserError, SuspiciousOperation):
        raise Refusal("malformed_multipart", _("The body isn't multipart/form-data."), status=400) from None
