"""Policies on screen: which version is live, and its rules in words."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from core.pages import staff_page
from governance.models import TECHNOLOGIES, in_language
from moderation.evidence_lines import CHECKS, SIDES
from moderation.models import PolicyVersion
from moderation.screening import categories

THEN = {
    "release": (gettext_lazy("release"), "ok", "circle-check"),
    "review": (gettext_lazy("to a person"), "warn", "gavel"),
    "block": (gettext_lazy("block"), "bad", "ban"),
}


@staff_page("policy.view")
@require_GET
def policies(request: HttpRequest) -> HttpResponse:
    """Every version, the newest first."""
    versions = [
        {"policy": version, "rules": [_rule(rule) for rule in version.rules]}
        for version in PolicyVersion.objects.order_by("-number")[:50]
    ]
    return render(request, "moderation/policies.html", {"versions": versions})


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    word, tone, icon = THEN.get(rule["then"], (rule["then"], "quiet", "circle-dashed"))
    return {
        "id": rule["id"],
        "name": in_language(rule["name"], rule.get("name_en", "")),
        "conditions": conditions(rule.get("when", {})),
        "then": word,
        "tone": tone,
        "icon": icon,
    }


def conditions(when: dict[str, Any]) -> list[str]:
    """What a rule asks of a finding, one clause each; all must hold. A condition that has no words yet is shown as it
    is written, never left out."""
    said = []
    for name, value in when.items():
        if name == "check_failed" and value:
            said.append(_("a check failed"))
        elif name == "check":
            said.append(_("found by: %s") % _listed(CHECKS.get(check, check) for check in value))
        elif name == "category":
            names = categories()
            said.append(_("category: %s") % _listed(names.get(code, code) for code in value))
        elif name == "min_severity":
            said.append(_("severity %s or higher") % value)
        elif name == "side":
            said.append(_("in the %s") % SIDES.get(value, value))
        elif name == "technology":
            said.append(_("technology: %s") % _listed(TECHNOLOGIES.get(t, t) for t in _as_list(value)))
        else:
            said.append(f"{name}: {value}")
    return said or [_("any finding")]


def _listed(words: Any) -> str:
    return ", ".join(str(word) for word in words)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
