"""Who is there: asked once in a request, when somebody first needs to know. A session that was ended, or that nobody
used for too long, brings nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from accounts import sessions
from accounts.models import Staff

SIGNED_OUT = {
    "idle": _("You were signed out, because nobody was there for a while."),
    "longest": _("You were signed out: a session has a longest time, and it is over."),
    "ended": _("You ended this session elsewhere. Sign in again."),
    "admin": _("An administrator ended this session. Sign in again."),
    "role": _("Your role has changed. Sign in again."),
    "password": _("Your password has changed. Sign in again."),
}


class PresenceMiddleware:
    """Stands behind Django's authentication. `request.user` is somebody only while their session holds; `request.presence`
    then tells what the same look at the database found."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.presence = None  # type: ignore[attr-defined]
        request.user = SimpleLazyObject(lambda: _present(request))  # type: ignore[assignment]
        response = self.get_response(request)
        if getattr(request, "left", False):
            # What a browser kept of the pages is nobody's business after signing out (ASVS 14.3.1).
            response["Clear-Site-Data"] = '"cache", "storage"'
        return response


def _present(request: HttpRequest) -> Any:
    session_id = request.session.get(sessions.KEY, "")  # before Django looks: it empties what it doesn't believe
    user = auth.get_user(request)
    if not user.is_authenticated and not session_id:
        return user
    state = sessions.look(session_id) if session_id else None
    if state is None or state.staff_id != user.pk or state.over:
        # Django turned away a session that held by our book: its password is not the password any more.
        why = (state.over or "password") if state else ""
        if state:
            sessions.over(session_id, why)
        request.session.flush()
        request.signed_out = SIGNED_OUT.get(why, _("You are signed out. Sign in again."))  # type: ignore[attr-defined]
        return AnonymousUser()
    if state.stale and _somebody_acts(request):
        sessions.seen(session_id)
    user.emergency = state.emergency  # type: ignore[attr-defined]
    request.presence = state  # type: ignore[attr-defined]
    return user


def _somebody_acts(request: HttpRequest) -> bool:
    # Pages that ask anew by themselves do so by htmx with GET. That is no sign of life: a page left open would never
    # sign anybody out.
    return not (request.method == "GET" and "HTTP_HX_REQUEST" in request.META)


def signed_in(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Django's word that somebody signed in, on whatever way."""
    if request is not None and isinstance(user, Staff):
        sessions.begin(staff=user, request=request)


def signed_out(sender: Any, request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """Django's word that somebody signs out, before it empties the session."""
    if request is None:
        return
    request.left = True  # type: ignore[attr-defined]
    if session_id := request.session.get(sessions.KEY):
        sessions.over(session_id, "signed_out")


user_logged_in.connect(signed_in, dispatch_uid="accounts.presence")
user_logged_out.connect(signed_out, dispatch_uid="accounts.presence")
