"""A second look at rejected identities: one person proposes to overturn the rejection, another one carries it out who
neither rejected nor proposed. The database holds that too (`only_another_person_overturns_a_rejection`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import identities, numbers
from accounts.models import Identity
from accounts.states import IDENTITY
from core import audit
from core.errors import Conflict, Forbidden
from core.roles import check, may
from core.states import check_move


def propose(*, identity_id: UUID, reason: str, by: Any) -> Identity:
    """Propose that a rejection was wrong; anybody may whose role includes it, the rejecter too. Refuses without a
    reason, while a proposal waits, and when the user has handed in another proof since."""
    check(by, "identity.overturn")
    if not reason.strip():
        raise numbers.invalid("reason", "required", _("Say why the rejection was wrong."))
    with transaction.atomic():
        identity = identities.locked(identity_id)
        check_move(IDENTITY, identity.state, "overturn")
        _check_newest(identity)
        if identity.overturn_by_id is not None:
            raise Conflict("already_proposed", _("Somebody proposed this already; it waits for a decision."))
        # Rejections from before this column name their decider only; the constraint needs the rejecter.
        identity.rejected_by_id = _rejecter(identity)
        identity.overturn_by, identity.overturn_at, identity.overturn_reason = by, Now(), reason.strip()
        identity.save(update_fields=["rejected_by", "overturn_by", "overturn_at", "overturn_reason"])
        identity.refresh_from_db(fields=["overturn_at"])
        audit.record(
            action="identity.overturn_proposed",
            subject=f"user:{identity.user_id}",
            by=by,
            reason=reason.strip(),
            data={"identity": str(identity.pk)},
        )
    return identity


def approve(*, identity_id: UUID, seen: datetime, by: Any) -> Identity:
    """Carry out a proposal: the identity is verified and the user may publish. `seen` is when the proposal was made that
    the person read; another one meanwhile is refused. Refuses the rejecter, the proposer, a newer proof of the user, and
    what `identities.accept` refuses, a child without a guardian's consent (GEN-07) among it."""
    check(by, "identity.overturn")
    with transaction.atomic():
        identity = _proposed(identity_id, seen)
        if not may_carry_out(identity, by):
            raise Forbidden(
                "another_person_needed", _("Whoever rejected it or proposed this can't carry it out. Ask a colleague.")
            )
        _check_newest(identity)
        identities.accept(identity, by=by, action="overturn")
        audit.record(
            action="identity.overturned",
            subject=f"user:{identity.user_id}",
            by=by,
            reason=identity.overturn_reason,
            data={"identity": str(identity.pk)},
        )
    return identity


def decline(*, identity_id: UUID, reason: str, seen: datetime, by: Any) -> Identity:
    """Let a rejection stand. The proposer may withdraw their own proposal; the rejecter doesn't judge somebody else's."""
    check(by, "identity.overturn")
    if not reason.strip():
        raise numbers.invalid("reason", "required", _("Say why the rejection stands."))
    with transaction.atomic():
        identity = _proposed(identity_id, seen)
        if by.pk == _rejecter(identity) and by.pk != identity.overturn_by_id:
            raise Forbidden("another_person_needed", _("You rejected it: somebody else looks at the proposal."))
        identity.overturn_by, identity.overturn_at, identity.overturn_reason = None, None, ""
        identity.save(update_fields=["overturn_by", "overturn_at", "overturn_reason"])
        audit.record(
            action="identity.overturn_declined",
            subject=f"user:{identity.user_id}",
            by=by,
            reason=reason.strip(),
            data={"identity": str(identity.pk)},
        )
    return identity


def reveal(*, identity_id: UUID, reason: str, by: Any) -> dict[str, str]:
    """Name and number in the clear for whoever may carry the proposal out; the ledger's line first."""
    check(by, "identity.overturn")
    identity = proposed().filter(pk=identity_id).first()
    if identity is None:
        raise Conflict("not_proposed", _("This isn't proposed any more."))
    if not may_carry_out(identity, by):
        raise Forbidden("another_person_needed", _("Only who may carry it out looks at it. Ask a colleague."))
    return identities.reveal_for_decision(identity_id=identity_id, reason=reason, by=by)


def may_look(identity: Identity, person: Any) -> bool:
    """Whether this identity is in the second look for this person."""
    is_proposed = identity.state == "rejected" and identity.overturn_by_id is not None
    return is_proposed and may(person, "identity.overturn") and may_carry_out(identity, person)


def may_carry_out(identity: Identity, person: Any) -> bool:
    """Whether this person is neither the rejecter nor the proposer."""
    return person.pk not in (_rejecter(identity), identity.overturn_by_id)


def proposed() -> QuerySet[Identity]:
    """Proposals that wait for a decision, oldest first."""
    return (
        Identity.objects.filter(state="rejected", overturn_by__isnull=False)
        .select_related("user__service", "overturn_by", "rejected_by", "decided_by")
        .order_by("overturn_at")
    )


def rejected() -> QuerySet[Identity]:
    """Rejections that could be proposed: the user has handed in nothing since that waits or was verified."""
    return (
        Identity.objects.filter(state="rejected", overturn_by=None, user__identity_status="rejected")
        .filter(user__frozen_at=None)
        .select_related("user__service", "decided_by")
    )


def _rejecter(identity: Identity) -> Any:
    return identity.rejected_by_id or identity.decided_by_id


def _proposed(identity_id: UUID, seen: datetime) -> Identity:
    identity = identities.locked(identity_id)
    check_move(IDENTITY, identity.state, "overturn")
    if identity.overturn_by_id is None:
        raise Conflict("not_proposed", _("This isn't proposed any more: somebody declined it."))
    if identity.overturn_at != seen:
        raise Conflict("proposal_changed", _("Another proposal was made since. Read it first."))
    return identity


def _check_newest(identity: Identity) -> None:
    if Identity.objects.filter(user_id=identity.user_id, state__in=["pending", "verified"]).exists():
        raise Conflict("newer_identity", _("The user has handed in another proof since; decide that one."))
    if identity.user.frozen_at is not None:
        raise Conflict("account_frozen", _("This account's data is only kept, not used, until its term is over."))
