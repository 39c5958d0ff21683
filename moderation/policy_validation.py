"""What is wrong with the rules of a policy, rule by rule and field by field, before anything is saved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.errors import field_error
from governance.models import FUNCTION_KINDS, TECHNOLOGIES, Category, Function, Service
from moderation.checks import CHECKS
from moderation.evidence_lines import UNWRITTEN
from moderation.policy import BLOCK, RELEASE, REVIEW, Rule
from moderation.policy_conditions import CLASSIFIERS, CONDITIONS, NAMING, OF_COUNT, OF_FINDING, listed, wrong

MOST_RULES, MOST_CONDITIONS = 60, 12
QUEUES = ("review", "senior")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,23}\Z")
_KEYS = {"id", "name", "name_en", "then", "when", "priority", "queue"}
# Checks of the product by name; an operator's own are known once they are registered.
SHIPPED_CHECKS = (
    "terms",
    "patterns",
    "links",
    "near_text",
    "fraud",
    "personal_information",
    "news_source",
    "consent_prompt",
    "exact",
    "image_hash",
    "video_hash",
    "audio_print",
    "classifier",
    "fraud",
    "external_classifier",
    "media",
)


@dataclass(frozen=True)
class Vocabulary:
    """The codes that conditions may name."""

    codes: Mapping[str, frozenset[str]]  # by condition

    def unknown(self, name: str, value: Any) -> list[str]:
        """The codes of a condition that there are none of."""
        known = self.codes.get(name)
        return [] if known is None else [code for code in listed(value) if code not in known]


def checks() -> list[str]:
    """Every check that a rule may name, the product's first."""
    return list(dict.fromkeys([*SHIPPED_CHECKS, *sorted(CHECKS)]))


def vocabulary() -> Vocabulary:
    """What is there now: checks, categories, services, functions and the fixed lists. Three queries."""
    return Vocabulary(
        {
            "check": frozenset(checks()),
            "category": frozenset(Category.objects.values_list("pk", flat=True)),
            "service": frozenset(Service.objects.values_list("code", flat=True)),
            "function": frozenset(Function.objects.values_list("code", flat=True)),
            "function_kind": frozenset(FUNCTION_KINDS),
            "technology": frozenset(TECHNOLOGIES),
            "user_kind": frozenset(User.KINDS),
            "side": frozenset({"input", "output"}),
            "field": frozenset({"text", "ocr", "transcript"}),
        }
    )


def errors(rules: Any, known: Vocabulary) -> list[dict[str, Any]]:
    """Everything that is wrong, as field errors: `rules.<place>.<field>` or `rules.<place>.when.<condition>`, and `rules`
    for what concerns all of them."""
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        return [field_error("rules", "type_wrong", _("The rules are a list of rules."))]
    if len(rules) > MOST_RULES:
        return [
            field_error("rules", "too_many", _("A policy has at most %(most)d rules.") % {"most": MOST_RULES}),
        ]
    found: list[dict[str, Any]] = []
    for place, rule in enumerate(rules):
        found += _of_rule(place, rule, known)
    found += _twice(rules)
    if not any(_for_failed_checks(rule) for rule in rules):
        found.append(
            field_error(
                "rules",
                "failed_checks_missing",
                _(
                    "A rule is missing that sends every item with a failed check to a person, without further conditions."
                ),
            )
        )
    return found or _out_of_reach(rules)


def _for_failed_checks(rule: Mapping[str, Any]) -> bool:
    return rule.get("when") == {"check_failed": True} and rule.get("then") == REVIEW


def _twice(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    ids = [rule.get("id") for rule in rules]
    return [
        field_error(f"rules.{place}.id", "duplicate", _("Another rule has this id."))
        for place, name in enumerate(ids)
        if name and name in ids[:place]
    ]


def _of_rule(place: int, rule: Mapping[str, Any], known: Vocabulary) -> list[dict[str, Any]]:
    found = []

    def say(field: str, code: str, detail: Any) -> None:
        found.append(field_error(f"rules.{place}.{field}", code, detail))

    for key in set(rule) - _KEYS:
        say(key, "unknown", _("A rule has no such part."))
    if not isinstance(rule.get("id"), str) or not _ID.match(rule["id"]) or rule["id"] in UNWRITTEN:
        say("id", "id_wrong", _("Letters, digits, points and hyphens, at most 24."))
    if (
        not isinstance(rule.get("name"), str)
        or not 0 < len(rule["name"].strip()) <= 80
        or not rule["name"].isprintable()
    ):
        say("name", "required", _("Give the rule a name of at most 80 characters."))
    if (
        not isinstance(rule.get("name_en", ""), str)
        or len(rule.get("name_en", "")) > 120
        or not rule.get("name_en", "").isprintable()
    ):
        say("name_en", "too_long", _("At most 120 characters."))
    then = rule.get("then")
    if then not in (RELEASE, REVIEW, BLOCK):
        say("then", "then_wrong", _("Choose release, review or block."))
    priority = rule.get("priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= 99:
        say("priority", "out_of_range", _("A whole number from 0 to 99."))
    elif priority and then != REVIEW:
        say("priority", "only_review", _("Only what goes to a person has a priority."))
    if rule.get("queue", QUEUES[0]) not in QUEUES:
        say("queue", "queue_unknown", _("There is no such queue."))
    elif rule.get("queue", QUEUES[0]) != QUEUES[0] and then != REVIEW:
        say("queue", "only_review", _("Only what goes to a person has a queue."))
    when = rule.get("when", {})
    if not isinstance(when, dict):
        say("when", "type_wrong", _("The conditions are named values."))
        return found
    if len(when) > MOST_CONDITIONS:
        say("when", "too_many", _("A rule has at most %(most)d conditions.") % {"most": MOST_CONDITIONS})
    for name, value in when.items():
        if problem := wrong(name, value):
            say(f"when.{name}", *problem)
        elif unknown := known.unknown(name, value):
            say(
                f"when.{name}",
                "code_unknown",
                _("There is no such thing: %(codes)s") % {"codes": ", ".join(unknown[:5])},
            )
        elif name == "check_failed" and value is not True:
            say(f"when.{name}", "pointless", _("Every other rule leaves failed checks out already: remove this."))
    if then == RELEASE:
        _of_release(when, say)
    elif then == BLOCK and not any(name in when for name in (*OF_FINDING, *OF_COUNT)):
        say("then", "block_needs_finding", _("A block names a category: state a condition of the finding."))
    if when.get("check_failed"):
        if then == BLOCK:
            say("then", "failed_is_no_ground", _("A failed check is no ground for a block: send it to a person."))
        for name in set(when) & (set(OF_FINDING) - {"check_failed", "side"}):
            say(f"when.{name}", "never", _("A failed check has found nothing: this never holds for it."))
    return found


def _of_release(when: Mapping[str, Any], say: Any) -> None:
    if when.get("check_failed"):
        say("then", "failed_never_released", _("A failed check never ends in release."))
    elif not any(name in when for name in NAMING):
        say(
            "then",
            "release_names_findings",
            _("Say which findings are set aside: a check, a category or the source of the entry."),
        )
    for name in OF_COUNT:
        if name in when:
            say(f"when.{name}", "never_released_by_number", _("How much was found is no ground to release."))
    try:
        named = CLASSIFIERS.intersection(listed(when.get("check", ())))
    except TypeError:
        return
    if named:
        say("when.check", "classifier_never_releases", _("What a classifier found can't be set aside by a rule."))


def _out_of_reach(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    ready = [Rule(rule) for rule in rules]
    found = []
    for place, later in enumerate(ready):
        earlier = next((one for one in ready[:place] if swallows(one, later)), None)
        if earlier:
            found.append(
                field_error(
                    f"rules.{place}.when",
                    "never_reached",
                    _("This rule is never reached: whatever it fits, rule %(id)s decides before.") % {"id": earlier.id},
                )
            )
    return found


def swallows(earlier: Rule, later: Rule) -> bool:
    """Whether the earlier rule certainly leaves nothing to the later one: each of its conditions follows from one of the
    later's. Only pairs are looked at; several rules that cover a later one together are not found."""
    same_sort = bool(earlier.when.get("check_failed")) == bool(later.when.get("check_failed"))
    if not same_sort and earlier.needs_finding:  # a rule of facts alone decides about failed checks as well
        return False
    if earlier.needs_finding and not later.needs_finding:
        return False
    for name, wanted in earlier.when.items():
        if name == "check_failed":
            continue
        if name == "min_findings" and wanted <= 1:
            continue
        if name not in later.when or not CONDITIONS[name].swallows(wanted, later.when[name]):
            return False
    if earlier.then != RELEASE:
        return True
    # A release sets single findings aside, and a classifier's never.
    if later.then == RELEASE:
        return True
    return "check" in later.when and not CLASSIFIERS.intersection(listed(later.when["check"]))
