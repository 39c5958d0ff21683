"""Decisions by people: release or block an item that is in review, with grounds and a reason the user will read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import audit, outbox
from core.errors import Refusal, field_error
from core.options import option
from core.roles import check
from core.states import transition
from governance.models import Category
from moderation import queue, screening
from moderation.models import Decision, StatementOfReasons, Submission
from moderation.policy import Verdict
from moderation.states import SUBMISSION

APPLIED, HELD, SKIPPED = "applied", "held", "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action did: applied, held or skipped, with the sentence that says why (design.md §3.5)."""

    result: str
    detail: Any = ""
    decision: Decision | None = None


def decide(*, submission_id: UUID, token: UUID, outcome: str, by: Any, category: str = "", reason: str = "") -> Outcome:
    """Decide an item that the person holds.

    A block needs a leaf of the category tree and a reason; a release is asked again whether it may happen now (ruling
    4). The same form twice is one decision; a decision on a lost lease is refused with a sentence; an item that was
    decided elsewhere answers "skipped".
    """
    check(by, "review.work")
    with transaction.atomic():
        try:
            lease = queue.lock_lease(token=token, by=by, submission_id=submission_id)
        except queue.LeaseLost:
            # Looked up after the lock: the same form sent twice at once waits there for its twin, which ends the lease.
            if done := Decision.objects.filter(lease_token=token, staff_id=by.pk).first():
                return Outcome(APPLIED, _("This was decided already."), done)
            raise
        item = (
            Submission.objects.select_for_update(of=("self",))
            .select_related("content", "function", "service__provider")
            .get(pk=lease.submission_id)
        )
        if item.pk != submission_id:
            raise queue.lost(submission_id)
        if item.state != "in_review":
            queue.end_lease(lease, "released", reason=item.state)
            return Outcome(SKIPPED, _("This item was settled elsewhere meanwhile."))
        if outcome == "block":
            decision = _block(item, token, category, reason, by)
        elif outcome == "release":
            held = _release(item)
            if held:
                item.held_for = held
                item.save(update_fields=["held_for"])
                queue.end_lease(lease, "decided", reason=held)
                audit.record(action="review.release_held", subject=f"submission:{item.pk}", by=by, reason=held)
                return Outcome(HELD, HELD_WORDS.get(held, held))
            decision = _record(item, token, "release", by, reason=reason)
            transition(
                SUBMISSION,
                item,
                "release",
                by=by,
                reason=reason,
                also=["decided_by", "decided_at", "disposition", "label", "screened"],
            )
        else:
            raise _invalid("outcome", _("Choose what to do."))
        queue.end_lease(lease, "decided")
        outbox.emit(
            f"submission.{item.state}",
            subject=str(item.pk),
            payload=_payload(item, decision),
            service_id=item.service_id,
        )
    return Outcome(APPLIED, "", decision)


HELD_WORDS = {
    "gate_closed": _("Held: release is closed by an order. It comes back when the gate opens."),
    "identity_not_verified": _("Held: the user's identity is not verified now. It comes back when it is."),
    "account_suspended": _("Held: the account is suspended."),
    "account_closed": _("Held: the account is closed."),
    "function_limited": _("Held: this function is limited for the account."),
    "acceptance_required": _("Held: the user must first accept the current terms. It comes back when they did."),
}


def _block(item: Submission, token: UUID, category: str, reason: str, by: Any) -> Decision:
    leaf = Category.objects.filter(pk=category, leaf=True).first()
    if leaf is None:
        raise _invalid("category", _("Choose the category it falls under."))
    if not reason.strip():
        raise _invalid("reason", _("Write the reason the user will read."))
    decision = _record(item, token, "block", by, category=leaf, reason=reason.strip())
    found = item.findings.exclude(check_name="check_failed").exists()
    StatementOfReasons.objects.create(
        decision=decision,
        submission=item,
        category=leaf,
        clause=leaf.clause,
        facts=item.rule,
        explanation=reason.strip(),
        # Derived, never typed: whether a check found it, and that a person decided.
        automated_detection=found,
        automated_decision=False,
        appeal_days=int(option("appeal_days")),
    )
    transition(
        SUBMISSION, item, "block", by=by, reason=reason.strip(), also=["decided_by", "decided_at", "disposition"],
        data={"category": leaf.pk},
    )  # fmt: skip
    return decision


def _release(item: Submission) -> str:
    if item.content.output_file_id:
        # Refused, not held: no cause would end, and the item would wait for ever.
        raise Refusal("no_label_for_medium", _("This medium can't be labelled yet, and nothing goes out unlabelled."))
    looked = screening.Looked(item, [], {}, item.library_version or 0, Verdict("release", item.rule, "", None))
    screening.hold_back([looked])
    item.label = looked.label
    if item.screened is None:
        # Screening failed for good: the person's look at both sides is the review (DS-10a, "technical or manual").
        item.screened = {"input": {"checks": {"person": "clear"}}, "output": {"checks": {"person": "clear"}}}
    return looked.held_for


def _record(
    item: Submission, token: UUID, outcome: str, by: Any, *, category: Category | None = None, reason: str
) -> Decision:
    item.decided_by, item.disposition, item.decided_at = "staff", outcome, Now()
    return Decision.objects.create(
        submission=item,
        outcome=outcome,
        by_kind="staff",
        staff=by,
        policy_version=item.policy_version,
        rule=item.rule,
        category=category,
        clause=category.clause if category else "",
        reason=reason,
        lease_token=token,
    )


def _payload(item: Submission, decision: Decision) -> dict[str, Any]:
    return {
        "id": str(item.pk),
        "external_id": item.external_id,
        "state": item.state,
        "disposition": decision.outcome,
        "reasons": [
            {
                "code": decision.rule,
                "category": decision.category_id,
                "clause": decision.clause,
                "detail": decision.reason,
            }
        ]
        if decision.outcome == "block"
        else [],
        "policy_version": decision.policy_version,
        "decided_by": "staff",
    }


def _invalid(name: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", detail, errors=[field_error(name, "required", detail)])


@dataclass(frozen=True)
class Choice:
    """One more thing a moderator can do with an item, offered by an app above (registered, never imported)."""

    code: str
    label: Any
    icon: str
    permission: str
    run: Callable[..., Outcome]


CHOICES: dict[str, Choice] = {}


def register_choice(choice: Choice) -> Choice:
    """Offer a choice on the desk; `run(submission_id=, token=, reason=, category=, by=)` carries it out."""
    CHOICES[choice.code] = choice
    return choice
