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
    "media_lease": Option(480, "s", _("How long a worker may hold an item with a file that it screens, for each side")),
    "webhook_lease": Option(60, "s", _("How long a worker may hold a webhook delivery")),
    "backtest_lease": Option(60, "s", _("How long a worker that does a part of a back-test may give no sign of life")),
    "backtest_most": Option(200_000, "", _("Items that one back-test may look at")),
    "export_lease": Option(300, "s", _("How long a worker that writes a bundle may give no sign of life")),
    "review_lease": Option(300, "s", _("How long a moderator holds an item without a sign of life")),
    "review_heartbeat": Option(30, "s", _("How often an open desk renews its lease")),
    "review_due": Option(4 * 3600, "s", _("Time within which an item in review should be decided")),
    "webhook_timeout": Option(15, "s", _("How long a webhook receiver may take to answer")),
    "webhook_backoff": Option(5, "s", _("First pause after a failed webhook; it doubles each time")),
    "webhook_give_up": Option(24 * 3600, "s", _("After how long an undelivered webhook is given up")),
    "wait_limit": Option(10, "s", _("The longest wait that a caller may ask for with Prefer: wait")),
    "appeal_days": Option(15, "d", _("Working days within which a decision may be appealed")),
    "appeal_answer_days": Option(15, "d", _("Working days within which an appeal is answered")),
    "appeal_tries": Option(10, "", _("Tries at the form of one appeal in an hour")),
    "appeal_tries_per_address": Option(60, "", _("Tries at appeal forms from one address in an hour")),
    "ladder_memory": Option(365, "d", _("How long an earlier measure counts for the recommended one")),
    "request_answer_days": Option(15, "d", _("Working days within which a request about personal data is answered")),
    "retention_days": Option(
        183, "d", _("How long the record of an account is kept after its user asked to delete it")
    ),
    "identity_expiry_days": Option(1095, "d", _("After how many days an identity must be proved again; 0: never")),
    "identity_grace_days": Option(30, "d", _("Days in which a user may still publish after the identity expired")),
    "accounts_per_identity": Option(5, "", _("How many accounts one identity may have")),
    "identity_automatic": Option(0, "", _("1: a signed match of the verification service verifies without a person")),
    "verifier_timeout": Option(5, "s", _("How long the verification service may take to answer")),
    "verifier_patience": Option(600, "s", _("After how long without an answer a person decides alone")),
    "code_lifetime": Option(300, "s", _("How long a one-time code may be used")),
    "code_tries": Option(5, "", _("Wrong tries after which a one-time code is void")),
    "verification_lease": Option(300, "s", _("How long an identity admin holds an identity without a sign of life")),
    "reveals_per_day": Option(50, "", _("Identities that one person may reveal in a day")),
    "number_searches_per_minute": Option(10, "", _("Searches by number that one person may make in a minute")),
    "guardian_age": Option(14, "", _("Below this age a guardian's consent is needed")),
    "session_idle": Option(1800, "s", _("After how long without a click one must sign in again")),
    "session_longest": Option(12 * 3600, "s", _("After how long one must sign in again in any case")),
    "session_record_days": Option(183, "d", _("How long the record of a session is kept after it ended")),
    "reauthentication": Option(300, "s", _("How long a confirmed password or code stands for a dangerous act")),
    "guesses_per_account": Option(20, "", _("Wrong passwords for one account, from anywhere, before tries must wait")),
    "guesses_per_address": Option(100, "", _("Wrong passwords from one address, for anybody, before tries must wait")),
    "guesses_of_codes": Option(6, "", _("Wrong codes of a second factor before tries must wait")),
    "guess_wait": Option(900, "s", _("The longest that a try must wait; the first wait is 30 seconds and doubles")),
    "glass_open": Option(1800, "s", _("How long emergency rights last")),
    "invitation_days": Option(7, "d", _("How long an invitation may be accepted")),
    "key_per_minute": Option(60_000, "", _("Calls that a key may make in a minute unless it has a limit of its own")),
    "key_guesses_per_minute": Option(
        60, "", _("Wrong API keys that may come from one address in a minute before it must wait")
    ),
    "import_lease": Option(60, "s", _("How long a worker that imports users may give no sign of life")),
    "import_keep_days": Option(7, "d", _("How long the file and the report of an import of users are kept")),
    "usage_keep_days": Option(400, "d", _("How long the hourly counts of calls of a key are kept")),
    "key_overlap": Option(7 * 24 * 3600, "s", _("How long the old key still works after it was rotated")),
    "brake_share": Option(
        0.05, "", _("Share of the items that a new entry of the library may match before the brake stops it; 1: never")
    ),
    "brake_hours": Option(24, "h", _("How long an entry counts as new for the brake")),
    "brake_least": Option(200, "", _("Items that must have been screened before the brake stops an entry")),
    "brake_window": Option(5_000, "", _("Items, the newest ones, at which the brake looks")),
    "feature_import_lease": Option(
        300, "s", _("How long a worker that reads a list of entries may give no sign of life")
    ),
    "max_document": Option(8 * 1024 * 1024, "", _("Bytes that the picture of a document may have")),
    "policy_needs_backtest": Option(
        0, "", _("1: a policy goes live only after a back-test of this revision; 0: without one a reason is asked for")
    ),
    "max_text": Option(100_000, "", _("Code points a text of a submission may have")),
}


def option(name: str) -> float:
    """The value in force: the environment's, else the default. Raises KeyError for an unknown name."""
    known = OPTIONS[name]
    given = os.environ.get(f"MINGJIAN_{name.upper()}")
    return float(given) if given else known.default
