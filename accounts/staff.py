"""The people who work here."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Staff
from core import audit, roles
from core.errors import Conflict, NotFound, Refusal, field_error


def new_password() -> str:
    """A first password of 120 random bits."""
    return secrets.token_urlsafe(15)


def create_staff(
    *, username: str, display_name: str, role: str, by: Any, password: str | None = None
) -> tuple[Staff, str]:
    """Give a person an account with one role; returns it with its first password (made here unless given). Refuses an
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
    """Close or reopen a colleague's account; nobody does it to themselves."""
    roles.check(by, "staff.manage")
    if staff_id == by.pk:
        raise Refusal("own_account", _("Nobody closes or changes their own account."), status=403)
    with transaction.atomic():
        staff = Staff.objects.select_for_update().filter(pk=staff_id).first()
        if staff is None:
            raise NotFound("not_found", _("There is no such person."))
        if staff.is_active != active:
            staff.is_active = active
            staff.save(update_fields=["is_active"])
            audit.record(action="staff.opened" if active else "staff.closed", subject=f"staff:{staff.pk}", by=by)
    return staff
