"""Real identity (DS-09a/b): a user hands it in, an identity admin verifies it or rejects it with a reason."""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError as NumberError

from accounts.models import Identity, User
from accounts.states import IDENTITY
from core import audit, crypto, outbox
from core.errors import NotFound, Refusal, field_error
from core.roles import check
from core.states import transition

_MOBILE = re.compile(r"1[3-9]\d{9}\Z")


def normalise_number(method: str, number: str) -> str:
    """One spelling per number: full-width digits, spaces and prefixes folded, `x` as `X`. Refuses with 422 a number
    whose check digit or form is wrong (GB 11643, GB 32100)."""
    folded = re.sub(r"[\s\-]", "", unicodedata.normalize("NFKC", number)).upper()
    try:
        if method == "id_number":
            return ric.validate(folded)
        if method == "uscc":
            return uscc.validate(folded)
    except (NumberError, KeyError) as wrong:  # a county that python-stdnum does not list is a KeyError there
        raise _invalid(
            "number", "check_digit", _("This number can't be right: its form or check digit is wrong.")
        ) from wrong
    if method == "mobile":
        folded = re.sub(r"^(?:\+|00)?86(?=1)", "", folded)
        if not _MOBILE.match(folded):
            raise _invalid("number", "invalid", _("This is not a mobile number."))
        return folded
    raise _invalid("method", "unknown", _("Unknown method."))


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])


def masked_number(number: str) -> str:
    """First three and last two characters, e.g. 110***********21."""
    return number[:3] + "*" * max(4, len(number) - 5) + number[-2:]


def masked_name(name: str) -> str:
    """The first character and stars."""
    return name[:1] + "*" * min(3, max(1, len(name) - 1)) if name else ""


def submit(*, user: User, method: str, name: str = "", number: str = "", token: str = "", by: Any) -> Identity:
    """Hand in proof of identity; the user is pending until an admin decides. A newer proof replaces one that waits, and
    one that was verified (GEN-10: a change is verified again). For the national service only a keyed digest of its
    token is kept (GEN-11)."""
    if method not in Identity.METHODS:
        raise _invalid("method", "unknown", _("Unknown method."))
    if method == "network_identity":
        if not token:
            raise _invalid("token", "required", _("The service's token is needed."))
        normal, name = token, ""
    else:
        if not number:
            raise _invalid("number", "required", _("A number is needed."))
        normal = normalise_number(method, number)
    if method == "id_number" and not name:
        raise _invalid("name", "required", _("The name that belongs to the number is needed."))
    expected = "organization" if method == "uscc" else "person"
    if method in ("uscc", "id_number") and user.kind != expected:
        raise _invalid("method", "not_for_this_kind", _("This method doesn't fit this kind of user."))
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        for earlier in Identity.objects.select_for_update().filter(user=locked, state__in=["pending", "verified"]):
            transition(IDENTITY, earlier, "replace", by=by)
        identity = Identity(user=locked, method=method)
        identity.number_digest = crypto.digest(normal, f"identity.{method}")
        if method != "network_identity":
            identity.number_sealed = crypto.seal(normal, f"identity:{identity.pk}:number")
            identity.number_masked = masked_number(normal)
        if name:
            identity.name_sealed = crypto.seal(name, f"identity:{identity.pk}:name")
            identity.name_masked = masked_name(name)
        identity.save(force_insert=True)
        locked.identity_status = "pending"
        locked.save(update_fields=["identity_status"])
        audit.record(action="identity.submitted", subject=f"user:{locked.pk}", by=by, data={"method": method})
    user.identity_status = locked.identity_status
    return identity


def verify(*, identity_id: UUID, by: Any) -> Identity:
    """An identity admin confirms that this is who they say they are. The user may publish from then on, and items that
    waited for it are evaluated again."""
    check(by, "identity.decide")
    with transaction.atomic():
        identity = _locked(identity_id)
        identity.decided_by, identity.decided_at = by, Now()
        transition(IDENTITY, identity, "verify", by=by, also=["decided_by", "decided_at"])
        _set_status(identity.user, "verified", by)
        outbox.emit("internal.user_may_publish", subject=str(identity.user_id), payload={})
    return identity


def reject(*, identity_id: UUID, reason: str, by: Any) -> Identity:
    """An identity admin says no, with a reason that the user will read."""
    check(by, "identity.decide")
    if not reason.strip():
        raise _invalid("reason", "required", _("Say why: the user will read it."))
    with transaction.atomic():
        identity = _locked(identity_id)
        identity.decided_by, identity.decided_at, identity.reject_reason = by, Now(), reason.strip()
        transition(IDENTITY, identity, "reject", by=by, also=["decided_by", "decided_at", "reject_reason"])
        _set_status(identity.user, "rejected", by)
    return identity


def _locked(identity_id: UUID) -> Identity:
    # The user first, as everywhere: two people deciding at once queue up here and the second finds it decided.
    owner = Identity.objects.filter(pk=identity_id).values_list("user_id", flat=True).first()
    if owner is None:
        raise NotFound("not_found", _("There is no such identity."))
    user = User.objects.select_for_update().get(pk=owner)
    identity = Identity.objects.select_for_update(of=("self",)).get(pk=identity_id)
    identity.user = user
    return identity


def _set_status(user: User, status: str, by: Any) -> None:
    user.identity_status = status
    user.save(update_fields=["identity_status"])
    audit.record(action=f"user.identity_{status}", subject=f"user:{user.pk}", by=by)


def waiting() -> QuerySet[Identity]:
    """Pending identities, oldest first."""
    return Identity.objects.filter(state="pending").select_related("user", "user__service").order_by("submitted_at")


def with_number(method: str, number: str) -> QuerySet[Identity]:
    """Every identity with this number, by its keyed digest."""
    return Identity.objects.filter(number_digest=crypto.digest(normalise_number(method, number), f"identity.{method}"))


def same_identity(identity: Identity) -> QuerySet[Identity]:
    """Other users' identities with the same number."""
    return Identity.objects.filter(number_digest=bytes(identity.number_digest or b"")).exclude(user_id=identity.user_id)


def reveal_for_decision(*, identity_id: UUID, reason: str, by: Any) -> dict[str, str]:
    """Name and number in the clear for the person who decides. The ledger line is committed before the plaintext
    leaves (security.md §4)."""
    check(by, "identity.decide")
    if not reason.strip():
        raise _invalid("reason", "required", _("Say why you need to see it."))
    identity = Identity.objects.filter(pk=identity_id).first()
    if identity is None:
        raise NotFound("not_found", _("There is no such identity."))
    with transaction.atomic():
        audit.record(action="identity.revealed", subject=f"user:{identity.user_id}", by=by, reason=reason.strip())
    shown = {}
    if identity.number_sealed:
        shown["number"] = crypto.unseal(bytes(identity.number_sealed), f"identity:{identity.pk}:number")
    if identity.name_sealed:
        shown["name"] = crypto.unseal(bytes(identity.name_sealed), f"identity:{identity.pk}:name")
    return shown
