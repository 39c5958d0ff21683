"""Guardians of minors (GEN-07): the data of a child under 14 (option `guardian_age`) needs a guardian's yes, on record
with its evidence before the identity is verified."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from accounts import numbers, sealing
from accounts.models import GuardianConsent, Identity, IdentityDocument, User
from accounts.notice_words import LANGUAGE
from core import audit, crypto, vault
from core.errors import Conflict, NotFound
from core.ids import uuid7
from core.options import option
from core.roles import check

RELATIONS = {
    "father": _("Father"),
    "mother": _("Mother"),
    "grandparent": _("Grandparent"),
    "sibling": _("Adult brother or sister"),
    "appointed": _("Guardian appointed by a court or authority"),
}


def record(*, user: User, relation: str, name: str, document_id: UUID | None, by: Any) -> GuardianConsent:
    """Put a guardian's yes on record: who they are to the child, their name (sealed), and the picture that proves it,
    one of those that this user's identities were handed in with. Refuses with 422 what is missing, with 409 while
    another consent is in force and for a frozen account."""
    check(by, "guardian.record")
    if relation not in RELATIONS:
        raise numbers.invalid("relation", "unknown", _("Say what the guardian is to the child."))
    name = name.strip()
    if not name:
        raise numbers.invalid("name", "required", _("The guardian's name is needed."))
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        if locked.frozen_at is not None:
            raise Conflict("account_frozen", _("This account's data is only kept, not used, until its term is over."))
        pictures = IdentityDocument.objects.filter(identity__user=locked, removed_at=None)
        document = pictures.filter(pk=document_id).first() if document_id else None
        if document is None:
            raise numbers.invalid("document", "required", _("Choose the picture that shows the consent."))
        if in_force(locked):
            raise Conflict("consent_in_force", _("A guardian's consent is on record already. Withdraw it first."))
        consent = GuardianConsent(
            pk=uuid7(),
            user=locked,
            relation=relation,
            name_masked=numbers.masked_name(name),
            document=document,
            recorded_by=by,
        )
        consent.name_sealed = vault.seal(
            name, subject=sealing.subject_of(locked.pk), context=f"guardian_consent:{consent.pk}:name"
        )
        consent.save(force_insert=True)
        audit.record(
            action="guardian.recorded",
            subject=f"user:{locked.pk}",
            by=by,
            data={"consent": str(consent.pk), "relation": relation, "document": str(document.pk)},
        )
    return consent


def withdraw(*, consent_id: UUID, reason: str, by: Any) -> GuardianConsent:
    """A consent holds no longer, from now on; a child that was verified on it must prove the identity again, which needs
    another consent. Refuses without a reason, and one that was withdrawn already."""
    check(by, "guardian.record")
    if not reason.strip():
        raise numbers.invalid("reason", "required", _("Say why it is withdrawn."))
    owner = GuardianConsent.objects.filter(pk=consent_id).values_list("user_id", flat=True).first()
    if owner is None:
        raise NotFound("not_found", _("There is no such consent."))
    with transaction.atomic():
        User.objects.select_for_update().get(pk=owner)
        consent = GuardianConsent.objects.get(pk=consent_id)
        if consent.withdrawn_at is not None:
            raise Conflict("consent_withdrawn", _("This consent was withdrawn already."))
        consent.withdrawn_at = Now()
        consent.save(update_fields=["withdrawn_at"])
        audit.record(
            action="guardian.withdrawn",
            subject=f"user:{owner}",
            by=by,
            reason=reason.strip(),
            data={"consent": str(consent.pk)},
        )
        verified = Identity.objects.filter(user_id=owner, state="verified").select_related("user").first()
        if verified and is_needed(verified):
            from accounts import reverification  # which asks this module whether a guardian has agreed

            with translation.override(LANGUAGE):
                told = str(_("Your guardian's consent was withdrawn. Hand in the identity again with a new one."))
            reverification.demand(user=verified.user, reason=told, by=by)
    return consent


def in_force(user: User) -> GuardianConsent | None:
    """The consent that holds now."""
    return user.guardian_consents.filter(withdrawn_at=None).select_related("document", "recorded_by").first()


def is_needed(identity: Identity) -> bool:
    """Whether the holder of this number is younger than the option `guardian_age`. A number that holds no date of birth
    says nothing of it; one that can't be opened counts as no answer (nobody verifies it anyway)."""
    try:
        born = numbers.birth_of(identity.method, sealing.number_of(identity), identity.document_kind)
    except crypto.Unreadable:
        return False
    return born is not None and numbers.age(born) < option("guardian_age")
