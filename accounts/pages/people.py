"""The pages about end users share one row of tabs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from core.roles import may

TABS = (
    ("users", _("Users"), "user.view"),
    ("verification", _("Verification"), "identity.decide"),
    ("overturns", _("Second look"), "identity.overturn"),
    ("appeals", _("Appeals"), "appeal.view"),
    ("person_requests", _("Requests about data"), "person_request.view"),
    ("imports", _("Imports"), "user.import"),
    ("reveals", _("Reveals"), "reveal.review"),
)


def show(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    place: str,
    args: tuple[Any, ...] = (),
    status: int = 200,
) -> HttpResponse:
    """Render a page about users with its tabs. `place` is the URL name of the page to come back to, as in `house`."""
    tabs = []
    for name, label, permission in TABS:
        if not may(request.user, permission):
            continue
        try:
            tabs.append({"url": reverse(name), "label": label, "current": name == place})
        except NoReverseMatch:
            continue
    here = request.get_full_path() if request.method == "GET" else reverse(place, args=args)
    return render(request, template, {**context, "tabs": tabs, "here": here}, status=status)
