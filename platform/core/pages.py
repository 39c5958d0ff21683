"""What the staff's pages share: the door (who may see this), refusals as sentences, and paging."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from core.errors import Refusal
from core.roles import may

_NOT_GIVEN_BACK = frozenset({"csrfmiddlewaretoken", "number", "name", "code", "token"})
_WRITTEN = re.compile(r"\s|[^\x00-\x7f]")


def staff_page(permission: str, *, secret: bool = False) -> Callable[[Any], Any]:
    """Decorate a view with the grant it needs. Without it: 403 with a sentence, or 404 where existence is secret."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not may(request.user, permission):
                if secret:
                    raise Http404
                return render(request, "403.html", status=403)
            return view(request, *args, **kwargs)

        guarded.permission = permission  # type: ignore[attr-defined]
        return guarded

    return decorate


def refusal_page(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """A refusal that no view caught, as a page (or as a fragment for htmx) with role=alert."""
    template = "components/refusal.html" if getattr(request, "htmx", False) else "refused.html"
    return render(request, template, {"refusal": refusal}, status=refusal.status)


def signed_out_page(request: HttpRequest) -> HttpResponse:
    """What whoever is not signed in gets instead of a redirect when they sent something: 401 with the way to sign in.
    htmx puts it among the alerts and leaves the page as it is; a whole page gives back the texts that were typed."""
    why = getattr(request, "signed_out", "") or _("You are not signed in, or your session has ended.")
    if getattr(request, "htmx", False):
        context = {"why": why, "login_url": _login_url(request.htmx.current_url_abs_path or "/")}  # type: ignore[attr-defined]
        response = render(request, "components/signed_out.html", context, status=401)
    else:
        context = {"why": why, "login_url": _login_url(_came_from(request)), "typed": _typed(request)}
        response = render(request, "signed_out.html", context, status=401)
    response["WWW-Authenticate"] = 'Session realm="staff"'
    return response


def _login_url(path: str) -> str:
    return f"{reverse('login')}?{urlencode({'next': path})}"


def _came_from(request: HttpRequest) -> str:
    parts = urlsplit(request.headers.get("Referer", ""))
    if parts.netloc != request.get_host():
        return "/"
    return parts._replace(scheme="", netloc="", fragment="").geturl() or "/"


def _typed(request: HttpRequest) -> list[str]:
    """The sentences in a form that was sent too late. Only from a form of ours, by its token: another site must not be
    able to have its words shown here. Choices, ids and numbers are left out: they are quickly made again."""
    if request.method != "POST" or request.content_type != "application/x-www-form-urlencoded":
        return []
    guard = CsrfViewMiddleware(lambda _request: HttpResponse())
    if guard.process_view(request, signed_out_page, (), {}) is not None:
        return []
    sentences = []
    for name, values in request.POST.lists():
        if name in _NOT_GIVEN_BACK or "password" in name:
            continue
        sentences += [value for value in values if _WRITTEN.search(value.strip())]
    return sentences


class Page:
    """One page of a newest-first list keyed by a time-ordered id: no offset, so that page 1,000 costs what page 1 does."""

    def __init__(self, rows: Any, *, size: int = 50, before: str = "", key: str = "pk"):
        ordered = rows.order_by(f"-{key}")
        if before:
            ordered = ordered.filter(**{f"{key}__lt": before})
        found = list(ordered[: size + 1])
        self.rows = found[:size]
        self.next = str(getattr(found[size - 1], key)) if len(found) > size else ""
        self.first = not before

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
