"""The judge of policies: what each condition means, what a release rule may and may not do (docs/adr/0014)."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation import policy_validation
from moderation.policy import FIRST, Facts, Found, Policy
from moderation.policy_conditions import CLASSIFIERS, CONDITIONS, OF_FACTS, wrong

HELD = {"release": 0, "review": 1, "block": 2}
KNOWN = Facts(
    service="tuyan",
    function="writing",
    function_kind="dialogue",
    edits_biometrics=False,
    technology="text",
    user_kind="person",
    account_days=10.0,
    measures_in_force=1,
    recent_measures=(3.0, 200.0),
    recent_blocks=2,
    has_file=False,
    sources={1: "令5号", 2: ""},
)


def policy(*rules: dict[str, Any]) -> Policy:
    return Policy(9, [{"id": f"r{n}", "name": f"r{n}", **rule} for n, rule in enumerate(rules)])


def found(check: str = "terms", category: str | None = "fraud.loan", severity: int = 2, **more: Any) -> Found:
    return Found(more.pop("side", "output"), check, category, severity, **more)


def says(rules: list[dict[str, Any]], findings: list[Found], facts: Facts | None = KNOWN) -> tuple[str, str]:
    verdict = policy(*rules).judge(findings, facts)
    return verdict.disposition, verdict.rule


@pytest.mark.parametrize(
    ("when", "fits", "fits_not"),
    [
        ({"check": ["terms", "links"]}, found("links"), found("patterns")),
        ({"category": ["fraud"]}, found(category="fraud.loan"), found(category="fraudulent")),
        ({"category": ["fraud"]}, found(category="fraud"), found(category=None)),
        ({"min_severity": 3}, found(severity=3), found(severity=2)),
        ({"side": "input"}, found(side="input"), found(side="output")),
        ({"field": ["ocr"]}, found(field="ocr"), found(field="text")),
        ({"min_score": 0.8}, found(score=0.8), found(score=0.79)),
        ({"max_distance": 30}, found(distance=30.0), found(distance=31.0)),
        ({"max_distance": 30}, found(distance=0.0), found(distance=None)),
        ({"feature_source": ["令5号"]}, found(feature_id=1), found(feature_id=2)),
        ({"feature_source": ["令5号"]}, found(feature_id=1), found(feature_id=None)),
        ({"check_failed": True}, found("check_failed", None, 0), found()),
    ],
)
def test_a_condition_of_a_finding(when: dict[str, Any], fits: Found, fits_not: Found) -> None:
    rules = [{"when": when, "then": "block"}, {"when": {"check_failed": True}, "then": "review"}]
    assert says(rules, [fits]) == ("block", "r0")
    assert says(rules, [fits_not])[1] != "r0"


@pytest.mark.parametrize(
    ("when", "facts_not"),
    [
        ({"service": ["tuyan"]}, {"service": "other"}),
        ({"function": ["writing"]}, {"function": "portrait"}),
        ({"function_kind": ["dialogue", "voice"]}, {"function_kind": "face"}),
        ({"edits_biometrics": False}, {"edits_biometrics": True}),
        ({"technology": ["text"]}, {"technology": "voice"}),
        ({"technology": "text"}, {"technology": "voice"}),
        ({"has_file": False}, {"has_file": True}),
        ({"user_kind": ["person"]}, {"user_kind": "organization"}),
        ({"max_account_days": 10}, {"account_days": 10.1}),
        ({"min_account_days": 10}, {"account_days": 9.9}),
        ({"min_measures_in_force": 1}, {"measures_in_force": 0}),
        ({"measure_within_days": 4}, {"recent_measures": (4.0, 200.0)}),
        ({"measure_within_days": 4}, {"recent_measures": ()}),
        ({"min_recent_blocks": 2}, {"recent_blocks": 1}),
    ],
)
def test_a_condition_of_the_item_or_its_user_needs_no_finding_and_an_unknown_fact_goes_to_a_person(
    when: dict[str, Any], facts_not: dict[str, Any]
) -> None:
    rules = [{"when": when, "then": "block"}]
    assert says(rules, []) == ("block", "r0")
    assert says(rules, [], replace(KNOWN, **facts_not)) == ("release", "-")
    assert says(rules, [], replace(KNOWN, **dict.fromkeys(facts_not))) == ("review", "facts_missing")
    assert says(rules, [], None) == ("review", "facts_missing")


def test_the_table_above_covers_every_condition() -> None:
    tested = set()
    for test in (test_a_condition_of_a_finding, test_a_condition_of_the_item_or_its_user_needs_no_finding_and_an_unknown_fact_goes_to_a_person):  # fmt: skip
        for mark in test.pytestmark:
            tested |= {name for row in mark.args[1] for name in row[0]}
    assert tested == set(CONDITIONS) - {"min_findings", "min_categories"}


def test_all_finding_conditions_hold_for_one_finding_not_for_two_together() -> None:
    rules = [{"when": {"check": ["terms"], "min_severity": 4}, "then": "block"}]
    assert says(rules, [found("terms", severity=2), found("links", severity=4)]) == ("release", "-")
    assert says(rules, [found("terms", severity=4)]) == ("block", "r0")


def test_counts_are_of_the_findings_that_meet_the_rules_own_conditions() -> None:
    three = [{"when": {"min_findings": 3, "category": ["fraud"]}, "then": "review"}]
    assert says(three, [found(), found(), found(category="drugs.sale")]) == ("release", "-")
    assert says(three, [found(), found(), found(category="fraud.part_time")]) == ("review", "r0")
    two = [{"when": {"min_categories": 2}, "then": "review"}]
    assert says(two, [found(), found()]) == ("release", "-")
    assert says(two, [found(), found(category="drugs.sale")]) == ("review", "r0")


def test_an_unknown_fact_does_not_matter_where_the_rule_fails_anyway() -> None:
    rules = [{"when": {"check": ["terms"], "min_recent_blocks": 1}, "then": "block"}]
    assert says(rules, [found("links")], None) == ("release", "-")
    assert says(rules, [found("terms")], None) == ("review", "facts_missing")


def test_an_entry_whose_source_nobody_looked_up_goes_to_a_person() -> None:
    rules = [{"when": {"feature_source": ["令5号"]}, "then": "release"}, {"when": {}, "then": "block"}]
    assert says(rules, [found(feature_id=1)], replace(KNOWN, sources=None)) == ("review", "facts_missing")
    assert says(rules, [found(feature_id=1)]) == ("release", "r0")


class TestRelease:
    RULES = (
        {"when": {"check": ["terms"], "category": ["fraud"], "service": ["tuyan"]}, "then": "release"},
        {"when": {"min_severity": 2}, "then": "review"},
    )

    def test_it_sets_aside_what_it_fits_and_names_itself(self) -> None:
        verdict = policy(*self.RULES).judge([found()], KNOWN)
        assert (verdict.disposition, verdict.rule, verdict.leading) == ("release", "r0", found())

    def test_it_never_overrides_what_another_rule_holds_because_of_other_findings(self) -> None:
        assert says([*self.RULES], [found(), found(category="drugs.sale")]) == ("review", "r1")

    def test_it_has_no_say_where_its_facts_are_not_met(self) -> None:
        assert says([*self.RULES], [found()], replace(KNOWN, service="other")) == ("review", "r1")

    @pytest.mark.parametrize("check", sorted(CLASSIFIERS))
    def test_what_a_classifier_found_is_never_set_aside(self, check: str) -> None:
        rules = [{"when": {"category": ["fraud"]}, "then": "release"}, {"when": {"check": [check]}, "then": "review"}]
        assert says(rules, [found()]) == ("release", "r0")
        assert says(rules, [found(check)]) == ("review", "r1")

    def test_a_failed_check_is_never_released_whatever_the_rules_say(self) -> None:
        failed = found("check_failed", None, 0)
        assert says([], [failed]) == ("review", "check_failed")
        assert says([*self.RULES], [found(), failed]) == ("review", "check_failed")

    @pytest.mark.parametrize(
        "when",
        [
            {},
            {"min_severity": 1},
            {"service": ["tuyan"]},
            {"check_failed": True},
            {"check": ["terms"], "check_failed": True},
            {"check": ["terms"], "min_findings": 2},
            {"check": ["terms"], "min_categories": 2},
        ],
    )
    def test_the_engine_refuses_a_release_that_names_no_finding_or_counts_them(self, when: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="not understood"):
            policy({"when": when, "then": "release"})


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("colour", 1, "condition_unknown"),
        ("check", [], "type_wrong"),
        ("check", ["a", 1], "type_wrong"),
        ("check", ["a\x00"], "type_wrong"),
        ("check", "terms", None),
        ("side", ["input"], "type_wrong"),
        ("min_severity", "3", "type_wrong"),
        ("min_severity", True, "type_wrong"),
        ("min_severity", 5, "out_of_range"),
        ("min_score", float("nan"), "out_of_range"),
        ("min_score", 1.5, "out_of_range"),
        ("has_file", 1, "type_wrong"),
        ("min_findings", 2.0, "type_wrong"),
        ("min_findings", 2, None),
    ],
)
def test_the_type_of_a_value(name: str, value: Any, code: str | None) -> None:
    problem = wrong(name, value)
    assert (problem[0] if problem else None) == code


# Hypothesis: rules and findings from a small world, so that they meet often.
CODES = {
    "check": ["terms", "links", "media", "classifier", "external_classifier"],
    "category": ["fraud", "fraud.loan", "drugs.sale"],
    "field": ["text", "ocr"],
    "feature_source": ["令5号", "令6号"],
    "service": ["tuyan", "other"],
    "function": ["writing", "portrait"],
    "function_kind": ["dialogue", "face"],
    "technology": ["text", "voice"],
    "user_kind": ["person", "organization"],
    "side": ["input", "output"],
}


def value_of(name: str) -> st.SearchStrategy[Any]:
    known = CONDITIONS[name]
    if known.kind == "codes":
        return st.lists(st.sampled_from(CODES[name]), min_size=1, max_size=3, unique=True)
    if known.kind == "choice":
        return st.sampled_from(CODES[name])
    if known.kind == "yes_no":
        return st.booleans()
    if known.kind == "number":
        return st.sampled_from([0, 0.5, 1])
    return st.integers(int(known.least), min(4, int(known.most)))


def conditions(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(st.sampled_from(names), max_size=3, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: value_of(name) for name in chosen})
    )


ANY = [name for name in CONDITIONS if name != "check_failed"]
HOLDING = st.builds(
    lambda when, then: {"when": when, "then": then}, conditions(ANY), st.sampled_from(["review", "block"])
)
RELEASING = st.builds(
    lambda when, check: {"when": {**when, "check": check}, "then": "release"},
    conditions([n for n in ANY if CONDITIONS[n].about != "count"]),
    value_of("check"),
)
FOR_FAILED = st.builds(
    lambda when: {"when": {**when, "check_failed": True}, "then": "review"}, conditions(list(OF_FACTS))
)
RULES = st.lists(st.one_of(HOLDING, HOLDING, RELEASING, FOR_FAILED), max_size=6)
FOUND = st.builds(
    Found,
    side=st.sampled_from(CODES["side"]),
    check=st.sampled_from(["terms", "links", "media", "classifier", "external_classifier", "check_failed"]),
    category=st.sampled_from(["fraud.loan", "fraud.part_time", "drugs.sale", None]),
    severity=st.integers(0, 4),
    feature_id=st.sampled_from([None, 1, 2, 3]),
    score=st.sampled_from([0.2, 0.5, 1.0]),
    distance=st.sampled_from([None, 0.0, 1.0]),
    field=st.sampled_from(CODES["field"]),
)
FACTS = st.builds(
    Facts,
    service=st.sampled_from(["tuyan", "other", None]),
    function=st.sampled_from(["writing", "portrait", None]),
    function_kind=st.sampled_from(["dialogue", "face", None]),
    edits_biometrics=st.sampled_from([True, False, None]),
    technology=st.sampled_from(["text", "voice", None]),
    user_kind=st.sampled_from(["person", "organization", None]),
    account_days=st.sampled_from([0.5, 3.0, None]),
    measures_in_force=st.sampled_from([0, 2, None]),
    recent_measures=st.sampled_from([(), (1.5,), None]),
    recent_blocks=st.sampled_from([0, 3, None]),
    has_file=st.sampled_from([True, False, None]),
    sources=st.sampled_from([{1: "令5号", 2: "令6号"}, None]),
)
TRIES = settings(max_examples=400, deadline=None)


@TRIES
@given(RULES, st.lists(FOUND, max_size=5), FACTS)
def test_a_failed_check_never_ends_in_release(rules: list[dict[str, Any]], findings: list[Found], facts: Facts) -> None:
    findings = [*findings, Found("output", "check_failed", None, 0)]
    assert policy(*rules).judge(findings, facts).disposition != "release"


@TRIES
@given(RULES, st.lists(FOUND, max_size=4), FOUND, FACTS)
def test_one_more_finding_never_turns_what_is_held_into_a_release(
    rules: list[dict[str, Any]], findings: list[Found], more: Found, facts: Facts
) -> None:
    judge = policy(*rules).judge
    if judge(findings, facts).disposition != "release":
        assert judge([*findings, more], facts).disposition != "release"


@TRIES
@given(RULES, st.lists(FOUND, max_size=4), FOUND, FACTS)
def test_with_blocks_first_and_facts_known_one_more_finding_never_makes_it_milder(
    rules: list[dict[str, Any]], findings: list[Found], more: Found, facts: Facts
) -> None:
    known = replace(facts, **{f.name: getattr(KNOWN, f.name) for f in fields(Facts) if getattr(facts, f.name) is None})
    known = replace(known, sources={1: "令5号", 2: "令6号", 3: ""})
    ordered = sorted(rules, key=lambda rule: {"release": 0, "block": 1, "review": 2}[rule["then"]])
    judge = policy(*ordered).judge
    before, after = judge(findings, known), judge([*findings, more], known)
    assert HELD[after.disposition] >= HELD[before.disposition]


@TRIES
@given(RULES, st.lists(FOUND, max_size=4), FACTS)
def test_release_rules_never_release_what_is_held_because_of_findings_they_do_not_fit(
    rules: list[dict[str, Any]], findings: list[Found], facts: Facts
) -> None:
    """The model: take the release rules away, and every finding that one of them may set aside; what the other rules
    still hold then is held with the release rules in place too."""
    whole = policy(*rules)
    releasing = [rule for rule in whole.rules if rule.then == "release"]
    others = [
        f for f in findings if f.check in CLASSIFIERS or not any(r._fit(f, facts) is not False for r in releasing)
    ]
    without = policy(*(rule for rule in rules if rule["then"] != "release"))
    if without.judge(others, facts).disposition != "release":
        assert whole.judge(findings, facts).disposition != "release"


@TRIES
@given(RULES, st.lists(FOUND, max_size=4), FACTS)
def test_a_classifier_only_ever_holds(rules: list[dict[str, Any]], findings: list[Found], facts: Facts) -> None:
    judge = policy(*rules).judge
    without = judge([f for f in findings if f.check not in CLASSIFIERS], facts)
    if without.disposition != "release":
        assert judge(findings, facts).disposition != "release"


@TRIES
@given(RULES, st.lists(FOUND, max_size=4), FACTS)
def test_not_knowing_never_releases_more_than_some_truth_would_hold(
    rules: list[dict[str, Any]], findings: list[Found], facts: Facts
) -> None:
    """Whatever is released without the facts is released with any facts: the unknown did not matter."""
    judge = policy(*rules).judge
    if judge(findings, None).disposition == "release":
        assert judge(findings, facts).disposition == "release"


@TRIES
@given(st.lists(HOLDING, min_size=2, max_size=2), st.lists(FOUND, max_size=4), FACTS)
def test_a_swallowed_rule_never_decides(rules: list[dict[str, Any]], findings: list[Found], facts: Facts) -> None:
    both = policy(*rules)
    if policy_validation.swallows(*both.rules):
        assert both.judge(findings, facts).rule != "r1"


@TRIES
@given(RELEASING, HOLDING, st.lists(FOUND, max_size=4), FACTS)
def test_a_rule_swallowed_by_a_release_never_decides(
    release: dict[str, Any], hold: dict[str, Any], findings: list[Found], facts: Facts
) -> None:
    both = policy(release, hold)
    if policy_validation.swallows(*both.rules):
        assert both.judge(findings, facts).rule != "r1"


class TestShipped:
    POLICY = Policy(1, json.loads(FIRST.read_text(encoding="utf-8"))["rules"])

    def test_no_shipped_rule_releases_and_a_failed_check_comes_first(self) -> None:
        assert {rule.then for rule in self.POLICY.rules} == {"review", "block"}
        assert self.POLICY.rules[0].when == {"check_failed": True}

    @pytest.mark.parametrize(
        ("finding", "disposition", "rule"),
        [
            (found("check_failed", None, 0), "review", "R-01"),
            (found("media", None, 0), "review", "R-02"),
            (found("terms", severity=4), "block", "R-03"),
            (found("exact", severity=4), "block", "R-03"),
            (found("image_hash", severity=4), "block", "R-03"),
            (found("terms", severity=4, field="ocr"), "block", "R-03"),
            (found("terms", severity=4, side="input"), "review", "R-04"),
            *((found(check, severity=2), "review", "R-05") for check in (
                "terms", "patterns", "links", "near_text", "exact", "image_hash", "video_hash", "audio_print"
            )),
            (found("video_hash", severity=4), "review", "R-05"),
            (found("terms", severity=1), "release", "-"),
            (found("personal_information", severity=2), "review", "R-06"),
            (found("classifier", severity=2), "review", "R-07"),
            (found("classifier", severity=1), "release", "-"),
            (found("external_classifier", None, 0), "review", "R-10"),
            (found("news_source", None, 0), "review", "R-08"),
            (found("fraud", "fraud.loan", 2), "review", "R-07"),
            (found("consent_prompt", None, 0), "review", "R-09"),
        ],
    )  # fmt: skip
    def test_what_it_says_of_each_check(self, finding: Found, disposition: str, rule: str) -> None:
        verdict = self.POLICY.judge([finding], None)
        assert (verdict.disposition, verdict.rule) == (disposition, rule)

    def test_a_file_with_a_known_picture_of_the_severest_sort_is_blocked_any_other_goes_to_a_person(self) -> None:
        file = found("media", None, 0)
        assert self.POLICY.judge([file, found("image_hash", severity=4)], None).rule == "R-03"
        assert self.POLICY.judge([file, found("image_hash", severity=3)], None).rule == "R-02"

    @given(st.lists(st.sampled_from(policy_validation.SHIPPED_CHECKS), min_size=1, max_size=4))
    def test_an_error_beside_anything_is_seen_by_a_person(self, checks: list[str]) -> None:
        findings = [found(check, severity=4) for check in checks]
        assert self.POLICY.judge([*findings, found("check_failed", None, 0)], None).disposition == "review"

    @pytest.mark.django_db
    def test_a_copy_of_it_can_be_saved(self) -> None:
        rules = json.loads(FIRST.read_text(encoding="utf-8"))["rules"]
        assert policy_validation.errors(rules, policy_validation.vocabulary()) == []
