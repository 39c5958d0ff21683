"""Who may do what: every grant of the product on this one page.

`check(person, permission)` refuses with a sentence; `may(person, permission)` is the same rule for buttons. Where the
existence of a thing is secret the view answers 404 instead (see `core.pages.staff_page`).
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from core.errors import Forbidden

MODERATOR = "moderator"
SENIOR = "senior_moderator"
IDENTITY = "identity_admin"
COMPLIANCE = "compliance_officer"
AUDITOR = "auditor"
ADMIN = "admin"

ROLES = {
    MODERATOR: _("Moderator"),
    SENIOR: _("Senior moderator"),
    IDENTITY: _("Identity admin"),
    COMPLIANCE: _("Compliance officer"),
    AUDITOR: _("Auditor"),
    ADMIN: _("Administrator"),
}

EVERYONE = frozenset(ROLES)

GRANTS: dict[str, frozenset[str]] = {
    # reading
    "overview.view": EVERYONE,
    "account.own": EVERYONE,
    "submission.view": frozenset({MODERATOR, SENIOR, COMPLIANCE, AUDITOR}),
    "user.view": frozenset({MODERATOR, SENIOR, IDENTITY, COMPLIANCE, AUDITOR}),
    "feature.view": frozenset({MODERATOR, SENIOR, COMPLIANCE, AUDITOR}),
    "policy.view": frozenset({MODERATOR, SENIOR, COMPLIANCE, AUDITOR}),
    "rumor.view": frozenset({MODERATOR, SENIOR, COMPLIANCE, AUDITOR}),
    "report.view": frozenset({COMPLIANCE, AUDITOR}),
    "staff.view": frozenset({ADMIN, AUDITOR}),
    "settings.view": frozenset({ADMIN, COMPLIANCE, AUDITOR}),
    "metrics.view": frozenset({ADMIN, AUDITOR}),
    # deciding
    "review.work": frozenset({MODERATOR, SENIOR}),
    "review.senior": frozenset({SENIOR}),
    "feature.propose": frozenset({MODERATOR, SENIOR}),
    "feature.approve": frozenset({SENIOR, COMPLIANCE}),
    "policy.draft": frozenset({SENIOR, COMPLIANCE}),
    "policy.approve": frozenset({SENIOR, COMPLIANCE}),
    "backtest.view": frozenset({SENIOR, COMPLIANCE, AUDITOR}),
    "backtest.run": frozenset({SENIOR, COMPLIANCE}),
    "model.view": frozenset({SENIOR, COMPLIANCE, AUDITOR}),
    "model.train": frozenset({SENIOR}),
    "model.approve": frozenset({SENIOR, COMPLIANCE}),
    "source_unit.view": frozenset({MODERATOR, SENIOR, COMPLIANCE, AUDITOR}),
    "source_unit.manage": frozenset({COMPLIANCE}),
    "identity.decide": frozenset({IDENTITY}),
    "identity.overturn": frozenset({IDENTITY}),
    "user.import": frozenset({IDENTITY}),
    "guardian.record": frozenset({IDENTITY}),
    "person_request.view": frozenset({IDENTITY, COMPLIANCE, AUDITOR}),
    "person_request.work": frozenset({COMPLIANCE, IDENTITY}),
    "appeal.view": frozenset({SENIOR, IDENTITY, COMPLIANCE, AUDITOR}),
    "appeal.decide": frozenset({SENIOR, IDENTITY, COMPLIANCE}),
    "document.view": EVERYONE,
    "document.publish": frozenset({COMPLIANCE}),
    "reveal.review": frozenset({COMPLIANCE, AUDITOR}),
    "alarm.see": frozenset({COMPLIANCE, AUDITOR, ADMIN}),
    "glass.view": frozenset({SENIOR, COMPLIANCE, AUDITOR, ADMIN}),
    "glass.break": frozenset({SENIOR, COMPLIANCE, ADMIN}),
    "glass.review": frozenset({AUDITOR}),
    "honey.plant": frozenset({AUDITOR}),
    "measure.apply": frozenset({SENIOR, IDENTITY, COMPLIANCE}),
    "measure.close": frozenset({SENIOR, COMPLIANCE}),
    "measure.lift": frozenset({SENIOR, IDENTITY, COMPLIANCE}),
    "rumor.open": frozenset({MODERATOR, SENIOR, COMPLIANCE}),
    "rumor.work": frozenset({COMPLIANCE}),
    "report.make": frozenset({COMPLIANCE}),
    "gate.operate": frozenset({COMPLIANCE}),
    # running the house
    "client.manage": frozenset({ADMIN}),
    "webhook.manage": frozenset({ADMIN}),
    "staff.manage": frozenset({ADMIN}),
    "job.retry": frozenset({ADMIN, SENIOR}),
}

# What somebody may do beyond their role while the glass is broken (accounts/emergency.py): see everything that is shown
# masked, and stop or undo harm. Everything here ends with the emergency or is reversible. Never: deciding about people
# or content, reveals, accounts and roles of the staff, keys and addresses that would outlive it, and its own review.
EMERGENCY = frozenset(
    {
        *(permission for permission in GRANTS if permission.endswith(".view")),
        "alarm.see",
        "gate.operate",
        "measure.lift",
        "job.retry",
    }
)


def role_of(person: Any) -> str:
    """The role name of a staff member; empty for anybody else."""
    if person is None or not getattr(person, "is_authenticated", False) or not getattr(person, "is_active", False):
        return ""
    return getattr(person, "role", "")


def may(person: Any, permission: str) -> bool:
    """Whether this person's role carries the permission, or the rights they took in an emergency that is still open.
    An unknown permission is a programming error (KeyError)."""
    holders, role = GRANTS[permission], role_of(person)
    if role in holders:
        return True
    return bool(role) and permission in EMERGENCY and bool(getattr(person, "emergency", None))


def check(person: Any, permission: str) -> None:
    """Refuse with 403 unless the person's role carries the permission."""
    if not may(person, permission):
        raise Forbidden("forbidden", _("Your role does not include this."), extra={"permission": permission})


def actor(person: Any) -> str:
    """How the ledger names who acted: text, never a foreign key, never a personal name."""
    if isinstance(person, str):
        return person
    if getattr(person, "role", ""):
        return f"staff:{person.get_username()}"
    return f"client:{getattr(person, 'prefix', None) or person}"
