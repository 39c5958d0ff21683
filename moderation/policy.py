"""Policies: versioned rules from findings to a disposition (release, review, block)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from core import audit
from core.states import transition
from moderation.models import PolicyVersion
from moderation.states import POLICY

RELEASE, REVIEW, BLOCK = "release", "review", "block"
FIRST = Path(__file__).parent / "data" / "policy_v1.json"
CONDITIONS = {"check", "category", "min_severity", "side", "check_failed", "technology"}


@dataclass(slots=True)
class Found:
    """What a check found, before it is stored."""

    side: str
    check: str
    category: str | None
    severity: int
    spans: list[list[int]] = field(default_factory=list)
    feature_id: int | None = None
    feature_version: int | None = None
    score: float = 1.0
    detail: str = ""
    distance: float | None = None
    boxes: list[list[int]] = field(default_factory=list)
    field: str = "text"  # the last one: from here on the name hides dataclasses.field


@dataclass(frozen=True, slots=True)
class Verdict:
    """A disposition, the rule that said so, and the finding that carried it."""

    disposition: str
    rule: str
    why: str
    leading: Found | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a policy: if any finding fits all conditions, then this disposition."""

    id: str
    name: str
    name_en: str
    then: str
    when: dict[str, Any]

    def fits(self, found: Found) -> bool:
        """Whether a finding meets every condition of the rule."""
        when = self.when
        return (
            ("check" not in when or found.check in when["check"])
            and ("min_severity" not in when or found.severity >= when["min_severity"])
            and ("side" not in when or found.side == when["side"])
            and ("category" not in when or any(_under(found.category, c) for c in when["category"]))
            and bool(when.get("check_failed", False)) == (found.check == "check_failed")
        )


def _under(code: str | None, root: str) -> bool:
    return code is not None and (code == root or code.startswith(root + "."))


class Policy:
    """One version of the rules, ready to judge."""

    def __init__(self, number: int, rules: Sequence[dict[str, Any]]):
        self.number = number
        self.rules = [
            Rule(r["id"], r["name"], r.get("name_en", r["name"]), r["then"], r.get("when", {})) for r in rules
        ]
        for rule in self.rules:
            if rule.then not in (RELEASE, REVIEW, BLOCK) or set(rule.when) - CONDITIONS:
                raise ValueError(f"policy v{number}: rule {rule.id} is not understood")

    def judge(self, findings: Sequence[Found]) -> Verdict:
        """The first rule that fits any finding decides; where none does, the item is released (rule "-"). Rules are
        ordered strictest first by their author."""
        for rule in self.rules:
            fitting = [f for f in findings if rule.fits(f)]
            if fitting:
                leading = max(fitting, key=lambda f: (f.severity, f.score))
                return Verdict(rule.then, rule.id, rule.name, leading)
        return Verdict(RELEASE, "-", "", None)

    def rule(self, rule_id: str) -> Rule | None:
        """A rule by its id."""
        return next((r for r in self.rules if r.id == rule_id), None)


@lru_cache(maxsize=32)
def version(number: int) -> Policy:
    """A version of the policy; versions never change, so they are kept."""
    return Policy(number, PolicyVersion.objects.get(pk=number).rules)


_live: tuple[float, int] = (0.0, 0)


def live_number() -> int:
    """The version to pin on an item that comes in now; read at most once a second per process."""
    global _live
    if _live[0] < time.monotonic():
        _live = (time.monotonic() + 1.0, PolicyVersion.objects.values_list("pk", flat=True).get(state="live"))
    return _live[1]


def seed_first_policy(*, by: str = "system:bootstrap") -> None:
    """Put the shipped first version in force where there is none yet."""
    if PolicyVersion.objects.exists():
        return
    shipped = json.loads(FIRST.read_text(encoding="utf-8"))
    Policy(1, shipped["rules"])  # refuses a file that isn't understood
    with transaction.atomic():
        first = PolicyVersion.objects.create(
            number=1, name=shipped["name"], rules=shipped["rules"], note=shipped["note"], made_by=by
        )
        first.live_from = timezone.now()
        transition(POLICY, first, "go_live", by=by, also=["live_from"])
        audit.record(action="policy.seeded", subject="policy:1", by=by)
