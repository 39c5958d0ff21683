"""The verdict about a proof of identity (DS-09a/b): verified or rejected by a person, or verified by a machine where
the rules let one. Whoever decides, the same things are asked: the state, the age, the number of accounts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from accounts import code_senders, guardians, notices, numbers, sealing
from accounts.models import Identity, OneTimeCode, User
from accounts.states import IDENTITY
from core import audit, crypto, outbox
from core.errors import Conflict, NotFound
from core.options import option
from core.roles import check
from core.states import check_move, transition

ADULT = 18


def locked(identity_id: UUID) -> Identity:
    """The identity with its user, both locked, the user first as everywhere: two people deciding at once queue up here
    and the second finds it decided. Refuses with 404; needs an open transaction."""
    owner = Identity.objects.filter(pk=identity_id).values_list("user_id", flat=True).first()
    if owner is None:
        raise NotFound("not_found", _("There is no such identity."))
    user = User.objects.select_for_update().get(pk=owner)
    identity = Identity.objects.select_for_update(of=("self",)).get(pk=identity_id)
    identity.user = user
    return identity


def verify(*, identity_id: UUID, by: Any) -> Identity:
    """An identity admin confirms that this is who they say they are. The user may publish from then on, and items that
    waited for it are evaluated again. Refuses with 409 what is decided already, what the verification service still
    has time to answer, a child without a guardian's consent (GEN-07) and one account too many."""
    check(by, "identity.decide")
    with transaction.atomic():
        identity = locked(identity_id)
        check_move(IDENTITY, identity.state, "verify")
        _refuse_before_its_time(identity)
        return accept(identity, by=by)


def reject(*, identity_id: UUID, reason: str, by: Any) -> Identity:
    """An identity admin says no, with a reason that the user will read."""
    check(by, "identity.decide")
    if not reason.strip():
        raise numbers.invalid("reason", "required", _("Say why: the user will read it."))
    with transaction.atomic():
        identity = locked(identity_id)
        identity.decided_by, identity.decided_at, identity.reject_reason = by, Now(), reason.strip()
        identity.rejected_by, identity.verified_by_method = by, ""
        also = ["decided_by", "decided_at", "reject_reason", "rejected_by", "verified_by_method"]
        transition(IDENTITY, identity, "reject", by=by, also=[*also, *end_check(identity)])
        user = identity.user
        user.identity_status = "rejected"
        user.save(update_fields=["identity_status"])
        audit.record(action="user.identity_rejected", subject=f"user:{user.pk}", by=by)
        notices.tell(user=user, kind="identity_rejected", reason=identity.reject_reason)
    return identity


# The parts below need the lock of `locked()`; an overturned rejection goes through `accept` like everything else.


def accept(
    identity: Identity, *, by: Any, action: str = "verify", method: str = "", also: Iterable[str] = ()
) -> Identity:
    """Verify a locked identity by this move. `method` names the verifier that stands for a decision without a person;
    then nobody is written down as having decided. Refuses with 409: `state_forbids`, `account_frozen`,
    `identity_unreadable`, `guardian_consent_required`, `identity_limit`."""
    check_move(IDENTITY, identity.state, action)
    user = identity.user
    if user.frozen_at is not None:
        raise Conflict("account_frozen", _("This account's data is only kept, not used, until its term is over."))
    born = _born(identity)
    _ask_for_guardian(user, born)
    _refuse_one_too_many(identity)
    identity.decided_by, identity.decided_at = None if method else by, Now()
    identity.verified_by_method, identity.expires_at = method, _expiry()
    fields = ["decided_by", "decided_at", "verified_by_method", "expires_at", *also, *end_check(identity)]
    transition(IDENTITY, identity, action, by=by, data={"method": method} if method else None, also=fields)
    user.identity_status, user.reverify_reason, user.reverify_by = "verified", "", None
    changed = ["identity_status", "reverify_reason", "reverify_by"]
    if born is not None:
        user.minor = numbers.age(born) < ADULT
        changed.append("minor")
    user.save(update_fields=changed)
    audit.record(action="user.identity_verified", subject=f"user:{user.pk}", by=by)
    outbox.emit("internal.user_may_publish", subject=str(user.pk), payload={})
    return identity


def accept_without_person(identity: Identity, *, method: str, by: Any) -> str:
    """Verify a locked pending identity because a machine is sure; answers "" or the code of why a person must look:
    the account was abnormal or its profile changed (GEN-10, GEN-12), its user is a child, or what `accept` refuses."""
    if identity.user.reverify_reason not in ("", "expired"):
        return "person_must_look"
    if _known_as_child(identity.user):
        return "guardian_consent_required"
    try:
        accept(identity, by=by, method=method)
    except Conflict as refused:  # before anything was written
        return refused.code
    return ""


def end_check(identity: Identity) -> list[str]:
    """Close what an outside verifier was asked, and forget the national service's token that was kept for it; answers
    the fields to save."""
    fields = []
    if identity.check_state == "waiting":
        identity.check_state, identity.check_detail = "unavailable", "decided_before"
        fields += ["check_state", "check_detail"]
    if identity.method == "network_identity" and identity.number_sealed:
        identity.number_sealed = None
        fields.append("number_sealed")
    return fields


def waits_for_service(identity: Identity) -> bool:
    """Whether the verification service still has time to answer, by the database's clock; until then no person
    verifies."""
    if identity.check_state != "waiting":
        return False
    patience = timedelta(seconds=option("verifier_patience"))
    waiting = Identity.objects.filter(pk=identity.pk, state="pending", check_state="waiting")
    return waiting.alias(asked_at=Coalesce("checked_at", "submitted_at")).filter(asked_at__gt=Now() - patience).exists()


def queue_up(digest: bytes) -> None:
    """Wait for the turn of whoever counts something about one number, until the end of the transaction. Taken after the
    locks of user and identity, by everybody."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])


def _refuse_before_its_time(identity: Identity) -> None:
    if waits_for_service(identity):
        raise Conflict(
            "check_waiting",
            _("The verification service is still being asked. If it gives no answer in %(minutes)d min, decide alone.")
            % {"minutes": -(-int(option("verifier_patience")) // 60)},
        )
    if identity.method == "mobile" and code_senders.only_the_code_decides() and _code_is_good(identity):
        raise Conflict("code_waiting", _("The user was sent a code and can still enter it."))


def _code_is_good(identity: Identity) -> bool:
    return OneTimeCode.objects.filter(pk=identity.pk, expires_at__gt=Now(), tries__lt=option("code_tries")).exists()


def _expiry() -> Any:
    days = option("identity_expiry_days")
    return ExpressionWrapper(Now() + timedelta(days=days), output_field=DateTimeField()) if days > 0 else None


def _born(identity: Identity) -> date | None:
    """The date of birth in the identity's number, or None where its kind holds none."""
    if identity.method not in ("id_number", "document"):
        return None
    try:
        return numbers.birth_of(identity.method, sealing.number_of(identity), identity.document_kind)
    except crypto.Unreadable:
        raise Conflict(
            "identity_unreadable", _("What is stored can't be opened. Don't verify it; tell the administrator.")
        ) from None


def _is_child(born: date | None) -> bool:
    return born is not None and numbers.age(born) < option("guardian_age")


def _ask_for_guardian(user: User, born: date | None) -> None:
    if _is_child(born) and guardians.in_force(user) is None:
        raise Conflict(
            "guardian_consent_required",
            _("A child under %(age)d: record the guardian's consent first.") % {"age": int(option("guardian_age"))},
        )


def _known_as_child(user: User) -> bool:
    """Whether any number this user ever handed in says that they are a child: one who was told to bring a guardian
    must not get in by a mobile number instead."""
    for earlier in Identity.objects.filter(user=user, method__in=["id_number", "document"]).order_by("-pk")[:10]:
        try:
            if _is_child(numbers.birth_of(earlier.method, sealing.number_of(earlier), earlier.document_kind)):
                return True
        except crypto.Unreadable:
            return True  # what can't be read is for a person
    return False


def _refuse_one_too_many(identity: Identity) -> None:
    """One identity has at most `accounts_per_identity` accounts. Verifications of one identity queue up at a lock on
    its digest: counted without it, two at once would each find the last place free."""
    most = int(option("accounts_per_identity"))
    if most <= 0 or not identity.number_digest:
        return
    digest = bytes(identity.number_digest)
    queue_up(digest)
    others = Identity.objects.filter(number_digest=digest, state="verified").exclude(user_id=identity.user_id)
    if others.count() >= most:
        raise Conflict(
            "identity_limit",
            _("This identity already has %(n)d verified accounts; more are not allowed.") % {"n": most},
            extra={"limit": most},
        )
