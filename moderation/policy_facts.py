"""What policies may ask about an item beside its findings. Users and entries are asked about for a whole batch at once,
and only where a policy states a condition on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from core.sql import run
from moderation.models import Submission
from moderation.policy import Facts, Found, Policy


def of_item(item: Submission) -> Facts:
    """What the item itself says: no question to the database (function, service and content come with the item)."""
    function = item.function
    return Facts(
        service=item.service.code,
        function=function.code,
        function_kind=function.kind,
        edits_biometrics=function.edits_biometrics,
        technology=item.technology,
        has_file=bool(item.content.input_file_id or item.content.output_file_id),
    )


def gather(looked: Sequence[tuple[Submission, Sequence[Found]]], policies: Iterable[Policy]) -> dict[UUID, Facts]:
    """The facts of each item for these policies, as they are now. One query at most, none where no policy asks."""
    policies = list(policies)
    users: list[UUID] = []
    entries: list[int] = []
    if any(one.asks_user for one in policies):
        users = sorted({item.user_id for item, _found in looked})
    if any(one.asks_sources for one in policies):
        entries = sorted({f.feature_id for _item, found in looked for f in found if f.feature_id is not None})
    of_user: dict[str, dict[str, Any]] = {}
    sources: dict[int, str] | None = None
    if users or entries:
        sources = {}
        for what, pk, known in run("moderation/policy_facts", {"users": users, "entries": entries}):
            if what == "user":
                of_user[pk] = json.loads(known)  # a raw cursor under Django answers jsonb as text
            else:
                sources[int(pk)] = json.loads(known)
    return {
        item.pk: replace(of_item(item), sources=sources, **of_user.get(str(item.user_id), {}))
        for item, _found in looked
    }
