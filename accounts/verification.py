"""The verification queue (DS-09a): pull the next pending identity, hold it by a lease with a heartbeat, decide, give it
back. One identity a person and one person an identity, by the database's clock, as at the review desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from accounts import code_senders, identities, numbers
from accounts.models import Identity, OneTimeCode, VerificationLease
from accounts.states import IDENTITY
from core.errors import Conflict, NotFound
from core.options import option
from core.roles import check
from core.sql import run
from core.states import check_move

VERIFY, REJECT = "verify", "reject"
_DONE = {VERIFY: "verified", REJECT: "rejected"}
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Held:
    """An identity that a person holds, by which token and until when."""

    identity_id: UUID
    token: UUID
    until: datetime


class LeaseLost(Conflict):
    """The lease ran out or somebody else has the identity; the sentence says who."""


def next_identity(*, by: Any) -> Held | None:
    """The identity the person holds, else the oldest that nobody holds: those that still wait for the verification
    service, or for the code that the user was sent, come after the ready ones. None when there is nothing to do."""
    check(by, "identity.decide")
    for _attempt in range(_TRIES):
        run("accounts/end_leases", {})
        if held := held_by(by):
            return take(identity_id=held.identity_id, by=by)
        with transaction.atomic():
            identity = _first_free()
            if identity is None:
                return None
            lease = VerificationLease(identity=identity, staff_id=by.pk, until=_until())
            # Ignored: a colleague's lease committed since we looked, or the same person pulled twice. Then look again.
            VerificationLease.objects.bulk_create([lease], ignore_conflicts=True)
        held = held_by(by)
        if held:
            return held
    return None


def _first_free() -> Identity | None:
    held = VerificationLease.objects.filter(identity=OuterRef("pk"))
    free = Identity.objects.filter(~Exists(held), state="pending").order_by("submitted_at", "pk")
    for ready in (True, False):
        # Skipped: a colleague is taking it, or somebody decides it at this moment.
        found = _ready(free, ready).select_for_update(skip_locked=True, of=("self",), no_key=True).first()
        if found:
            return found
    return None


def take(*, identity_id: UUID, by: Any) -> Held:
    """Hold this very identity, giving back what the person held before; again: the same lease, renewed. Refuses when
    somebody else holds it, naming them, and when it is decided already."""
    check(by, "identity.decide")
    try:
        return _take(identity_id, by)
    except IntegrityError:
        # The same person pulled another one at this moment: theirs is the newer wish only by chance, so try once more.
        return _take(identity_id, by)


def _take(identity_id: UUID, by: Any) -> Held:
    with transaction.atomic():
        identity = Identity.objects.select_for_update(of=("self",)).filter(pk=identity_id).first()
        if identity is None:
            raise NotFound("not_found", _("There is no such identity."))
        check_move(IDENTITY, identity.state, VERIFY)
        # Both leases at once and in one order: two people who swap identities must not wait for each other.
        leases = list(
            VerificationLease.objects.select_for_update(of=("self",))
            .filter(Q(identity=identity) | Q(staff_id=by.pk))
            .annotate(in_force=Q(until__gt=Now()))
            .order_by("identity_id")
        )
        mine: VerificationLease | None = None
        for lease in leases:
            if lease.identity_id == identity.pk and lease.in_force:
                if lease.staff_id != by.pk:
                    raise lost(identity.pk)
                mine = lease
        VerificationLease.objects.filter(pk__in=[lease.pk for lease in leases if lease is not mine]).delete()
        if mine is None:
            mine = VerificationLease(identity=identity, staff_id=by.pk)
        return _renewed(mine)


def _renewed(lease: VerificationLease) -> Held:
    lease.until = _until()
    lease.save()
    lease.refresh_from_db(fields=["until"])
    return Held(lease.identity_id, lease.token, lease.until)


def _until() -> Any:
    return Now() + timedelta(seconds=option("verification_lease"))


def held_by(person: Any) -> Held | None:
    """What the person holds now, without taking anything."""
    lease = VerificationLease.objects.filter(staff_id=person.pk, until__gt=Now(), identity__state="pending").first()
    return Held(lease.identity_id, lease.token, lease.until) if lease else None


def heartbeat(*, token: UUID, by: Any, identity_id: UUID | None = None) -> datetime:
    """A sign of life renews the lease; refuses when it was lost, naming who holds the identity now."""
    with transaction.atomic():
        return _renewed(lock_lease(token=token, by=by, identity_id=identity_id)).until


def give_back(*, token: UUID, by: Any, identity_id: UUID | None = None) -> None:
    """The identity goes back to its old place in the queue."""
    check(by, "identity.decide")
    with transaction.atomic():
        lock_lease(token=token, by=by, identity_id=identity_id).delete()


def lock_lease(*, token: UUID, by: Any, identity_id: UUID | None = None) -> VerificationLease:
    """The caller's lease, locked; refuses with a sentence when it ran out or belongs to somebody else."""
    found = VerificationLease.objects.select_for_update(of=("self",)).filter(
        token=token, staff_id=by.pk, until__gt=Now()
    )
    lease = (found.filter(identity_id=identity_id) if identity_id else found).first()
    if lease is None:
        raise lost(identity_id)
    return lease


def lost(identity_id: UUID | None) -> LeaseLost:
    """The refusal for a lease that is gone, naming the present holder where there is one."""
    holding = VerificationLease.objects.select_related("staff").filter(until__gt=Now())
    holder = holding.filter(identity_id=identity_id).first() if identity_id else None
    if holder:
        return LeaseLost(
            "lease_lost",
            _("%(name)s has this identity now. Nothing was changed.") % {"name": holder.staff},
            extra={"held_by": holder.staff.username},
        )
    return LeaseLost("lease_lost", _("You no longer hold this identity: your time ran out. Nothing was changed."))


def decide(*, identity_id: UUID, token: UUID | None, outcome: str, reason: str = "", by: Any) -> Identity:
    """Verify or reject the identity that the person holds by this token, and let go of it. The same form twice is one
    decision. Refuses a lost lease naming who holds it, what somebody else decided, and what `identities.verify` and
    `identities.reject` refuse, a child without a guardian's consent (GEN-07) among it."""
    check(by, "identity.decide")
    if outcome not in _DONE:
        raise numbers.invalid("outcome", "unknown", _("Choose one of the two."))
    with transaction.atomic():
        identity = identities.locked(identity_id)
        if _is_repeated(identity, outcome, reason, by):
            return identity
        check_move(IDENTITY, identity.state, outcome)
        if token is None:
            raise lost(identity_id)
        lease = lock_lease(token=token, by=by, identity_id=identity_id)
        if outcome == VERIFY:
            decided = identities.verify(identity_id=identity_id, by=by)
        else:
            decided = identities.reject(identity_id=identity_id, reason=reason, by=by)
        lease.delete()
    return decided


def _is_repeated(identity: Identity, outcome: str, reason: str, by: Any) -> bool:
    return (
        identity.state == _DONE[outcome]
        and identity.decided_by_id == by.pk
        and (outcome == VERIFY or identity.reject_reason == reason.strip())
    )


def reveal(*, identity_id: UUID, reason: str, by: Any) -> dict[str, str]:
    """Name and number in the clear for the person who holds the identity, or takes it by this where nobody does. The
    ledger's line is committed before the plaintext leaves (security.md §4)."""
    check(by, "identity.decide")
    if not reason.strip():
        raise numbers.invalid("reason", "required", _("Say why you need to see it."))
    take(identity_id=identity_id, by=by)
    return identities.reveal_for_decision(identity_id=identity_id, reason=reason, by=by)


def queue(*, at_most: int) -> list[Identity]:
    """The pending identities in the order in which they are served, each with who holds it (`holder`, else None) and
    whether it is too early for a person to verify it (`is_waiting`)."""
    rows: list[tuple[Identity, bool]] = []
    for ready in (True, False):
        # Two reads, each in the order of the partial index; one that sorts by both would read all that wait.
        if len(rows) < at_most:
            found = _ready(identities.waiting(), ready).order_by("submitted_at", "pk")
            rows += [(one, not ready) for one in found[: at_most - len(rows)]]
    holders = {
        lease.identity_id: lease.staff
        for lease in VerificationLease.objects.select_related("staff").filter(
            identity__in=[one.pk for one, _waits in rows], until__gt=Now()
        )
    }
    for one, waits in rows:
        one.holder, one.is_waiting = holders.get(one.pk), waits  # type: ignore[attr-defined]
    return [one for one, _waits in rows]


def _ready(rows: QuerySet[Identity], ready: bool) -> QuerySet[Identity]:
    """Those that a person can verify now, or those that `identities.verify` would refuse as too early."""
    patience = timedelta(seconds=option("verifier_patience"))
    early = Q(check_state="waiting", asked_at__gt=Now() - patience)
    if code_senders.only_the_code_decides():
        good = OneTimeCode.objects.filter(pk=OuterRef("pk"), expires_at__gt=Now(), tries__lt=option("code_tries"))
        early |= Q(Exists(good), method="mobile")
    return rows.alias(asked_at=Coalesce("checked_at", "submitted_at")).filter(~early if ready else early)
