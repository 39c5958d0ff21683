"""Confirming that one is still oneself before a dangerous act (ASVS 7.5.1, 7.5.3).

A confirmation is a password or a second factor, given at the sign-in or since, by the person of this session. It stands
for option("reauthentication") seconds. A view that needs one is decorated with `recently_confirmed`, beneath
`staff_page`, so that whoever may not do the act at all is told that and nothing else:

    @require_POST
    @staff_page("client.manage")
    @recently_confirmed(back="clients")
    def issue(request, pk): ...
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib import messages
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from core.errors import Forbidden
from core.options import option
from core.pages import refusal_page
from core.problems import refusal_response

CONFIRMED_AT = "confirmed_at"
CONFIRMED_WHO = "confirmed_who"
View = Callable[..., HttpResponse]


def recently_confirmed(view: View | None = None, *, back: str = "") -> Any:
    """Decorate a view that only runs when its person confirmed themselves a moment ago.

    Otherwise nothing is done: a page is answered with the way to the confirmation and back to where one was (after a
    POST: to the page one came from, to press again), htmx and programs with 403 `confirmation_required`. `back` is the
    URL name of the page on which the button stands; give it where that page answers refused POSTs at their own address,
    which can't be returned to.
    """
    if view is None:
        return lambda decorated: recently_confirmed(decorated, back=back)

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if is_confirmed(request):
            return view(request, *args, **kwargs)
        return _ask(request, back)

    return guarded


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the signed-in person confirmed themselves recently enough in this session."""
    at = request.session.get(CONFIRMED_AT)
    if not isinstance(at, int | float) or request.session.get(CONFIRMED_WHO) != str(request.user.pk):
        return False
    return 0 <= database_time() - at < option("reauthentication")


def remember(request: HttpRequest, *, who: Any = None, at: float | None = None) -> None:
    """Note that the person of this session (or `who` is about to be) confirmed themselves: now, or at a time that
    somebody trusted vouches for."""
    request.session[CONFIRMED_AT] = database_time() if at is None else at
    request.session[CONFIRMED_WHO] = str((who or request.user).pk)


def forget(request: HttpRequest) -> None:
    """The next dangerous act asks again."""
    request.session.pop(CONFIRMED_AT, None)
    request.session.pop(CONFIRMED_WHO, None)


def query(then: str) -> str:
    """The query of the confirmation page that leads back to a path of ours."""
    return urlencode({"next": then})


def database_time() -> float:
    """Seconds since 1970 by the database's clock: several machines may serve one session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        return float(cursor.fetchone()[0])


def safe_path(request: HttpRequest, address: str | None, *, fallback: str = "/") -> str:
    """The path and query of an address of ours; the fallback for anybody else's (ASVS 3.7.2)."""
    if not address or not url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return fallback
    parts = urlsplit(address)
    return parts._replace(scheme="", netloc="", fragment="").geturl() if parts.path.startswith("/") else fallback


def _ask(request: HttpRequest, back: str) -> HttpResponse:
    refusal = Forbidden(
        "confirmation_required",
        _("Nothing was done yet. Confirm that it is you, then press again."),
        extra={"confirm_url": reverse("confirm")},
    )
    where = f"{reverse('confirm')}?{query(_where_one_was(request, back))}"
    if getattr(request, "htmx", False):
        response = refusal_page(request, refusal)
        # The page as a whole goes to the confirmation: a fragment has no room for a password.
        response["HX-Redirect"] = where
        return response
    if "application/json" in request.headers.get("Accept", ""):
        return refusal_response(refusal)
    if request.method != "GET":
        messages.warning(request, str(refusal.detail))
    return redirect(where)


def _where_one_was(request: HttpRequest, back: str) -> str:
    if request.method == "GET" and not getattr(request, "htmx", False):
        return request.get_full_path()
    came_from = getattr(getattr(request, "htmx", None), "current_url", None) or request.headers.get("Referer")
    page = reverse(back) if back else "/"
    path = safe_path(request, came_from, fallback=page)
    return path if not back or urlsplit(path).path == page else page
