"""What every page knows: where one can go, who is looking, which theme. Lazy, so that error pages need no database.

Names given to templates: `nav`, `viewer`, `theme`, `demo`, `here`, `banners`. A view should not use these names itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from core import roles
from core.appearance import theme_of

log = structlog.get_logger("pages")
BADGES_KEY = "nav-badges"
BADGES_SECONDS = 5

_badges: dict[str, Callable[[], int]] = {}
_banners: list[Callable[[HttpRequest], list[Banner]]] = []


class Entry(NamedTuple):
    """One place in the rail: the URL name, its label and icon, and the permission that shows it."""

    name: str
    label: Any
    icon: str
    permission: str


ENTRIES = (
    Entry("overview", _("Overview"), "layout-dashboard", "overview.view"),
    Entry("review", _("Review desk"), "gavel", "review.work"),
    Entry("submissions", _("Submissions"), "files", "submission.view"),
    Entry("users", _("Users"), "id-badge-2", "user.view"),
    Entry("features", _("Features"), "fingerprint", "feature.view"),
    Entry("policies", _("Policies"), "adjustments-horizontal", "policy.view"),
    Entry("models", _("Models"), "robot", "model.view"),
    Entry("backtests", _("Back-tests"), "history", "backtest.view"),
    Entry("rumors", _("Rumors"), "message-report", "rumor.view"),
    Entry("reports", _("Reports"), "send", "report.view"),
    Entry("governance", _("Governance"), "building-bank", "settings.view"),
    Entry("staff", _("Staff"), "users", "staff.view"),
)


class Banner(NamedTuple):
    """One line above every staff page: `tone` is `bad`, `warn` or empty; `url` may be empty."""

    tone: str
    icon: str
    text: Any
    url: str = ""
    link: Any = ""


def banner(lines: Callable[[HttpRequest], list[Banner]]) -> None:
    """Let an app put lines above every staff page. `lines` runs for every page: when there is nothing to say it must
    cost no query of its own."""
    if lines not in _banners:
        _banners.append(lines)


def badge(name: str, count: Callable[[], int]) -> None:
    """Let an app put a number on the rail entry `name`; `count` runs at most every 5 seconds for all people together.

    It must be one cheap query. Zero shows nothing. Raises ValueError for an entry that doesn't exist.
    """
    if name not in {entry.name for entry in ENTRIES}:
        raise ValueError(f"no rail entry is called {name}")
    _badges[name] = count


def badge_counts() -> dict[str, int]:
    """All badge numbers, from the cache when it has them. A cache that is away costs the queries, never the page."""
    try:
        counts = cache.get(BADGES_KEY)
    except Exception as error:  # each cache backend raises its own classes
        log.warning("badge_cache_away", error=type(error).__name__)
        return _count_badges()
    if counts is None:
        counts = _count_badges()
        try:
            cache.set(BADGES_KEY, counts, BADGES_SECONDS)
        except Exception as error:
            log.warning("badge_cache_away", error=type(error).__name__)
    return counts


def page(request: HttpRequest) -> dict[str, Any]:
    """The context processor. Nothing is looked up before a template asks for it."""
    return {
        "theme": theme_of(request),
        "demo": settings.DEMO,
        "here": request.get_full_path() if request.method == "GET" else request.path,
        "nav": SimpleLazyObject(lambda: navigation(request)),
        "viewer": SimpleLazyObject(lambda: viewer(request)),
        "banners": SimpleLazyObject(lambda: [line for lines in _banners for line in lines(request)]),
    }


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The rail of this person: entries their role may open and whose page exists. Empty for anybody not signed in."""
    user = getattr(request, "user", None)
    shown = [entry for entry in ENTRIES if roles.may(user, entry.permission)]
    counts = badge_counts() if any(entry.name in _badges for entry in shown) else {}
    places = []
    for entry in shown:
        url = _url(entry.name)
        if url:
            places.append(
                {
                    "name": entry.name,
                    "url": url,
                    "icon": entry.icon,
                    "label": entry.label,
                    "badge": counts.get(entry.name, 0),
                    "current": request.path == url or (url != "/" and request.path.startswith(url)),
                }
            )
    return places


def viewer(request: HttpRequest) -> dict[str, Any]:
    """Who is looking: name, role and the one character on the round button. Empty for anybody not signed in."""
    user = getattr(request, "user", None)
    role = roles.role_of(user)
    if user is None or not role:
        return {}
    name = str(user)
    return {
        "name": name,
        "username": user.get_username(),
        "role": roles.ROLES.get(role, role),
        "initial": name[:1],
        "emergencies": _url("emergencies") if roles.may(user, "glass.view") else "",
    }


def _count_badges() -> dict[str, int]:
    return {name: int(count() or 0) for name, count in _badges.items()}


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
