"""The conditions that a rule of a policy may state: one typed table, read by the judge, the validation, the editor and the
words on screen. A policy is data; nothing in it is ever run.

A condition is about
- a `finding`: all of a rule's conditions of this sort must hold for one and the same finding;
- a `count`: how many findings meet the rule's finding conditions;
- the `item`: its service, function, technology, file;
- its `user`: what is known of the account and its record. These are asked for only where a policy states them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

FINDING, COUNT, ITEM, USER = "finding", "count", "item", "user"
SORTS = {FINDING: _("of a finding"), COUNT: _("how many findings"), ITEM: _("of the item"), USER: _("of the user")}
CODES, CHOICE, WHOLE, NUMBER, YES_NO = "codes", "choice", "whole", "number", "yes_no"
_LONGEST_LIST = 200


@dataclass(frozen=True)
class Condition:
    """One kind of condition. `holds(wanted, seen)` compares what the rule states with what is there; `swallows(wanted,
    narrower)` says whether every thing that meets `narrower` meets `wanted` too."""

    about: str
    kind: str
    label: Any
    said: Any  # with one %s for the value in words
    holds: Callable[[Any, Any], bool]
    swallows: Callable[[Any, Any], bool]
    fact: str = ""  # the attribute of Facts (or of Found) that it looks at
    least: float = 0
    most: float = 10_000


def under(code: str | None, root: str) -> bool:
    """Whether a category is this one or stands beneath it in the tree."""
    return code is not None and (code == root or code.startswith(root + "."))


def listed(value: Any) -> tuple[str, ...]:
    """A condition's codes, however many it has."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _one_of(wanted: Any, seen: Any) -> bool:
    return seen in listed(wanted)


def _subset(wanted: Any, narrower: Any) -> bool:
    return set(listed(narrower)) <= set(listed(wanted))


def _in_tree(wanted: Any, seen: Any) -> bool:
    return any(under(seen, root) for root in listed(wanted))


def _trees_inside(wanted: Any, narrower: Any) -> bool:
    return all(_in_tree(wanted, code) for code in listed(narrower))


def _equal(wanted: Any, seen: Any) -> bool:
    return bool(wanted == seen)


def _at_least(wanted: Any, seen: Any) -> bool:
    return bool(seen >= wanted)


def _at_most(wanted: Any, seen: Any) -> bool:
    return bool(seen <= wanted)


def _near(wanted: Any, seen: Any) -> bool:
    return seen is not None and seen <= wanted


def _younger(days: Any, ages: Any) -> bool:
    return any(age < days for age in ages)


def _codes(about: str, label: Any, said: Any, fact: str) -> Condition:
    return Condition(about, CODES, label, said, _one_of, _subset, fact)


def _from(
    about: str, kind: str, label: Any, said: Any, fact: str = "", least: float = 0, most: float = 10_000
) -> Condition:
    return Condition(about, kind, label, said, _at_least, _at_least, fact, least, most)


def _yes_no(about: str, label: Any, said: Any, fact: str) -> Condition:
    return Condition(about, YES_NO, label, said, _equal, _equal, fact)


CONDITIONS: dict[str, Condition] = {
    "check": _codes(FINDING, _("found by"), _("found by: %s"), "check"),
    "category": Condition(FINDING, CODES, _("category"), _("category: %s"), _in_tree, _trees_inside, "category"),
    "min_severity": _from(
        FINDING, WHOLE, _("severity at least"), _("severity %s or higher"), "severity", least=0, most=4
    ),
    "side": Condition(FINDING, CHOICE, _("side"), _("in the %s"), _equal, _equal, "side"),
    "field": _codes(FINDING, _("text"), _("in: %s"), "field"),
    "min_score": _from(FINDING, NUMBER, _("score at least"), _("score %s or higher"), "score", most=1),
    "max_distance": Condition(
        FINDING, NUMBER, _("distance at most"), _("distance %s or less"), _near, _at_most, "distance", most=1000
    ),
    "feature_source": _codes(FINDING, _("source of the entry"), _("entry from: %s"), "sources"),
    "check_failed": _yes_no(FINDING, _("a check failed"), _("a check failed"), "check"),
    "min_findings": _from(COUNT, WHOLE, _("findings at least"), _("at least %s such findings"), least=1, most=1000),
    "min_categories": _from(
        COUNT, WHOLE, _("categories at least"), _("in at least %s different categories"), least=1, most=100
    ),
    "service": _codes(ITEM, _("service"), _("service: %s"), "service"),
    "function": _codes(ITEM, _("function"), _("function: %s"), "function"),
    "function_kind": _codes(ITEM, _("kind of function"), _("kind of function: %s"), "function_kind"),
    "edits_biometrics": _yes_no(ITEM, _("edits faces or voices"), _("edits faces or voices: %s"), "edits_biometrics"),
    "technology": _codes(ITEM, _("technology"), _("technology: %s"), "technology"),
    "has_file": _yes_no(ITEM, _("has a file"), _("has a file: %s"), "has_file"),
    "user_kind": _codes(USER, _("kind of user"), _("kind of user: %s"), "user_kind"),
    "max_account_days": Condition(
        USER,
        WHOLE,
        _("account no older than (days)"),
        _("account no older than %s days"),
        _at_most,
        _at_most,
        "account_days",
    ),
    "min_account_days": _from(
        USER, WHOLE, _("account at least (days)"), _("account at least %s days old"), "account_days"
    ),
    "min_measures_in_force": _from(
        USER, WHOLE, _("measures in force at least"), _("at least %s measures in force"), "measures_in_force", least=1
    ),
    "measure_within_days": Condition(
        USER,
        WHOLE,
        _("a measure within the last (days)"),
        _("a measure within the last %s days"),
        _younger,
        _at_most,
        "recent_measures",
        least=1,
        most=365,
    ),
    "min_recent_blocks": _from(
        USER,
        WHOLE,
        _("items blocked in 30 days at least"),
        _("at least %s items blocked in the last 30 days"),
        "recent_blocks",
        least=1,
        most=1000,
    ),
}

OF_FINDING = tuple(name for name, one in CONDITIONS.items() if one.about == FINDING)
OF_COUNT = tuple(name for name, one in CONDITIONS.items() if one.about == COUNT)
OF_FACTS = tuple(name for name, one in CONDITIONS.items() if one.about in (ITEM, USER))
OF_USER = tuple(name for name, one in CONDITIONS.items() if one.about == USER)
# What a release rule must name at least one of: which findings it sets aside.
NAMING = ("check", "category", "feature_source")
# Findings that no rule sets aside, beside those of failed checks: a model had a say in them, and a model never releases.
CLASSIFIERS = frozenset({"classifier", "external_classifier", "fraud", "nudity"})


def wrong(name: str, value: Any) -> tuple[str, Any] | None:
    """Why a condition can't be read: a code and a sentence, or None where its name and its type are right."""
    known = CONDITIONS.get(name)
    if known is None:
        return "condition_unknown", _("There is no such condition.")
    if known.kind == CODES:
        codes = value if isinstance(value, list) else [value]
        if (
            not codes
            or len(codes) > _LONGEST_LIST
            or not all(isinstance(c, str) and 0 < len(c) <= 120 and c.isprintable() for c in codes)
        ):
            return "type_wrong", _("Choose at least one.")
    elif known.kind == CHOICE:
        if not isinstance(value, str) or not value:
            return "type_wrong", _("Choose one.")
    elif known.kind == YES_NO:
        if not isinstance(value, bool):
            return "type_wrong", _("Choose yes or no.")
    elif isinstance(value, bool) or not isinstance(value, int if known.kind == WHOLE else int | float):
        return "type_wrong", _("Give a whole number.") if known.kind == WHOLE else _("Give a number.")
    elif not known.least <= value <= known.most:
        return "out_of_range", _("Give a number from %(least)s to %(most)s.") % {
            "least": f"{known.least:g}",
            "most": f"{known.most:g}",
        }
    return None
