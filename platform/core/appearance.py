"""How the pages look to this reader: light, dark, or what the system says. A cookie, nothing in the database."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

THEMES = ("auto", "light", "dark")
COOKIE = "theme"
_YEAR = 365 * 24 * 3600


def theme_of(request: HttpRequest) -> str:
    """The theme this reader chose; `auto` when none or nonsense is stored."""
    chosen = request.COOKIES.get(COOKIE, "")
    return chosen if chosen in THEMES else "auto"


def local_path(request: HttpRequest, candidate: str) -> str:
    """`candidate` when it leads back into this site, else the front page (an open redirect helps phishing)."""
    allowed = url_has_allowed_host_and_scheme(
        candidate, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return candidate if allowed else "/"


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Store the posted `theme` and go back to `next`; an unknown theme is a 400."""
    theme = request.POST.get("theme", "")
    if theme not in THEMES:
        raise BadRequest("unknown theme")
    response = HttpResponseRedirect(local_path(request, request.POST.get("next", "")))
    response.set_cookie(COOKIE, theme, max_age=_YEAR, samesite="Lax", httponly=True, secure=request.is_secure())
    return response
