"""The desk's choice "open refutation case": the item is blocked and its claim becomes a case, both or neither."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from core.roles import check
from moderation.decisions import APPLIED, Choice, Outcome, decide
from rumors.cases import open_case_from_submission


def block_and_open(*, submission_id: UUID, token: UUID, reason: str, category: str, by: Any) -> Outcome:
    """Block the item and open its case. When the item was settled otherwise meanwhile, no case is opened and the answer
    says so."""
    check(by, "rumor.open")
    with transaction.atomic():
        outcome = decide(
            submission_id=submission_id, token=token, outcome="block", category=category, reason=reason, by=by
        )
        decision = outcome.decision
        if outcome.result != APPLIED or decision is None or decision.outcome != "block":
            return outcome
        case = open_case_from_submission(submission_id=decision.submission_id, found="desk", found_note=reason, by=by)
    return Outcome(
        APPLIED, _("Blocked, and refutation case %(number)s is open.") % {"number": case.number}, outcome.decision
    )


CHOICE = Choice(
    code="rumor",
    label=_("Open refutation case"),
    icon="message-report",
    permission="rumor.open",
    run=block_and_open,
)
