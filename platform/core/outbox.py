"""The outbox: news leaves a transaction as a row, and the relay passes it on (design.md §3.4).

Upward news travels this way or by registration: a lower app emits a topic, an upper one subscribes a kind of job to it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from core.models import OutboxEvent
from core.requests import request_id
from core.sql import run

# What receivers may rely on (contract.md). Topics that begin with `internal.` never leave the house.
WEBHOOK_TOPICS = (
    "submission.released",
    "submission.blocked",
    "submission.in_review",
    "submission.withdrawn",
    "measure.applied",
    "measure.lifted",
    "notice.created",
    "refutation.published",
    "gate.closed",
    "gate.opened",
)
SUBSCRIPTIONS: list[tuple[str, str]] = []


def subscribe(topic: str, job_kind: str) -> None:
    """Have a job of this kind enqueued for every event of the topic; called when an app is ready."""
    if (topic, job_kind) not in SUBSCRIPTIONS:
        SUBSCRIPTIONS.append((topic, job_kind))


def emit(topic: str, *, subject: str, payload: dict[str, Any], service_id: UUID | None = None) -> None:
    """Put an event into the caller's transaction. `payload` is what receivers get as `data`: nothing personal beyond
    the service's own external ids. `service_id` None reaches the endpoints of all services."""
    if topic not in WEBHOOK_TOPICS and not topic.startswith("internal."):
        raise KeyError(topic)
    OutboxEvent.objects.create(
        topic=topic, subject=subject, payload=payload, service_id=service_id, request_id=request_id()
    )


def relay(most: int = 500) -> int:
    """Pass on up to `most` events; returns how many there were."""
    moved = run(
        "core/relay_outbox",
        {"most": most, "topics": [t for t, _ in SUBSCRIPTIONS], "kinds": [k for _, k in SUBSCRIPTIONS]},
    )
    return moved[0][0]
