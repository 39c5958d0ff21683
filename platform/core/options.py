"""What an operator may set without code. Each has a default, an environment variable `MINGJIAN_<NAME>`, and is shown
with both on the settings page (contract.md, "Settings that operators can change")."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Option:
    """One setting: its default, its unit and what it decides."""

    default: float
    unit: str
    meaning: Any


OPTIONS: dict[str, Option] = {
    "job_lease": Option(60, "s", _("How long a worker may hold a job without an answer")),
    "screening_lease": Option(30, "s", _("How long a worker may hold an item that it screens")),
    "webhook_lease": Option(60, "s", _("How long a worker may hold a webhook delivery")),
    "export_lease": Option(300, "s", _("How long a worker that writes a bundle may give no sign of life")),
    "review_lease": Option(300, "s", _("How long a moderator holds an item without a sign of life")),
    "review_heartbeat": Option(30, "s", _("How often an open desk renews its lease")),
    "review_due": Option(4 * 3600, "s", _("Time within which an item in review should be decided")),
    "webhook_timeout": Option(15, "s", _("How long a webhook receiver may take to answer")),
    "webhook_backoff": Option(5, "s", _("First pause after a failed webhook; it doubles each time")),
    "webhook_give_up": Option(24 * 3600, "s", _("After how long an undelivered webhook is given up")),
    "wait_limit": Option(10, "s", _("The longest wait that a caller may ask for with Prefer: wait")),
    "appeal_days": Option(15, "d", _("Working days within which a decision may be appealed")),
    "max_text": Option(100_000, "", _("Code points a text of a submission may have")),
}


def option(name: str) -> float:
    """The value in force: the environment's, else the default. Raises KeyError for an unknown name."""
    known = OPTIONS[name]
    given = os.environ.get(f"MINGJIAN_{name.upper()}")
    return float(given) if given else known.default
