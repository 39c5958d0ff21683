"""Pictures of documents (DS-09a): taken over the API, encrypted with a key of their own before they reach a disk, claimed
by the identity they belong to, readable from then on only through the user's data key."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import numbers, picture_headers
from accounts.models import Identity, IdentityDocument
from core import audit, crypto, sealed_files, vault
from core.errors import Refusal
from core.ids import parse_uuid, uuid7
from core.options import option
from governance.models import Service

# On their own, "front" and "back" are words of many other things.
KINDS = {**IdentityDocument.KINDS, "front": _("Front side"), "back": _("Back side")}
MEDIA_TYPES = (picture_headers.JPEG, picture_headers.PNG)
MOST_PIXELS = 40_000_000
MOST_PER_IDENTITY = 10
KEPT_UNCLAIMED = timedelta(hours=24)
Damaged = sealed_files.Damaged


def take(*, service: Service, data: bytes, media_type: str, kind: str = "other", by: Any) -> IdentityDocument:
    """Keep a picture for an identity that will name it within a day. Refuses with 415 what is called neither JPEG nor
    PNG, with 413 more than the option `max_document` in bytes, with 422 what isn't what it is called, has no readable
    header, or more than 40 million pixels."""
    if media_type not in MEDIA_TYPES:
        raise Refusal("unsupported_media_type", _("Only JPEG and PNG pictures are taken here."), status=415)
    limit = int(option("max_document"))
    if len(data) > limit:
        raise Refusal("too_large", _("The file is too large."), status=413, extra={"limit": limit})
    if kind not in KINDS:
        raise numbers.invalid("kind", "unknown", _("Unknown kind of document."))
    _check_picture(data, media_type)
    pk = uuid7()
    sealed = sealed_files.write([data], aad=_aad(pk))
    with transaction.atomic():
        document = IdentityDocument.objects.create(
            id=pk,
            service=service,
            kind=kind,
            sha256=sealed.sha256,
            key_sealed=sealed_files.seal_key(sealed.key, _context(pk)),
            media_type=media_type,
            size=sealed.size,
        )
        audit.record(
            action="document.taken",
            subject=f"document:{pk}",
            by=by,
            data={"kind": kind, "media_type": media_type, "size": sealed.size},
        )
    return document


def _check_picture(data: bytes, media_type: str) -> None:
    if not data:
        raise numbers.invalid("file", "required", _("The file is empty."))
    header = picture_headers.read(data)
    if header is None:
        raise numbers.invalid("file", "not_a_picture", _("This is not a JPEG or PNG picture."))
    if header.media_type != media_type:
        raise numbers.invalid("file", "type_mismatch", _("The file is of another type than it was said to be."))
    if not (header.width and header.height):
        raise numbers.invalid("file", "unreadable", _("The header of this picture can't be read."))
    if header.width * header.height > MOST_PIXELS:
        raise numbers.invalid("file", "too_many_pixels", _("The picture has more than 40 million pixels."))


def claim(*, ids: list[str], identity: Identity, by: Any) -> None:
    """Tie uploads to an identity, inside the transaction that hands it in; their keys are sealed anew under the user's
    data key, so that erasing the user makes them unreadable. Refuses with 422 on `documents` an id that is unknown, of
    another service, removed or claimed by another identity; the same ids by the same identity are fine."""
    wanted = {parse_uuid(one) for one in ids}
    if not wanted:
        return
    if len(wanted) > MOST_PER_IDENTITY:
        raise numbers.invalid("documents", "too_many", _("An identity has ten documents at most."))
    found = list(
        # In the order of their ids, so that two who claim the same ones queue up instead of blocking each other.
        IdentityDocument.objects.select_for_update()
        .filter(pk__in=[pk for pk in wanted if pk], service_id=identity.user.service_id, removed_at=None)
        .order_by("pk")
    )
    mine = [document for document in found if document.identity_id in (None, identity.pk)]
    if len(mine) != len(wanted):
        # One sentence for all reasons: whether a stranger's upload exists is nobody's business.
        raise numbers.invalid(
            "documents", "unknown", _("One of these documents isn't there, or belongs to another identity.")
        )
    fresh = [document for document in mine if document.identity_id is None]
    for document in fresh:
        key = sealed_files.open_key(bytes(document.key_sealed or b""), _context(document.pk))
        document.identity = identity
        document.key_sealed = vault.seal(
            base64.b64encode(key).decode(), subject=f"user:{identity.user_id}", context=_context(document.pk)
        )
        document.save(update_fields=["identity", "key_sealed"])
    if fresh:
        audit.record(
            action="document.claimed",
            subject=f"user:{identity.user_id}",
            by=by,
            data={"identity": str(identity.pk), "documents": [str(document.pk) for document in fresh]},
        )


def stream(document: IdentityDocument) -> Iterator[bytes]:
    """The picture in the clear, piece by piece, each authenticated before it is handed out. Raises Damaged for a file
    that was changed, moved or cut off, `crypto.Unreadable` without a key that opens (`vault.Shredded` once the user was
    erased), FileNotFoundError where the file is gone."""
    return sealed_files.read(document.sha256, _key(document), aad=_aad(document.pk))


def _key(document: IdentityDocument) -> bytes:
    if document.key_sealed is None:
        raise crypto.Unreadable("the document was removed")
    if document.identity is None:
        return sealed_files.open_key(bytes(document.key_sealed), _context(document.pk))
    opened = vault.unseal(
        bytes(document.key_sealed), subject=f"user:{document.identity.user_id}", context=_context(document.pk)
    )
    return base64.b64decode(opened)


def find(pk: UUID) -> IdentityDocument | None:
    """A document that an identity has claimed and nobody has removed."""
    return (
        IdentityDocument.objects.select_related("identity__user")
        .filter(pk=pk, identity__isnull=False, removed_at=None)
        .first()
    )


def of(identity: Identity) -> list[IdentityDocument]:
    """The pictures of an identity, in the order in which they were handed in."""
    return list(identity.documents.filter(removed_at=None).order_by("pk"))


def remove_unclaimed(*, by: Any = "system:clock", at_most: int = 200) -> int:
    """Remove uploads that no identity named within a day; returns how many. The key goes first, so that whatever fails
    afterwards leaves nothing readable, and the next run finishes what this one began."""
    old = IdentityDocument.objects.filter(identity=None, created_at__lt=Now() - KEPT_UNCLAIMED)
    gone = 0
    for pk in list(old.values_list("pk", flat=True)[:at_most]):
        with transaction.atomic():
            # Skipped: an identity is claiming it at this moment, or another run is at it.
            document = old.select_for_update(skip_locked=True).filter(pk=pk).first()
            if document is None:
                continue
            if document.removed_at is None:
                document.key_sealed, document.removed_at = None, Now()
                document.save(update_fields=["key_sealed", "removed_at"])
                audit.record(action="document.removed", subject=f"document:{pk}", by=by, reason="unclaimed")
        # Several rows never share a file: every upload has a key and nonces of its own.
        sealed_files.remove(document.sha256)
        document.delete()
        gone += 1
    return gone


def _aad(pk: UUID) -> bytes:
    return pk.bytes


def _context(pk: UUID) -> str:
    return f"document:{pk}:key"
