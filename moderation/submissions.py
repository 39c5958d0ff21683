"""What callers and pages see of submissions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from core.errors import Conflict, NotFound
from governance.models import Service
from labeling import text as text_label
from moderation.models import Lease, Submission, Task


def find(*, service: Service, submission_id: UUID | None) -> Submission:
    """An item of a service; refuses with 404, also for another service's item."""
    item = (
        Submission.objects.select_related("content", "user", "function")
        .filter(service=service, pk=submission_id)
        .first()
        if submission_id
        else None
    )
    if item is None:
        raise NotFound("not_found", _("There is no such submission."))
    return item


def in_state(rows: QuerySet[Submission], state: str) -> QuerySet[Submission]:
    """Items in one state. Those in review are found by their task, lease or hold, since an index on the state of every
    item would cost each of them two more writes."""
    if state == "in_review":
        waiting = Task.objects.values("submission_id")
        held = Lease.objects.values("submission_id")
        return rows.filter(state="in_review").filter(Q(pk__in=waiting) | Q(pk__in=held) | ~Q(held_for=""))
    return rows.filter(state=state)


def representation(item: Submission) -> dict[str, Any]:
    """What the API says of an item (contract.md)."""
    decision = item.decisions.order_by("-id").first() if item.decided_at else None
    reasons = []
    if decision and decision.outcome == "block":
        reasons = [
            {
                "code": decision.rule or "staff",
                "category": decision.category_id,
                "clause": decision.clause,
                "detail": decision.reason,
            }
        ]
    elif item.state == "in_review":
        reasons = [{"code": item.held_for or item.rule or "review", "category": None, "clause": "", "detail": ""}]
    return {
        "id": str(item.pk),
        "external_id": item.external_id,
        "user": item.user.external_id,
        "function": item.function.code,
        "technology": item.technology,
        "state": item.state,
        "disposition": item.disposition or None,
        "reasons": reasons,
        "findings": [
            {
                "side": f.side,
                "field": f.field,
                "check": f.check_name,
                "category": f.category_id,
                "feature": f.feature_id,
                "feature_version": f.feature_version,
                "spans": f.spans,
                "score": f.score,
                **({"distance": f.distance} if f.distance is not None else {}),
                **({"box": f.boxes[0], "boxes": f.boxes} if f.boxes else {}),
            }
            for f in item.findings.order_by("id")
        ]
        if item.state != "screening"
        else [],
        "policy_version": item.policy_version,
        "library_version": item.library_version,
        "label": text_label.ordered(item.label),
        "created_at": _time(item.created_at),
        "decided_at": _time(item.decided_at),
        "decided_by": item.decided_by or None,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


def released_text(item: Submission) -> dict[str, Any]:
    """The labelled output of a released item (DS-16a, DS-17a); refuses with 409 before."""
    label = text_label.ordered(item.label)
    if item.state != "released" or label is None:
        raise Conflict("not_released", _("Only released content is given out."), extra={"state": item.state})
    return {
        "id": str(item.pk),
        "external_id": item.external_id,
        "text": text_label.apply(item.content.output_text, label),
        "AIGC": label["implicit"],
    }
