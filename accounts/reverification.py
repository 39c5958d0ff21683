"""When an identity must be proved again: it expired, the profile changed (GEN-10), the account is abnormal (GEN-12)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from accounts import notices, numbers, verdicts
from accounts.models import Identity, User
from accounts.notice_words import LANGUAGE
from accounts.states import IDENTITY
from core import audit
from core.errors import Conflict, Forbidden
from core.options import option
from core.roles import may
from core.states import transition

REASONS = {
    "expired": _("The identity was verified long ago"),
    "profession": _("The profession changed"),
    "institution": _("The institution changed"),
    "profile": _("What the account says of its owner changed"),
    "abnormal": _("The account is abnormal"),
}
CHANGES = ("profession", "institution", "profile")
CLOCK = "system:clock"
ROUND = 500


def because(*, user: User, reason: str, by: Any) -> bool:
    """The profile changed: a verified identity goes back to the queue and its user may not publish until a person has
    looked (GEN-10); of a pending one no machine decides any more. Answers whether anything changed. The caller answers
    for who may change a profile. Raises KeyError for a reason that is none of CHANGES."""
    if reason not in CHANGES:
        raise KeyError(reason)
    with transaction.atomic():
        identity = _held(user, "verified", "pending")
        if identity is None:
            return False
        locked = identity.user
        if identity.state == "verified":
            # A fresh question: what was decided, and by whom, stays in the history.
            identity.decided_by = identity.decided_at = identity.expires_at = None
            identity.verified_by_method, identity.rejected_by, identity.overturn_by = "", None, None
            also = ["decided_by", "decided_at", "expires_at", "verified_by_method", "rejected_by", "overturn_by"]
            transition(IDENTITY, identity, "recheck", by=by, data={"why": reason}, also=also)
        locked.identity_status, locked.reverify_by = "pending", None
        if locked.reverify_reason != "abnormal":  # the stronger reason stays
            locked.reverify_reason = reason
        locked.save(update_fields=["identity_status", "reverify_reason", "reverify_by"])
        audit.record(action="user.identity_recheck", subject=f"user:{locked.pk}", by=by, data={"why": reason})
    _copy(locked, user)
    return True


def demand(*, user: User, reason: str, by: Any) -> User:
    """The account behaves abnormally: its identity no longer counts from this moment and must be handed in again, to be
    verified by a person (GEN-12). The user is told the `reason`. Refuses with 403 without `identity.decide` or
    `measure.apply`, and with 409 where there is nothing to prove again."""
    if not (may(by, "identity.decide") or may(by, "measure.apply")):
        raise Forbidden("forbidden", _("Your role does not include this."), extra={"permission": "identity.decide"})
    if not reason.strip():
        raise numbers.invalid("reason", "required", _("Say why: the user will read it."))
    with transaction.atomic():
        identity = _held(user, "verified", "pending")
        if identity is None:
            raise Conflict("nothing_to_prove_again", _("This user has no identity that could be proved again."))
        also = verdicts.end_check(identity)
        transition(IDENTITY, identity, "demand", by=by, reason=reason.strip(), also=also)
        locked = identity.user
        locked.identity_status, locked.reverify_reason, locked.reverify_by = "pending", "abnormal", None
        locked.save(update_fields=["identity_status", "reverify_reason", "reverify_by"])
        audit.record(action="user.identity_demanded", subject=f"user:{locked.pk}", by=by, reason=reason.strip())
        notices.tell(user=locked, kind="identity_again", reason=reason)
    _copy(locked, user)
    return user


def run_due() -> tuple[int, int]:
    """What the clock does, by the database's time: begin the grace of identities that expired, and end the grace of
    those that were not proved again. Answers how many of each."""
    begun = sum(_begin_grace(pk) for pk in _expired_ids())
    ended = sum(_end_grace(pk) for pk in _overdue_ids())
    return begun, ended


def _expired_ids() -> list[UUID]:
    # A honey record stays as it was planted: nobody is there to prove anything.
    due = Identity.objects.filter(state="verified", expires_at__lte=Now(), user__reverify_by=None, user__honey=None)
    return list(due.order_by("expires_at").values_list("pk", flat=True)[:ROUND])


def _begin_grace(identity_id: UUID) -> bool:
    with transaction.atomic():
        identity = verdicts.locked(identity_id)
        # Asked again under the lock: verified anew, replaced or seen by another clock meanwhile.
        if identity.user.reverify_by or not _expired(identity):
            return False
        user = identity.user
        grace = timedelta(days=option("identity_grace_days"))
        user.reverify_reason = "expired"
        user.reverify_by = ExpressionWrapper(Now() + grace, output_field=DateTimeField())
        user.save(update_fields=["reverify_reason", "reverify_by"])
        audit.record(action="user.identity_expiring", subject=f"user:{user.pk}", by=CLOCK)
        user.refresh_from_db(fields=["reverify_by"])
        _tell_that_it_expired(user)
    return True


def _expired(identity: Identity) -> bool:
    return Identity.objects.filter(pk=identity.pk, state="verified", expires_at__lte=Now()).exists()


def _overdue_ids() -> list[UUID]:
    due = Identity.objects.filter(state="verified", user__reverify_by__lte=Now())
    return list(due.order_by("user__reverify_by").values_list("pk", flat=True)[:ROUND])


def _end_grace(identity_id: UUID) -> bool:
    with transaction.atomic():
        identity = verdicts.locked(identity_id)
        user = identity.user
        if identity.state != "verified" or not User.objects.filter(pk=user.pk, reverify_by__lte=Now()).exists():
            return False
        transition(IDENTITY, identity, "expire", by=CLOCK)
        user.identity_status, user.reverify_by = "pending", None
        user.save(update_fields=["identity_status", "reverify_by"])
        audit.record(action="user.identity_expired", subject=f"user:{user.pk}", by=CLOCK)
        _tell_that_it_expired(user)
    return True


def _tell_that_it_expired(user: User) -> None:
    with translation.override(LANGUAGE):
        reason = str(REASONS["expired"])
    notices.tell(user=user, kind="identity_again", reason=reason, until=user.reverify_by)


def _held(user: User, *states: str) -> Identity | None:
    """The user's identity in one of these states, locked after its user."""
    locked = User.objects.select_for_update().get(pk=user.pk)
    identity = Identity.objects.select_for_update(of=("self",)).filter(user=locked, state__in=states).first()
    if identity is not None:
        identity.user = locked
    return identity


def _copy(locked: User, user: User) -> None:
    """Bring the caller's copy up to date with what was written."""
    user.identity_status, user.reverify_reason, user.reverify_by = (
        locked.identity_status,
        locked.reverify_reason,
        locked.reverify_by,
    )
