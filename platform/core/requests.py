"""What surrounds every request: its id, its log line, the API's short way and the staff door."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import tempfile
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib import messages
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
PUBLIC = (
    "/public/",
    "/invitation/",
    "/login/",
    "/logout/",
    "/i18n/",
    "/appearance/",
    "/static/",
    "/healthz",
    "/readyz",
    "/metrics",
)
# A part of a path that is long enough to be a secret: the tokens of invitations, appeals and status pages.
_TOKEN = re.compile(r"(?<=/)[A-Za-z0-9_-]{40,}={0,2}(?=/|$)")


def logged_path(path: str) -> str:
    """A path as the log may know it: without the tokens that open the pages of people who have no account."""
    return _TOKEN.sub("…", path)[:200]


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
                path=logged_path(request.path),
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
            return _not_signed_in(request)
        response = self.get_response(request)
        add_never_cache_headers(response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, Refusal):
            from core.pages import refusal_page

            return refusal_page(request, exception)
        return None


def _not_signed_in(request: HttpRequest) -> HttpResponse:
    """To the login page and back; but what somebody typed is not thrown away on a redirect (ASVS 7.3)."""
    from core.pages import signed_out_page

    if request.method in ("GET", "HEAD") and not getattr(request, "htmx", False):
        if why := getattr(request, "signed_out", ""):
            messages.info(request, why)
        return redirect_to_login(request.get_full_path())
    response = signed_out_page(request)
    add_never_cache_headers(response)
    return response


def client_address(request: HttpRequest) -> str:
    """The caller's address: as the server saw it or, behind TRUST_PROXY, as our own proxy saw it, which is the entry of
    X-Forwarded-For that our outermost proxy appended; whatever stands before it anybody can write. Empty where the
    proxy wrote something else than an address: unknown is nobody's neighbour (ASVS 4.1.3)."""
    direct = str(request.META.get("REMOTE_ADDR", ""))
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "") if settings.TRUST_PROXY else ""
    if not forwarded:
        return _address_in(direct)  # a unix socket has no address: "unix:", or nothing
    hops = forwarded.split(",")
    return _address_in(hops[-min(settings.PROXY_HOPS, len(hops))])


def known_address(request: HttpRequest) -> str | None:
    """The caller's address for columns and libraries that take nothing else; None where it is unknown."""
    return client_address(request) or None


def _address_in(entry: str) -> str:
    # Some proxies write the port too: 203.0.113.7:4711, [2001:db8::1]:4711.
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


DRAIN = 128 * 1024 * 1024  # a refused body is read away up to here, so that the sender sees the answer and no reset


def body_limit(request: HttpRequest, limit: int) -> bytes:
    """Read a body of at most `limit` bytes, without ever holding more; refuses with 413 (also for a lying or missing
    Content-Length)."""
    declared = request.META.get("CONTENT_LENGTH") or ""
    # Django bounds its stream by Content-Length; a chunked body has none and is read from the server itself.
    stream: Any = request if declared else request.META["wsgi.input"]
    read = b"" if declared.isdigit() and int(declared) > limit else _read(stream, limit + 1)
    if len(read) > limit or (declared.isdigit() and int(declared) > limit):
        raise _too_large(stream, limit)
    return read


def hold_body(request: HttpRequest, limit: int) -> str:
    """Read a body of at most `limit` bytes and put it back, so that whoever reads it next finds it untouched; answers
    its SHA-256 in hex. For what must know the whole body before a view does. Past 4 MiB it waits on the disk, as an
    upload does. Refuses with 413."""
    declared = request.META.get("CONTENT_LENGTH") or ""
    stream: Any = request._stream if declared else request.META["wsgi.input"]  # type: ignore[attr-defined]
    held = tempfile.SpooledTemporaryFile(max_size=4 * 1024 * 1024)  # noqa: SIM115 the view reads it
    digest, size = hashlib.sha256(), 0
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(stream, limit)
    # Without a length a GET has no body; some servers would wait for one.
    while (declared or request.method not in ("GET", "HEAD")) and (chunk := stream.read(65536)):
        size += len(chunk)
        if size > limit:
            held.close()
            raise _too_large(stream, limit)
        digest.update(chunk)
        held.write(chunk)
    held.seek(0)
    # Where Django's own `HttpRequest.body` puts what it read, and where `body_limit` looks for a chunked one.
    request._stream = request.META["wsgi.input"] = held  # type: ignore[attr-defined, assignment]
    return digest.hexdigest()


def _too_large(stream: Any, limit: int) -> Refusal:
    left = DRAIN
    while left > 0 and (chunk := stream.read(min(65536, left))):
        left -= len(chunk)
    return Refusal("too_large", _("The body is too large."), status=413, extra={"limit": limit})


def _read(stream: Any, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (chunk := stream.read(most)):
        parts.append(chunk)
        most -= len(chunk)
    return b"".join(parts)
