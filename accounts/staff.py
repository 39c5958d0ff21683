"""The people who work here."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts import emergency, sessions
from accounts.models import Staff
from core import audit, roles
from core.errors import Conflict, NotFound, Refusal, field_error


def new_password() -> str:
    """A first password of 120 random bits."""
    return secrets.token_urlsafe(15)


def create_staff(
    *, username: str, display_name: str, role: str, by: Any, password: str | None = None
) -> tuple[Staff, str]:
    """Give a person an account with one role; returns it with its first password (made here unless given). For the
    command line and the demonstration: on the pages colleagues are invited (accounts/invitations.py). Refuses an
    unknown role, a weak password and a user name that is taken."""
    if not (isinstance(by, str) and by.startswith("system:")):
        roles.check(by, "staff.manage")
    if role not in roles.ROLES:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("role", "unknown", _("Unknown role."))],
        )
    password = password or new_password()
    staff = Staff(username=username, display_name=display_name, role=role)
    try:
        validate_password(password, staff)
        staff.clean_fields(exclude=["password"])
    except ValidationError as wrong:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("password", "weak", " ".join(wrong.messages))],
        ) from wrong
    staff.set_password(password)
    try:
        with transaction.atomic():
            staff.save(force_insert=True)
            audit.record(action="staff.created", subject=f"staff:{staff.pk}", by=by, data={"role": role})
    except IntegrityError as taken:
        raise Conflict("username_taken", _("This user name is taken.")) from taken
    return staff, password


def set_active(*, staff_id: UUID, active: bool, by: Any) -> Staff:
    """Close or reopen a colleague's account; nobody does it to themselves. Closing ends their sessions and emergency
    rights at once."""
    with transaction.atomic():
        staff = _colleague(staff_id, by)
        if staff.is_active != active:
            staff.is_active = active
            staff.save(update_fields=["is_active"])
            audit.record(action="staff.opened" if active else "staff.closed", subject=f"staff:{staff.pk}", by=by)
            if not active:
                _send_away(staff, "closed", by)
    return staff


def change_role(*, staff_id: UUID, role: str, by: Any) -> Staff:
    """Give a colleague another role; nobody does it to themselves. It takes effect at once: their sessions and emergency
    rights end. The same role again changes nothing."""
    roles.check(by, "staff.manage")
    if role not in roles.ROLES:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("role", "unknown", _("Unknown role."))],
        )
    with transaction.atomic():
        staff = _colleague(staff_id, by)
        if staff.role != role:
            before, staff.role = staff.role, role
            staff.save(update_fields=["role"])
            audit.record(
                action="staff.role_changed", subject=f"staff:{staff.pk}", by=by, data={"from": before, "to": role}
            )
            _send_away(staff, "role", by)
    return staff


def _colleague(staff_id: UUID, by: Any) -> Staff:
    roles.check(by, "staff.manage")
    if staff_id == by.pk:
        raise Refusal("own_account", _("Nobody closes or changes their own account."), status=403)
    # Both rows, always in the same order, and the right of who acts as it is now: two administrators who demote each
    # other at the same moment would otherwise both succeed and leave the house without one.
    rows = {
        staff.pk: staff for staff in Staff.objects.select_for_update().filter(pk__in=[staff_id, by.pk]).order_by("pk")
    }
    roles.check(rows.get(by.pk), "staff.manage")
    if staff_id not in rows:
        raise NotFound("not_found", _("There is no such person."))
    return rows[staff_id]


def _send_away(staff: Staff, why: str, by: Any) -> None:
    sessions.close(staff.pk, why)
    emergency.end_of(staff_id=staff.pk, by=by)
