"""Real identity (DS-09a/b): a user hands it in, a verifier or an identity admin verifies it or rejects it with a reason.

Four methods and foreign documents. This module takes proofs in and finds them; the verdict is `accounts.verdicts`,
one-time codes are `accounts.codes`, the outside service is `accounts.service_checks`, proving again is
`accounts.reverification`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts import codes, numbers, reveals, sealing, service_checks, verdicts
from accounts import documents as pictures
from accounts.models import Identity, User
from accounts.numbers import masked as masked_number
from accounts.numbers import masked_name
from accounts.numbers import normalise as normalise_number
from accounts.sealing import Opened, opened
from accounts.states import IDENTITY
from accounts.verdicts import accept, locked, reject, verify, waits_for_service
from core import audit, crypto
from core.errors import Conflict, NotFound
from core.roles import check
from core.states import transition

__all__ = [
    "Opened",
    "accept",
    "locked",
    "masked_name",
    "masked_number",
    "normalise_number",
    "opened",
    "reject",
    "reveal_for_decision",
    "same_identity",
    "submit",
    "verify",
    "waiting",
    "waits_for_service",
    "with_number",
]


def submit(
    *,
    user: User,
    method: str,
    name: str = "",
    number: str = "",
    token: str = "",
    document_kind: str = "",
    documents: list[str] | None = None,
    by: Any,
) -> Identity:
    """Hand in proof of identity; the user is pending until it is verified. A newer proof replaces one that waits, and
    one that was verified (GEN-10: a change is verified again). Of the national service's token a keyed digest is kept
    (GEN-11). A mobile number is sent a code, a name and number are put to the verification service, each by a job and
    only where one is configured. Refuses with 422 what doesn't fit the method, with 409 for a frozen account."""
    normal, name = _read(user, method, name, number, token, document_kind, documents or [])
    digest = crypto.digest(numbers.for_digest(method, normal, document_kind), f"identity.{method}")
    with transaction.atomic():
        locked_user = User.objects.select_for_update().get(pk=user.pk)
        if locked_user.frozen_at is not None:
            raise Conflict("account_frozen", _("This account's data is only kept, not used, until its term is over."))
        _replace_earlier(locked_user, by)
        identity = Identity(user=locked_user, method=method, document_kind=document_kind, number_digest=digest)
        is_asked = service_checks.is_asked(method, name)
        if method != "network_identity":
            sealing.seal_into(identity, number=normal, name=name)
        elif is_asked:
            # The job must still know it; it goes with the answer (verdicts.end_check).
            sealing.seal_into(identity, number=normal, shown=False)
        identity.check_state = "waiting" if is_asked else "none"
        identity.save(force_insert=True)
        if documents:
            pictures.claim(ids=documents, identity=identity, by=by)
        # A grace ends with the identity that had it.
        locked_user.identity_status, locked_user.reverify_by = "pending", None
        locked_user.save(update_fields=["identity_status", "reverify_by"])
        audit.record(action="identity.submitted", subject=f"user:{locked_user.pk}", by=by, data={"method": method})
        if is_asked:
            service_checks.expect(identity)
        codes.expect(identity)
    user.identity_status = locked_user.identity_status
    return identity


def _read(
    user: User, method: str, name: str, number: str, token: str, document_kind: str, documents: list[str]
) -> tuple[str, str]:
    """The normalised number (or the token) and the name that is kept; refuses what doesn't fit the method."""
    if method not in Identity.METHODS:
        raise numbers.invalid("method", "unknown", _("Unknown method."))
    if document_kind and method != "document":
        raise numbers.invalid("document_kind", "not_for_this_method", _("This belongs to another method."))
    if method == "network_identity":
        if documents:
            raise numbers.invalid("documents", "not_for_this_method", _("This method needs no documents."))
        if not token:
            raise numbers.invalid("token", "required", _("The service's token is needed."))
        return token, ""
    if not number:
        raise numbers.invalid("number", "required", _("A number is needed."))
    normal, name = numbers.normalise(method, number, document_kind), name.strip()
    if method in ("id_number", "document") and not name:
        raise numbers.invalid("name", "required", _("The name that belongs to the number is needed."))
    if method == "document" and not documents:
        raise numbers.invalid("documents", "required", _("A picture of the document is needed."))
    expected = "organization" if method == "uscc" else "person"
    if method in ("uscc", "id_number", "document") and user.kind != expected:
        raise numbers.invalid("method", "not_for_this_kind", _("This method doesn't fit this kind of user."))
    return normal, name


def _replace_earlier(user: User, by: Any) -> None:
    if user.identity_status == "unverified":
        return  # a new user has handed in nothing: registration is the busiest path, and this is a query less
    for earlier in Identity.objects.select_for_update().filter(user=user, state__in=["pending", "verified"]):
        transition(IDENTITY, earlier, "replace", by=by, also=verdicts.end_check(earlier))


def waiting() -> QuerySet[Identity]:
    """Pending identities, oldest first."""
    return Identity.objects.filter(state="pending").select_related("user", "user__service").order_by("submitted_at")


def with_number(method: str, number: str, document_kind: str = "") -> QuerySet[Identity]:
    """Every identity with this number, by its keyed digest."""
    normal = numbers.normalise(method, number, document_kind)
    digest = crypto.digest(numbers.for_digest(method, normal, document_kind), f"identity.{method}")
    return Identity.objects.filter(number_digest=digest)


def same_identity(identity: Identity) -> QuerySet[Identity]:
    """Other users' identities with the same number."""
    return Identity.objects.filter(number_digest=bytes(identity.number_digest or b"")).exclude(user_id=identity.user_id)


def reveal_for_decision(*, identity_id: UUID, reason: str, by: Any) -> dict[str, str]:
    """Name and number in the clear for the person who decides. The ledger line is committed before the plaintext
    leaves, and counts towards the day's limit (security.md §4)."""
    check(by, "identity.decide")
    identity = Identity.objects.filter(pk=identity_id).first()
    if identity is None:
        raise NotFound("not_found", _("There is no such identity."))
    reveals.note(user_id=identity.user_id, reason=reason, by=by)
    number, name = opened(identity)
    return {key: value for key, value in (("number", number), ("name", name)) if value}
