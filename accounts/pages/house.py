"""The pages by which the house itself is run: who works here, what calls the API, what is closed, what is set."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from core.pages import staff_page
from core.roles import may

TABS = (
    ("staff", _("People and grants"), "staff.view"),
    ("alarms", _("Alarms"), "alarm.see"),
    ("emergencies", _("Emergency rights"), "glass.view"),
    ("clients", _("API clients"), "staff.view"),
    ("webhooks", _("Webhooks"), "staff.view"),
    ("quarantine", _("Stopped jobs"), "job.retry"),
    ("gates", _("Gates"), "settings.view"),
    ("documents", _("Documents"), "document.view"),
    ("settings", _("Settings"), "settings.view"),
    ("my_security", _("My security"), "account.own"),
    ("my_sessions", _("My sessions"), "account.own"),
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
    """Render a page of the house with its tabs. `place` is the URL name of the page to come back to: an answer to a
    refused POST stands at an address that can't be asked for with GET."""
    tabs = [
        {"url": reverse(name), "label": label, "current": name == place}
        for name, label, permission in TABS
        if may(request.user, permission)
    ]
    return render(request, template, {**context, "tabs": tabs, "here": _here(request, place, args)}, status=status)


def _here(request: HttpRequest, place: str, args: tuple[Any, ...]) -> str:
    return request.get_full_path() if request.method == "GET" else reverse(place, args=args)


@require_safe
@staff_page("settings.view")
def governance(request: HttpRequest) -> HttpResponse:
    """The door of the governance pages."""
    return redirect("gates")
