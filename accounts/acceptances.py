"""Who accepted which version of a document, when and from where (DS-08b), and who must still accept one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import regions
from accounts.models import Acceptance, User
from core import audit, outbox, vault
from core.errors import Conflict, Refusal, field_error
from core.sql import run
from governance.models import Document, DocumentVersion

CLOCKS_APART = timedelta(seconds=60)  # a service's clock may be ahead of the database's by this much


class Wanted(NamedTuple):
    """A document that must be accepted, in this version or a later one."""

    document: str
    version: int


def accept(
    *, user: User, document: str, version: int, by: Any, accepted_at: datetime | None = None, address: str = ""
) -> tuple[Acceptance, bool]:
    """Record a user's yes to a version; the same again answers the same record (created = False). The address is sealed
    and its region kept. Refuses with 422 a document or version that isn't there, an address that is none, and a time
    in the future or before the version was published; with 409 for a frozen account. With the last yes that was missing
    the user's waiting items are evaluated again."""
    chosen = _version(user, document, version)
    normal = regions.normal_address(address) if address else ""
    if normal is None:
        raise _invalid("address", "invalid", _("This is not an IP address."))
    with transaction.atomic():
        # The release of an item holds the user's row too: either it sees this acceptance, or it holds the item before
        # the event below is written, and the item is looked at again.
        locked = User.objects.select_for_update().get(pk=user.pk)
        earlier = Acceptance.objects.filter(user=locked, version=chosen).first()
        if earlier:
            return earlier, False
        if locked.frozen_at or locked.erased_at:
            raise Conflict("account_frozen", _("This account's data is only kept, not used, until its term is over."))
        acceptance = Acceptance.objects.create(
            user=locked,
            version=chosen,
            accepted_at=_moment(chosen, accepted_at),
            address_sealed=vault.seal(normal, subject=f"user:{locked.pk}", context=_context(locked, chosen))
            if normal
            else None,
            region=regions.region_of(normal) if normal else "",
        )
        audit.record(
            action="document.accepted",
            subject=f"user:{locked.pk}",
            by=by,
            data={"document": document, "number": chosen.number},
        )
        if locked.may_publish and _is_wanted(chosen) and not missing(locked):
            outbox.emit("internal.user_may_publish", subject=str(locked.pk), payload={})
    return acceptance, True


def address_of(acceptance: Acceptance) -> str:
    """The address that an acceptance came from, in the clear; "" where none was told. For exports of a person's own
    data; whoever shows it to somebody else records that first."""
    if acceptance.address_sealed is None:
        return ""
    user = acceptance.user
    context = _context(user, acceptance.version)
    return vault.unseal(bytes(acceptance.address_sealed), subject=f"user:{user.pk}", context=context)


def missing(user: User) -> list[Wanted]:
    """The documents that this user must still accept before publishing."""
    return missing_of([user.pk]).get(user.pk, [])


def missing_of(users: Sequence[UUID]) -> dict[UUID, list[Wanted]]:
    """The documents that each of these users must still accept; users who owe nothing are left out."""
    found: dict[UUID, list[Wanted]] = {}
    for user_id, code, number in run("accounts/missing_acceptances", {"users": list(users)}):
        found.setdefault(user_id, []).append(Wanted(code, number))
    return found


def _version(user: User, document: str, version: int) -> DocumentVersion:
    known = (
        None
        if "\x00" in document
        else Document.objects.filter(Q(service_id=user.service_id) | Q(service=None), code=document).first()
    )
    if known is None:
        raise _invalid("document", "unknown", _("There is no such document."))
    chosen = known.versions.filter(number=version).defer("text", "text_en").first() if abs(version) < 2**31 else None
    if chosen is None:
        raise _invalid("version", "unknown", _("There is no such version."))
    chosen.document = known
    return chosen


def _moment(version: DocumentVersion, told: datetime | None) -> Any:
    if told is None:
        return Now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        now = cursor.fetchone()[0]
    if told > now + CLOCKS_APART:
        raise _invalid("accepted_at", "future", _("This lies in the future."))
    if told < version.published_at:
        raise _invalid("accepted_at", "before_publication", _("The version was not published then."))
    return min(told, now)


def _is_wanted(version: DocumentVersion) -> bool:
    # Read anew, under the user's row: what held an item back was committed before.
    version.document.refresh_from_db(fields=["required_number"])
    required = version.document.required_number
    return required is not None and version.number >= required


def _context(user: User, version: DocumentVersion) -> str:
    return f"acceptance:{user.pk}:{version.pk}:address"


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
