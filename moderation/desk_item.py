"""What the desk shows of an item: the texts, the evidence, the user it came from, what was decided before."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts import measures
from accounts.models import Measure, Staff, User
from core.calendar import SHANGHAI
from governance.models import Category
from moderation import queue, shown_files, statistics
from moderation.evidence_lines import evidence, why_here
from moderation.models import ClaimEvent, Decision, Submission, Task
from moderation.queue import Held
from moderation.screening import categories

DAYS = 7
_USERS_ITEMS = 500  # of one user; a user who sends more is shown as "500+"
_EARLIER = 5


def shown(held: Held, person: Any) -> dict[str, Any]:
    """Everything about a held item that its page shows."""
    item = (
        Submission.objects.select_related(*shown_files.WITH, "user", "function", "service")
        .prefetch_related("findings")
        .get(pk=held.submission_id)
    )
    tree = categories()
    found = evidence(item, tree)
    return {
        "item": item,
        "content": item.content,
        "evidence": found,
        "files": shown_files.of(item, found),
        "why": why_here(item),
        "leaves": leaves_by_root(tree),
        "category_texts": category_texts(tree),
        "recommended": found.leading,
        "user_card": user_card(item.user),
        "earlier": earlier_decisions(item),
        "claims": claim_log(item),
    }


def queue_summary(person: Any) -> dict[str, Any]:
    """Per queue that the person works: how many wait, since when, how many are over time; and what the person did today.
    One query for the queues, one for the person."""
    rows = {
        row["queue"]: row
        for row in Task.objects.filter(queue__in=queue.queues_of(person))
        .values("queue")
        .annotate(waiting=Count("pk"), oldest=Min("entered_at"), overdue=Count("pk", filter=Q(due_at__lt=Now())))
    }
    none = {"waiting": 0, "oldest": None, "overdue": 0}
    queues = [{"name": queue.QUEUES[name], **(rows.get(name) or none)} for name in queue.queues_of(person)]
    return {
        "queues": queues,
        "waiting": sum(q["waiting"] for q in queues),
        "overdue": sum(q["overdue"] for q in queues),
        "done_today": decided_today(person),
    }


def decided_today(person: Any) -> int:
    """How many items the person decided on this Shanghai day."""
    today = statistics.start_of(timezone.now().astimezone(SHANGHAI).date())
    return Decision.objects.filter(staff_id=person.pk, by_kind="staff", decided_at__gte=today).count()


def user_card(user: User) -> dict[str, Any]:
    """The user as the desk shows them: masked name, status, measures in force, the last seven days."""
    now = timezone.now()
    since = now - timedelta(days=DAYS)
    rows = list(
        Submission.objects.filter(user=user, pk__gte=statistics.first_id_at(since), created_at__gte=since)
        .order_by("-pk")
        .values_list("state", "created_at")[:_USERS_ITEMS]
    )
    states: Counter[str] = Counter(state for state, _at in rows)
    today = now.astimezone(SHANGHAI).date()
    by_day: Counter[int] = Counter((today - _day(at)).days for _state, at in rows)
    return {
        "user": user,
        "measures": [{"kind": Measure.KINDS[m.kind], "from": m.starts_at} for m in measures.in_force(user)[:5]],
        "items": len(rows),
        "more": len(rows) == _USERS_ITEMS,
        "released": states["released"],
        "blocked": states["blocked"],
        "by_day": [by_day[n] for n in range(DAYS - 1, -1, -1)],
    }


def _day(at: datetime) -> Any:
    return at.astimezone(SHANGHAI).date()


def earlier_decisions(item: Submission) -> list[Decision]:
    """The last decisions about the same user's other items: of their latest ones, so that the look stays short."""
    latest = Submission.objects.filter(user_id=item.user_id).order_by("-pk").values("pk")[:50]
    return list(
        Decision.objects.filter(submission_id__in=latest)
        .exclude(submission_id=item.pk)
        .select_related("category", "staff", "submission")
        .order_by("-decided_at")[:_EARLIER]
    )


def claim_log(item: Submission) -> list[dict[str, Any]]:
    """Who held the item, how long, and how it ended."""
    log = queue.claim_log(item.pk)
    names = {s.pk: str(s) for s in Staff.objects.filter(pk__in={e.staff_id for e in log})}
    return [
        {"event": e, "who": names.get(e.staff_id, "—"), "what": ClaimEvent.EVENTS.get(e.event, e.event)} for e in log
    ]


def leaves_by_root(tree: dict[str, Category]) -> list[tuple[Category, list[Category]]]:
    """The leaves a person may choose, under their roots, in the order of the tree."""
    ordered = sorted(tree.values(), key=lambda c: c.position)
    groups: dict[str, list[Category]] = {}
    for leaf in (c for c in ordered if c.leaf):
        groups.setdefault(_root(leaf, tree), []).append(leaf)
    return [(tree[code], leaves) for code, leaves in groups.items()]


def _root(category: Category, tree: dict[str, Category]) -> str:
    while category.parent_id:
        category = tree[category.parent_id]
    return category.pk


def category_texts(tree: dict[str, Category]) -> dict[str, dict[str, str]]:
    """What the page shows beside a chosen leaf: how to judge it, what the user will read, the clause."""
    return {
        leaf.pk: {"guidance": leaf.guidance_text, "reason": leaf.reason_text, "clause": leaf.clause}
        for leaf in tree.values()
        if leaf.leaf
    }


def reason_meant(outcome: str, category: str, reason: str, prefilled: str) -> str:
    """The reason as the person means it. The field comes filled with the sentence of the recommended category; left
    untouched it is not a reason for a release, and with another category chosen (without scripts the field can't follow)
    it means that category's sentence."""
    tree = categories()
    suggested = tree.get(prefilled)
    if suggested is None or _plain(reason) != _plain(suggested.reason_text):
        return reason
    if outcome != "block":
        return ""
    chosen = tree.get(category)
    return chosen.reason_text if chosen and chosen.leaf else reason


def _plain(text: str) -> str:
    # Browsers send CRLF, and the template may have broken a line.
    return " ".join(text.split())
