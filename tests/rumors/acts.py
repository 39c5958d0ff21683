"""The road of a case, one step a function, so that a test starts where it wants to."""

from __future__ import annotations

from typing import Any

from rumors import cases, refutations, reports
from rumors.models import Refutation, RumorCase
from tests.world import World

CLAIM = "青禾市自来水停水三天"
HOSTILE = "</script><script>alert(1)</script>&amp;\"'\u2028"


def opened(world: World, **changes: Any) -> RumorCase:
    """A case opened by hand."""
    return cases.open_case(**{"claim": CLAIM, "found": "monitoring", "by": world.lin, **changes})


def verifying(world: World, **changes: Any) -> RumorCase:
    """A case with one piece of evidence."""
    case = opened(world, **changes)
    cases.add_evidence(case_id=case.pk, text="供水单位否认", source="电话", by=world.chen)
    return fresh(case)


def concluded(world: World, verdict: str = "false", **changes: Any) -> RumorCase:
    """A case with a verdict."""
    case = verifying(world, **changes)
    return cases.conclude(case_id=case.pk, verdict=verdict, summary="文号不存在", by=world.chen)


def drafted(world: World, **changes: Any) -> Refutation:
    """A false claim's draft."""
    case = concluded(world)
    return refutations.draft_refutation(
        **{"case_id": case.pk, "title": "停水三天不实", "text": "近期没有停水计划。", "by": world.chen, **changes}
    )


def refuted(world: World, **changes: Any) -> RumorCase:
    """A case whose refutation is published."""
    draft = drafted(world, **changes)
    refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    return fresh(draft.case)


def report(case: RumorCase, world: World, kind: str = "cac", **changes: Any) -> Any:
    """A report to one authority."""
    given = {"authority": "青禾市网信办", "level": "city", "reference": "收〔2026〕1号", "by": world.chen}
    return reports.record_report(case_id=case.pk, kind=kind, **{**given, **changes})


def reported(world: World) -> RumorCase:
    """A case that can close."""
    case = refuted(world)
    report(case, world)
    report(case, world, "competent_department", department="public_security")
    return fresh(case)


def closed(world: World) -> RumorCase:
    """A closed case."""
    return cases.close_case(case_id=reported(world).pk, by=world.chen)


def correct(case: RumorCase, world: World, **changes: Any) -> Refutation:
    """The next version of what was published."""
    given = {"title": "停水三天不实（更正）", "text": "检修为夜间分区施工。", "correction_note": "补充检修时间"}
    return refutations.correct_refutation(case_id=case.pk, **{**given, "by": world.chen, **changes})


def fresh(case: RumorCase) -> RumorCase:
    """The case as the database has it."""
    return RumorCase.objects.get(pk=case.pk)
