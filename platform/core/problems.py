"""application/problem+json (RFC 9457) for every refusal and failure of the API."""

from __future__ import annotations

import http
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions

from core import jsonbody
from core.errors import Refusal

log = structlog.get_logger("problem")


def problem_document(
    status: int, code: str, detail: str, errors: list[dict[str, Any]] | None = None, **extra: Any
) -> dict[str, Any]:
    """The members of a problem document; `type` is a stable URN of the code."""
    document: dict[str, Any] = {
        "type": f"urn:mingjian:problem:{code}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": str(detail),
    }
    if errors:
        document["errors"] = [{**e, "detail": str(e["detail"])} for e in errors]
    document.update(extra)
    return document


def refusal_document(refusal: Refusal) -> dict[str, Any]:
    """A refusal as a problem document, e.g. for one line of a batch."""
    return problem_document(refusal.status, refusal.code, refusal.detail, refusal.errors, **refusal.extra)


def problem(status: int, code: str, detail: str, *, retry_after: int | None = None, **extra: Any) -> HttpResponse:
    """A whole problem response."""
    return _response(problem_document(status, code, detail, **extra), status, retry_after)


def refusal_response(refusal: Refusal) -> HttpResponse:
    """The response for a refusal."""
    return _response(refusal_document(refusal), refusal.status, refusal.retry_after)


def _response(document: dict[str, Any], status: int, retry_after: int | None) -> HttpResponse:
    response = HttpResponse(jsonbody.encode(document), status=status, content_type="application/problem+json")
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def failure_response(exc: BaseException, request: HttpRequest) -> HttpResponse:
    """What the API answers to an exception that nobody expected. The text of the exception stays inside: a database
    error quotes the row (security.md, finding 9)."""
    if isinstance(exc, OperationalError | InterfaceError):
        log.error("database_away", error=type(exc).__name__, path=request.path)
        return problem(503, "database_unavailable", _("The database can't be reached; try again."), retry_after=2)
    log.error("unhandled", error=type(exc).__name__, path=request.path, exc_info=exc)
    return problem(500, "internal_error", _("Something went wrong on our side; it was recorded."))


def exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponse:
    """Django REST framework's exception handler."""
    if isinstance(exc, Refusal):
        return refusal_response(exc)
    if isinstance(exc, Http404):
        return problem(404, "not_found", _("There is no such thing here."))
    if isinstance(exc, PermissionDenied | exceptions.PermissionDenied):
        return problem(403, "scope_missing", _("This key may not do that."))
    if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return problem(401, "not_authenticated", _("A valid API key is needed."))
    if isinstance(exc, exceptions.MethodNotAllowed):
        return problem(405, "method_not_allowed", _("This address doesn't take that method."))
    if isinstance(exc, exceptions.NotAcceptable):
        return problem(406, "not_acceptable", _("This address answers with JSON only."))
    if isinstance(exc, exceptions.UnsupportedMediaType):
        return problem(415, "unsupported_media_type", _("This content type isn't taken here."))
    if isinstance(exc, exceptions.ParseError):
        return problem(400, "malformed", _("The body can't be read."))
    return failure_response(exc, context["request"])
