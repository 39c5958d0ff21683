"""The overview: the first page. What waits, what came of what came in, what holds the house up."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from core import context
from core.pages import staff_page
from core.templatetags.mingjian import shanghai
from moderation import statistics
from moderation.screening import categories

HITS_SHOWN = 8


@staff_page("overview.view")
def overview(request: HttpRequest) -> HttpResponse:
    """Tiles, three charts with their tables, and the state of the machinery."""
    figures = statistics.overview()
    if not figures["alive"]:
        return render(
            request,
            "moderation/overview_empty.html",
            {"figures": figures, "system": system(figures), "origin": request.build_absolute_uri("/").rstrip("/")},
        )
    return render(
        request,
        "moderation/overview.html",
        {
            "figures": figures,
            "today": _today(figures),
            "rumors": _open_cases(),
            "chart_days": days_chart(figures),
            "chart_ages": ages_chart(figures),
            "chart_hits": hits_chart(figures),
            "hits_more": max(0, len(figures["counts"].hits) - HITS_SHOWN),
            "system": system(figures),
        },
    )


def _today(figures: dict[str, Any]) -> dict[str, Any]:
    counts = figures["counts"]
    days = [day.isoformat() for day in figures["days"]]
    released = counts.released[days[-1]]
    return {
        "received": counts.received[days[-1]],
        "released": released,
        "blocked": counts.blocked[days[-1]],
        # Rounded down: one item that a person decided must not read as "100 % automatic".
        "automatic": _percent(counts.by_policy[days[-1]], released),
        "median": in_words(figures["median"]),
        "released_by_day": [counts.released[day] for day in days],
        "blocked_by_day": [counts.blocked[day] for day in days],
    }


def _percent(part: int, whole: int) -> str:
    tenths = part * 1000 // whole if whole else 0
    return f"{tenths // 10}" if tenths % 10 == 0 else f"{tenths / 10:.1f}"


def in_words(seconds: float | None) -> str:
    """A short time in the unit that fits it; empty when there is none."""
    if seconds is None:
        return ""
    if seconds < 1:
        return _("%(n)s ms") % {"n": round(float(seconds) * 1000)}
    if seconds < 120:
        return _("%(n)s s") % {"n": round(float(seconds), 1)}
    if seconds < 2 * 3600:
        return _("%(n)s min") % {"n": round(float(seconds) / 60)}
    return _("%(n)s h") % {"n": round(float(seconds) / 3600, 1)}


def _open_cases() -> dict[str, Any] | None:
    """The app of rumor cases is above this one: its number on the rail is all that is known of it here."""
    try:
        url = reverse("rumors")
    except NoReverseMatch:
        return None
    counts = context.badge_counts()
    return {"url": url, "open": counts["rumors"]} if "rumors" in counts else None


def days_chart(figures: dict[str, Any]) -> dict[str, Any]:
    """Received beside what was released, blocked and still waits, by Shanghai day."""
    days = [day.isoformat() for day in figures["days"]]
    counts = figures["counts"]
    rows = (
        (_("Received"), "quiet", counts.received, "received"),
        (_("Released"), "ok", counts.released, "settled"),
        (_("Still in review"), "warn", figures["entered"], "settled"),
        (_("Blocked"), "bad", counts.blocked, "settled"),
    )
    return {
        "kind": "bar",
        "stacked": True,
        "labels": [shanghai(statistics.start_of(day), "day") for day in figures["days"]],
        "series": [
            {"name": name, "tone": tone, "stack": stack, "values": [by_day[day] for day in days]}
            for name, tone, by_day, stack in rows
        ],
    }


def ages_chart(figures: dict[str, Any]) -> dict[str, Any]:
    """How long the items in the queue have waited."""
    return {
        "kind": "bar",
        "horizontal": True,
        "labels": [_("<15m"), _("15–60m"), _("1–4h"), _("4–12h"), _("12–24h"), _(">24h")],
        "series": [{"name": _("Items"), "tone": "warn", "values": list(figures["ages"])}],
    }


def hits_chart(figures: dict[str, Any]) -> dict[str, Any]:
    """The categories that checks hit most in the days shown."""
    names = categories()
    most = figures["counts"].hits.most_common(HITS_SHOWN)
    return {
        "kind": "bar",
        "horizontal": True,
        "labels": [str(names.get(code, code)) for code, _hits in most],
        "series": [{"name": _("Hits"), "tone": "accent", "values": [hits for _code, hits in most]}],
    }


def system(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The machinery in one line: each part with a tone, a sentence and what to do when it isn't well."""
    alive = not figures["silent"]
    quarantined, outbox, due = figures["quarantined"], figures["outbox"], figures["jobs_due"]
    return [
        {
            "icon": "robot",
            "label": _("Workers"),
            "tone": "ok" if alive else "bad",
            "value": _("answering") if alive else _("silent: %s") % ", ".join(figures["silent"]),
        },
        {"icon": "stack-2", "label": _("Jobs due"), "tone": "ok" if due < 1000 else "warn", "value": _bounded(due)},
        {
            "icon": "alert-triangle",
            "label": _("Jobs in quarantine"),
            "tone": "bad" if quarantined else "ok",
            "value": str(quarantined),
        },
        {
            "icon": "send",
            "label": _("Events to be sent"),
            "tone": "ok" if outbox < 1000 else "warn",
            "value": _bounded(outbox),
        },
    ]


def _bounded(count: int) -> str:
    return "1000+" if count >= 1000 else str(count)
