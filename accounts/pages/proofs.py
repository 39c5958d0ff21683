"""What a person must see of an identity before they judge it; the same at the desk and at the second look."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts import display_names, documents, guardians, identities, plausibility, service_checks
from accounts.models import Identity, IdentityDocument
from accounts.plausibility import GOOD, ODD, WRONG, Finding

_OF_CHECKS = {"waiting": ODD, "match": GOOD, "mismatch": WRONG, "unavailable": ODD}


def about(identity: Identity) -> dict[str, Any]:
    """Everything beside the fields: what machines found, pictures, other accounts of the same identity, earlier
    attempts, and what concerns a minor (GEN-07)."""
    found = plausibility.findings(identity)
    twins: dict[UUID, Identity] = {}
    for twin in identities.same_identity(identity).select_related("user__service").order_by("-pk")[:50]:
        twins.setdefault(twin.user_id, twin)
    pictures = documents.of(identity)
    is_child = guardians.is_needed(identity)
    return {
        "number_findings": [f for f in found if f.field == "number"],
        "name_findings": [f for f in found if f.field == "name"],
        "other_findings": [f for f in found if f.field not in ("number", "name")] + of_display_name(identity),
        "check_findings": of_check(identity),
        "may_ask_again": service_checks.may_ask_again(identity),
        "pictures": pictures,
        "picture_findings": of_pictures(identity, pictures, is_child=is_child),
        "twins": list(twins.values())[:10],
        "twins_total": identities.same_identity(identity).values("user").distinct().count() if twins else 0,
        "earlier": identity.user.identities.exclude(pk=identity.pk).order_by("-submitted_at")[:5],
        "is_child": is_child,
        "consent": guardians.in_force(identity.user),
    }


def of_display_name(identity: Identity) -> list[Finding]:
    """GEN-10: an organisation may carry a word of authority in its name; whoever verifies it should see that it does."""
    if not (word := display_names.finding(identity.user)):
        return []
    sentence = _(
        "The display name holds “%(word)s”: it may pass for an authority, the media or the platform (GEN-10)."
    ) % {"word": word}
    return [Finding("display_name", ODD, sentence)]


def of_check(identity: Identity) -> list[Finding]:
    """What the outside verification service said, in words."""
    words = Identity.CHECKS.get(identity.check_state, identity.check_state)
    tone = _OF_CHECKS.get(identity.check_state)
    return [Finding("check", tone, words)] if tone else []


def of_pictures(identity: Identity, pictures: list[IdentityDocument], *, is_child: bool) -> list[Finding]:
    """Whether the pictures that this method needs are there. A picture is what its uploader called it: one of no kind
    may be the missing one, which only a person sees."""
    there = {picture.kind for picture in pictures}
    found = []
    for kind in needed(identity, is_child=is_child):
        word = {"kind": documents.KINDS[kind]}
        if kind in there:
            found.append(Finding("pictures", GOOD, _("%(kind)s: there.") % word))
        elif "other" in there:
            found.append(Finding("pictures", ODD, _("%(kind)s: no picture is called that; look at the others.") % word))
        else:
            found.append(Finding("pictures", WRONG, _("%(kind)s: missing.") % word))
    return found


def needed(identity: Identity, *, is_child: bool) -> list[str]:
    """The kinds of pictures without which a person can't judge this proof."""
    kinds = []
    if identity.method == "uscc":
        kinds = ["licence"]
    elif identity.method == "document":
        kinds = ["passport"] if identity.document_kind == "passport" else ["front", "back"]
    return [*kinds, "consent"] if is_child else kinds
