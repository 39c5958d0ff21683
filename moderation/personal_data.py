"""What moderation holds about a person: their part of the bundle (GA-11) and of an erasure (GEN-09)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from accounts import erasure, person_bundle
from accounts.models import User
from moderation.models import Content, Submission

# What was found illegal stays as a case with its content (DS-10d); what was passed or given up isn't needed any more.
ERASED_STATES = ("released", "withdrawn")


def rows(user: User) -> Iterator[dict[str, Any]]:
    """Everything the person handed in, with its texts."""
    items = Submission.objects.filter(user=user).select_related("content", "function").order_by("pk")
    for item in items.iterator(chunk_size=200):
        yield {
            "id": str(item.pk),
            "external_id": item.external_id,
            "function": str(item.function),
            "technology": item.technology,
            "state": item.state,
            "created_at": item.created_at,
            "decided_at": item.decided_at,
            "input": item.content.input_text,
            "output": item.content.output_text,
        }


def erase(user: User) -> int:
    """Empty the texts of what the person handed in, but for what was blocked or waits for a decision."""
    return Content.objects.filter(submission__user=user, submission__state__in=ERASED_STATES).update(
        input_text="", output_text=""
    )


person_bundle.section("submissions", rows, zh="提交的内容", en="What you handed in")
erasure.part("submissions", erase)
