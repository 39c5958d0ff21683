"""Invitations: how a colleague gets an account. They set their own password, so that nobody else ever knows it
(ASVS 6.4.6); the link they were given works once, for a while, and only as long as who invited them may invite."""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from accounts.models import Invitation, Staff
from core import audit, crypto, jobs, mail, roles
from core.errors import Conflict, NotFound, Refusal, field_error
from core.options import option


def invite(
    *, username: str, display_name: str, role: str, by: Any, email: str = "", base_url: str = ""
) -> tuple[Invitation, str]:
    """Ask somebody to join with one role; answers the invitation and its token, which is shown once and kept nowhere.
    With an address and a mail server the link is sent, too (`base_url`: where this installation answers). Refuses an
    unknown role, what doesn't fit the fields, a user name or address that is taken, and one's own address."""
    roles.check(by, "staff.manage")
    email = email.strip()
    made = Invitation(username=username, display_name=display_name, role=role, email=email, invited_by_id=by.pk)
    _check_fields(made)
    if email and email.lower() == (by.email or "").lower():
        raise Refusal("own_account", _("Nobody invites themselves."), status=403)
    token = secrets.token_urlsafe(32)
    made.token_hash = crypto.key_hash(token)
    made.expires_at = Now() + timedelta(days=option("invitation_days"))
    try:
        with transaction.atomic():
            _expire(Invitation.objects.filter(username=username))
            _refuse_known(made)
            made.save(force_insert=True)
            made.refresh_from_db()
            audit.record(action="staff.invited", subject=f"invitation:{made.pk}", by=by, data={"role": role})
            if email and mail.configured():
                sealed = crypto.seal(token, f"invitation:{made.pk}:token")
                jobs.enqueue(
                    "invitation.mail",
                    str(made.pk),
                    {"token": base64.b64encode(sealed).decode(), "base": base_url},
                )
    except IntegrityError as taken:
        raise Conflict("invitation_open", _("Somebody is already invited under this user name.")) from taken
    return made, token


def _check_fields(made: Invitation) -> None:
    errors = []
    if made.role not in roles.ROLES:
        errors.append(field_error("role", "unknown", _("Unknown role.")))
    try:
        made.clean_fields(exclude=["role", "token_hash", "invited_by", "expires_at"])
    except ValidationError as wrong:
        errors += [field_error(name, "invalid", " ".join(said)) for name, said in wrong.message_dict.items()]
    if errors:
        raise Refusal("fields_invalid", _("Some fields can't be taken."), errors=errors)


def _refuse_known(made: Invitation) -> None:
    if Staff.objects.filter(username=made.username).exists():
        raise Conflict("username_taken", _("This user name is taken."))
    # One person, one account: with two of them somebody could approve what they proposed.
    if made.email and Staff.objects.filter(email__iexact=made.email, is_active=True).exists():
        raise Conflict("email_taken", _("A colleague with this address has an account already."))


def find(token: str) -> Invitation | None:
    """The invitation that this token opens now; None for one that was used, revoked, ran out or never was, and for one
    whose sender may not invite any more (contract.md ruling 7)."""
    found = _open(Invitation.objects.filter(token_hash=crypto.key_hash(token))).select_related("invited_by").first()
    return found if found and roles.may(found.invited_by, "staff.manage") else None


def accept(*, token: str, password: str) -> Staff:
    """Make the account that the invitation promises, with a password of the person's own. Once: of two at the same time
    the second finds it used. Refuses a weak password, and with one and the same sentence every token that isn't good."""
    try:
        with transaction.atomic():
            hashed = crypto.key_hash(token)
            if not Invitation.objects.select_for_update(of=("self",)).filter(token_hash=hashed).exists():
                raise _gone()
            invitation = find(token)
            if invitation is None:
                raise _gone()
            staff = Staff(
                username=invitation.username,
                display_name=invitation.display_name,
                role=invitation.role,
                email=invitation.email,
            )
            try:
                validate_password(password, staff)
            except ValidationError as weak:
                raise Refusal(
                    "fields_invalid",
                    _("Some fields can't be taken."),
                    errors=[field_error("password", "weak", " ".join(weak.messages))],
                ) from weak
            staff.set_password(password)
            staff.save(force_insert=True)
            invitation.accepted_at = Now()
            invitation.save(update_fields=["accepted_at"])
            audit.record(action="staff.created", subject=f"staff:{staff.pk}", by=staff, data={"role": staff.role})
            audit.record(
                action="invitation.accepted",
                subject=f"invitation:{invitation.pk}",
                by=staff,
                data={"invited_by": str(invitation.invited_by_id)},
            )
    except IntegrityError as taken:
        raise Conflict("username_taken", _("This user name is taken.")) from taken
    return staff


def revoke(*, invitation_id: UUID, by: Any) -> Invitation:
    """Take an invitation back; its link opens nothing from then on. Refuses one that was accepted."""
    roles.check(by, "staff.manage")
    with transaction.atomic():
        invitation = Invitation.objects.select_for_update().filter(pk=invitation_id).first()
        if invitation is None:
            raise NotFound("not_found", _("There is no such invitation."))
        if invitation.accepted_at:
            raise Conflict("already_accepted", _("This invitation was accepted already. Close the account instead."))
        if invitation.revoked_at is None:
            invitation.revoked_at = Now()
            invitation.save(update_fields=["revoked_at"])
            audit.record(action="invitation.revoked", subject=f"invitation:{invitation.pk}", by=by)
    return invitation


def opened() -> QuerySet[Invitation]:
    """Invitations that can still be accepted, the newest first."""
    return _open(Invitation.objects.all()).select_related("invited_by").order_by("-created_at")


def expire_due() -> int:
    """Close invitations that ran out, so that their user names are free again; run by beat. Returns how many."""
    with transaction.atomic():
        return _expire(Invitation.objects.all())


def _open(rows: QuerySet[Invitation]) -> QuerySet[Invitation]:
    return rows.filter(accepted_at=None, revoked_at=None, expires_at__gt=Now())


def _expire(rows: QuerySet[Invitation]) -> int:
    overdue = Q(accepted_at=None, revoked_at=None, expires_at__lte=Now())
    ended = 0
    for invitation in rows.select_for_update(of=("self",)).filter(overdue):
        invitation.revoked_at = invitation.expires_at
        invitation.save(update_fields=["revoked_at"])
        audit.record(action="invitation.expired", subject=f"invitation:{invitation.pk}", by="system:clock")
        ended += 1
    return ended


def _gone() -> NotFound:
    return NotFound(
        "invitation_gone", _("This invitation is not good any more: it was used, taken back, or its time is over.")
    )


def letter(job: jobs.Claimed) -> None:
    """Send the link to who was invited. The token lies sealed in the job and nowhere else."""
    invitation = _open(Invitation.objects.filter(pk=job.subject)).first()
    if invitation is None or not invitation.email or not mail.configured():
        return
    token = crypto.unseal(base64.b64decode(job.payload["token"]), f"invitation:{invitation.pk}:token")
    link = mail.address(reverse("invitation", args=[token]), job.payload["base"])
    said = [
        _now("You are invited to work with Mingjian as %(role)s.") % {"role": roles.ROLES[invitation.role]},
        _now("Open this link and choose a password. It works once:"),
        link,
        _now("If you did not expect this, do nothing."),
    ]
    mail.send(to=[invitation.email], subject=_now("Invitation to Mingjian"), text="\n\n".join(said))


KIND = jobs.register(jobs.Kind("invitation.mail", mail.sends(letter), queue="courier", lease="webhook_lease"))
