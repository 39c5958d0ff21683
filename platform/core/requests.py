"""What surrounds every request: its id, its log line, the API's short way and the staff door."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.handlers.base import BaseHandler
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from core import metrics
from core.errors import Refusal
from core.ids import uuid7
from core.problems import failure_response, problem, refusal_response

log = structlog.get_logger("request")
Handler = Callable[[HttpRequest], HttpResponse]
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")
_QUIET = ("/static/", "/healthz", "/readyz", "/metrics")
PUBLIC = ("/public/", "/login/", "/logout/", "/i18n/", "/appearance/", "/static/", "/healthz", "/readyz", "/metrics")


def request_id() -> str:
    """The id of the request or job being worked on; empty outside of one."""
    return structlog.contextvars.get_contextvars().get("request_id", "")


class RequestIdMiddleware:
    """Outermost: gives the request an id, logs its end in one line, counts it."""

    def __init__(self, get_response: Handler):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        rid = given if _GIVEN_ID.match(given) else uuid7().hex
        structlog.contextvars.bind_contextvars(request_id=rid)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")
        response["X-Request-ID"] = rid
        took = time.perf_counter() - started
        if not request.path.startswith(_QUIET):
            metrics.count_request(request, response.status_code, took)
            # The path can carry an external id, never a number: identifiers travel in bodies (ASVS 14.2.1).
            log.info(
                "request",
                request_id=rid,
                method=request.method,
                path=request.path[:200],
                status=response.status_code,
                ms=round(took * 1000, 1),
            )
        return response


class ApiShortcutMiddleware:
    """An API call carries a key, never a cookie: it needs no session, no CSRF token and no page headers, and takes the
    short way past the page middlewares. It also turns whatever escapes into problem+json."""

    def __init__(self, get_response: Handler):
        self.get_response = get_response
        handler: Any = BaseHandler()
        handler._view_middleware = handler._template_response_middleware = handler._exception_middleware = []
        self._api = handler

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/api/v1/"):
            return self.get_response(request)
        # Threads are reused and keep the language of the page they served last, so it is set on every call.
        translation.activate(
            translation.get_language_from_request(request)
            if "HTTP_ACCEPT_LANGUAGE" in request.META
            else settings.LANGUAGE_CODE
        )
        try:
            response = self._api._get_response(request)
        except Refusal as refusal:
            response = refusal_response(refusal)
        except Exception as exc:
            response = _not_found() if isinstance(exc, Http404) else failure_response(exc, request)
        if not response.streaming:
            response["Content-Length"] = str(len(response.content))
        response["Cache-Control"] = "no-store"
        response["X-Content-Type-Options"] = "nosniff"
        response["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
        return response


def _not_found() -> HttpResponse:
    return problem(404, "not_found", _("There is no such thing here."))


class StaffMiddleware:
    """Every page that is not public needs a signed-in member of staff; nothing of theirs is cached by browsers."""

    def __init__(self, get_response: Handler):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(PUBLIC) or request.path.startswith("/api/"):
            return self.get_response(request)
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        response = self.get_response(request)
        add_never_cache_headers(response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, Refusal):
            from core.pages import refusal_page

            return refusal_page(request, exception)
        return None


def client_address(request: HttpRequest) -> str:
    """The caller's address as the server saw it; forwarded headers are only believed behind TRUST_PROXY."""
    return str(request.META.get("REMOTE_ADDR", ""))


DRAIN = 128 * 1024 * 1024  # a refused body is read away up to here, so that the sender sees the answer and no reset


def body_limit(request: HttpRequest, limit: int) -> bytes:
    """Read a body of at most `limit` bytes, without ever holding more; refuses with 413 (also for a lying or missing
    Content-Length)."""
    declared = request.META.get("CONTENT_LENGTH") or ""
    # Django bounds its stream by Content-Length; a chunked body has none and is read from the server itself.
    stream: Any = request if declared else request.META["wsgi.input"]
    read = b"" if declared.isdigit() and int(declared) > limit else _read(stream, limit + 1)
    if len(read) > limit or (declared.isdigit() and int(declared) > limit):
        left = DRAIN
        while left > 0 and (chunk := stream.read(min(65536, left))):
            left -= len(chunk)
        raise Refusal("too_large", _("The body is too large."), status=413, extra={"limit": limit})
    return read


def _read(stream: Any, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (chunk := stream.read(most)):
        parts.append(chunk)
        most -= len(chunk)
    return b"".join(parts)
