"""The page behind the link of a request about personal data: how it stands, the answer, and the data itself for fourteen
days. Whoever holds the link speaks for the person; nobody signs in."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts import person_requests
from accounts.models import PersonRequest
from accounts.notice_words import last_day
from accounts.pages.public import in_language, secret_address
from accounts.pages.requests import as_file


@secret_address
@require_safe
def request(http: HttpRequest, token: str) -> HttpResponse:
    """How the request stands."""
    asked = _found(token)
    if (language := http.GET.get("language", "")) in dict(settings.LANGUAGES):
        return in_language("public_request", token, language)
    until = person_requests.bundle_until(asked)
    context = {
        "asked": asked,
        "token": token,
        "kind": PersonRequest.KINDS[asked.kind],
        "is_open": asked.state in person_requests.OPEN,
        "answer_by": last_day(asked.due_at),
        "fetchable": bool(asked.bundle_key_sealed) and until is not None and until > timezone.now(),
        "until": until,
    }
    return render(http, "public/request.html", context)


@secret_address
@require_POST
def fetch(http: HttpRequest, token: str) -> HttpResponseBase:
    """The data. A POST, so that no preview of a link takes it."""
    asked = _found(token)
    return as_file(person_requests.download_by_link(request=asked), asked)


def _found(token: str) -> PersonRequest:
    asked = person_requests.behind(token)
    if asked is None:
        raise Http404
    return asked
