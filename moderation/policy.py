"""Policies: versioned rules from findings to a disposition (release, review, block). How they judge is written down in
docs/adr/0014-rules-set-findings-aside.md."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from core import audit
from core.states import transition
from moderation.models import PolicyVersion
from moderation.policy_conditions import CLASSIFIERS, CONDITIONS, NAMING, OF_COUNT, OF_FACTS, OF_FINDING, OF_USER, wrong
from moderation.states import POLICY

RELEASE, REVIEW, BLOCK = "release", "review", "block"
# Rules that no policy has to write: a check that failed, and a fact that a rule asks for and nobody knows.
FAILED, MISSING = "check_failed", "facts_missing"
FIRST = Path(__file__).parent / "data" / "policy_v1.json"


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
class Facts:
    """What is known of an item beside its findings. None: not known; a rule that needs it sends the item to a person."""

    service: str | None = None
    function: str | None = None
    function_kind: str | None = None
    edits_biometrics: bool | None = None
    technology: str | None = None
    user_kind: str | None = None
    account_days: float | None = None
    measures_in_force: int | None = None
    recent_measures: Sequence[float] | None = None  # how many days ago each measure of the last year began
    recent_blocks: int | None = None
    has_file: bool | None = None
    sources: Mapping[int, str] | None = None  # of the entries that were found, by their id


NOTHING = Facts()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A disposition, the rule that said so, and the finding that carried it; for a review where in which queue."""

    disposition: str
    rule: str
    why: str
    leading: Found | None
    priority: int = 0
    queue: str = "review"


class Rule:
    """One row of a policy: where all finding conditions hold for one finding, and all others hold, then this."""

    __slots__ = (
        "_counts",
        "_facts",
        "_finding",
        "id",
        "name",
        "name_en",
        "needs_finding",
        "priority",
        "queue",
        "then",
        "when",
    )

    def __init__(self, row: Mapping[str, Any]):
        self.id: str = row["id"]
        self.name: str = row["name"]
        self.name_en: str = row.get("name_en") or row["name"]
        self.then: str = row["then"]
        self.when: dict[str, Any] = row.get("when", {})
        self.priority: int = row.get("priority", 0)
        self.queue: str = row.get("queue", "review")
        self._finding = [(name, self.when[name]) for name in OF_FINDING if name in self.when]
        self._counts = {name: self.when[name] for name in OF_COUNT if name in self.when}
        self._facts = [(name, self.when[name]) for name in OF_FACTS if name in self.when]
        # A rule without any condition means "any finding"; one with conditions of item or user alone needs none.
        self.needs_finding = bool(self._finding or self._counts or not self._facts or self.then == RELEASE)

    def understood(self) -> bool:
        """Whether the judge can take it: known conditions of the right types, and for a release the findings that it
        sets aside named, never by how many there are."""
        if self.then not in (RELEASE, REVIEW, BLOCK) or any(wrong(name, value) for name, value in self.when.items()):
            return False
        named = any(name in self.when for name in NAMING) and not self._counts and not self.when.get("check_failed")
        return self.then != RELEASE or named

    def fits(self, found: Found, facts: Facts = NOTHING) -> bool:
        """Whether a finding certainly meets every finding condition of the rule."""
        return self._fit(found, facts) is True

    def _fit(self, found: Found, facts: Facts) -> bool | None:
        if bool(self.when.get("check_failed", False)) != (found.check == "check_failed"):
            return False
        unknown = False
        for name, wanted in self._finding:
            if name == "check_failed":
                continue
            if name == "feature_source":
                if found.feature_id is None:
                    return False
                seen = (facts.sources or {}).get(found.feature_id)
                if seen is None:
                    unknown = True
                    continue
            else:
                seen = getattr(found, CONDITIONS[name].fact)
            if not CONDITIONS[name].holds(wanted, seen):
                return False
        return None if unknown else True

    def _holds_of(self, facts: Facts) -> bool | None:
        unknown = False
        for name, wanted in self._facts:
            seen = getattr(facts, CONDITIONS[name].fact)
            if seen is None:
                unknown = True
            elif not CONDITIONS[name].holds(wanted, seen):
                return False
        return None if unknown else True

    def _enough(self, fitting: Sequence[Found]) -> bool:
        categories = {f.category for f in fitting if f.category}
        return (
            len(fitting) >= self._counts.get("min_findings", 1)
            and len(categories) >= self._counts.get("min_categories", 0)
        )  # fmt: skip

    def weigh(self, findings: Sequence[Found], facts: Facts) -> tuple[bool | None, list[Found]]:
        """Whether the rule holds (None: that hangs on a fact that is not known), and the findings that carry it."""
        of_facts = self._holds_of(facts)
        if of_facts is False:
            return False, []
        if not self.needs_finding:
            return of_facts, []
        sure, perhaps = [], []
        for found in findings:
            fit = self._fit(found, facts)
            if fit is not False:
                perhaps.append(found)
            if fit:
                sure.append(found)
        if self.then == RELEASE and len(perhaps) > len(sure):
            return None, sure
        if self._enough(sure):
            return of_facts, sure
        return (None, sure) if len(perhaps) > len(sure) and self._enough(perhaps) else (False, [])


def _gravest(findings: Sequence[Found]) -> Found | None:
    return max(findings, key=lambda f: (f.severity, f.score), default=None)


class Policy:
    """One version of the rules, ready to judge."""

    def __init__(self, number: int, rules: Sequence[Mapping[str, Any]]):
        self.number = number
        self.rules = [Rule(row) for row in rules]
        for rule in self.rules:
            if not rule.understood():
                raise ValueError(f"policy v{number}: rule {rule.id} is not understood")
        stated = {name for rule in self.rules for name in rule.when}
        self.asks_user = not stated.isdisjoint(OF_USER)
        self.asks_sources = "feature_source" in stated
        self.asks = self.asks_user or self.asks_sources  # more than the item itself says

    def judge(self, findings: Sequence[Found], facts: Facts | None = None) -> Verdict:
        """The first rule that holds decides, in order; where none does the item is released (rule "-").

        A rule that says release sets the findings that it fits aside, and the rules after it judge what is left: it never
        overrides what another rule holds because of other findings. What a failed check or a classifier found is never
        set aside. A failed check never ends in release whatever the rules say, and neither does a rule that hangs on a
        fact that is not known (DS-10a)."""
        facts = facts or NOTHING
        left = list(findings)
        released = Verdict(RELEASE, "-", "", None)
        for rule in self.rules:
            open_to = left if rule.then != RELEASE else [f for f in left if f.check not in CLASSIFIERS]
            holds, fitting = rule.weigh(open_to, facts)
            if holds is None:
                return Verdict(REVIEW, MISSING, "", _gravest(left))
            if not holds:
                continue
            if rule.then != RELEASE:
                leading = _gravest(fitting or left)
                return Verdict(rule.then, rule.id, rule.name, leading, rule.priority, rule.queue)
            if released.rule == "-":
                released = Verdict(RELEASE, rule.id, rule.name, _gravest(fitting))
            aside = {id(f) for f in fitting}
            left = [f for f in left if id(f) not in aside]
        failed = [f for f in findings if f.check == "check_failed"]
        return Verdict(REVIEW, FAILED, "", failed[0]) if failed else released

    def rule(self, rule_id: str) -> Rule | None:
        """A rule by its id."""
        return next((r for r in self.rules if r.id == rule_id), None)


class _Versions:
    """Versions that left the draft never change, so they are kept; a draft is read each time."""

    def __init__(self) -> None:
        self._kept: dict[int, Policy] = {}

    def __call__(self, number: int) -> Policy:
        kept = self._kept.get(number)
        if kept is None:
            row = PolicyVersion.objects.only("rules", "state").get(pk=number)
            kept = Policy(number, row.rules)
            if row.state != "draft":
                self._kept[number] = kept
        return kept

    def cache_clear(self) -> None:
        """Forget all of them."""
        self._kept.clear()


version = _Versions()
_live: tuple[float, int, int | None] = (0.0, 0, None)


def _in_force() -> tuple[float, int, int | None]:
    global _live
    if _live[0] < time.monotonic():
        rows = PolicyVersion.objects.filter(state__in=["live", "shadow"]).values_list("state", "pk")
        numbers: dict[str, int] = dict(rows)
        if "live" not in numbers:
            raise PolicyVersion.DoesNotExist("no policy is live")
        _live = (time.monotonic() + 1.0, numbers["live"], numbers.get("shadow"))
    return _live


def live_number() -> int:
    """The version to pin on an item that comes in now; read at most once a second per process."""
    return _in_force()[1]


def shadow_number() -> int | None:
    """The version that runs beside the live one without effect, if there is one; read at most once a second."""
    return _in_force()[2]


def forget() -> None:
    """Drop what this process remembers of the versions."""
    global _live
    _live = (0.0, 0, None)
    version.cache_clear()


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
