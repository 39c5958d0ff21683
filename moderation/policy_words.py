"""Policies in words: rules, conditions and their values as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from governance.models import FUNCTION_KINDS, TECHNOLOGIES, in_language
from moderation.evidence_lines import CHECKS, SIDES
from moderation.policy_conditions import CODES, CONDITIONS, YES_NO, listed
from moderation.queue import QUEUES
from moderation.screening import categories

THEN = {
    "release": (gettext_lazy("release"), "ok", "circle-check"),
    "review": (gettext_lazy("to a person"), "warn", "gavel"),
    "block": (gettext_lazy("block"), "bad", "ban"),
}
FIELDS = {
    "text": gettext_lazy("the text handed in"),
    "ocr": gettext_lazy("text in a picture"),
    "transcript": gettext_lazy("spoken text"),
}
PARTS = {
    "name": gettext_lazy("Name of the rule"),
    "name_en": gettext_lazy("Name in English"),
    "then": gettext_lazy("Then"),
    "priority": gettext_lazy("Priority"),
    "queue": gettext_lazy("Queue"),
}

EVENTS = {
    "policy.seeded": gettext_lazy("came with the product"),
    "policy.drafted": gettext_lazy("drafted"),
    "policy.edited": gettext_lazy("edited"),
    "policy.shadow": gettext_lazy("put in shadow"),
    "policy.go_live": gettext_lazy("approved and put in force"),
    "policy.retire": gettext_lazy("replaced"),
    "policy.withdraw": gettext_lazy("withdrawn"),
}


def rules(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rules for the table of rules."""
    return [rule(row) for row in rows]


def rule(row: Mapping[str, Any]) -> dict[str, Any]:
    """One rule: its name in the reader's language, its conditions one clause each, what follows."""
    word, tone, icon = THEN.get(row["then"], (row["then"], "quiet", "circle-dashed"))
    return {
        "id": row["id"],
        "name": in_language(row["name"], row.get("name_en", "")),
        "conditions": conditions(row.get("when", {})),
        "then": _("set these findings aside") if row["then"] == "release" else word,
        "tone": tone,
        "icon": icon,
        "hints": _hints(row),
    }


def _hints(row: Mapping[str, Any]) -> list[str]:
    said = []
    if row.get("queue", "review") != "review":
        said.append(str(QUEUES.get(row["queue"], row["queue"])))
    if row.get("priority"):
        said.append(_("priority %s") % row["priority"])
    return said


def conditions(when: Mapping[str, Any]) -> list[str]:
    """What a rule asks, one clause each; all must hold. A condition that has no words yet is shown as it is written,
    never left out."""
    return [condition(name, value) for name, value in when.items()] or [_("any finding")]


def condition(name: str, value: Any) -> str:
    """One condition in words."""
    known = CONDITIONS.get(name)
    if known is None:
        return f"{name}: {value}"
    if name == "check_failed" and value is True:
        return str(known.said)
    return str(known.said) % value_in_words(name, value) if "%s" in str(known.said) else f"{known.said}: {value}"


def value_in_words(name: str, value: Any) -> str:
    """The value of a condition, its codes by their names."""
    known = CONDITIONS[name]
    if known.kind == YES_NO and isinstance(value, bool):
        return _("yes") if value else _("no")
    names = _names(name)
    if known.kind == CODES:
        return ", ".join(str(names.get(code, code)) for code in listed(value))
    return str(names.get(value, value)) if isinstance(value, str) else str(value)


def part(name: str, value: Any) -> str:
    """A part of a rule other than its conditions, for the comparison."""
    if value is None or value == "":
        return "—"
    if name == "then":
        return str(THEN.get(value, (value,))[0])
    return str(QUEUES.get(value, value)) if name == "queue" else str(value)


def _names(name: str) -> Mapping[str, Any]:
    names: dict[str, Mapping[str, Any]] = {
        "check": CHECKS,
        "side": SIDES,
        "field": FIELDS,
        "technology": TECHNOLOGIES,
        "function_kind": FUNCTION_KINDS,
        "user_kind": User.KINDS,
    }
    return categories() if name == "category" else names.get(name, {})


def choices(name: str, codes: Sequence[str]) -> list[tuple[str, str]]:
    """The codes of a condition with their names, in the order given."""
    names = _names(name)
    return [(code, str(names.get(code, code))) for code in codes]
