"""What the page of one user shows: everything in one screen, each part bounded, in as many queries whether there is one
row or ten thousand."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from accounts import acceptances, devices, display_names, guardians, ladder, reverification
from accounts.models import Appeal, Identity, Notice, PersonRequest, User
from accounts.pages.history_words import line
from core import audit
from core.templatetags.mingjian import shanghai

SHOWN = 20
SHOWN_FEW = 10  # of what stands in the margin, and of what has a page of its own
SHOWN_HISTORY = 20
SHOWN_MEASURES = 100
SHOWN_RELATED = 10
# So many of the newest submissions are counted by state: enough to see what somebody does, and never a scan.
COUNTED = 1000


def about(person: User, *, decides: bool, before: int | None = None) -> dict[str, Any]:
    """The context of the page, without its forms. `decides`: whoever looks may verify identities. `before` is the id of a
    ledger line: the history goes on from there."""
    proofs = list(person.identities.select_related("decided_by").order_by("-submitted_at")[:SHOWN])
    consent = guardians.in_force(person) if person.minor else None
    wanted = acceptances.missing(person)
    history = audit.latest(f"user:{person.pk}", most=SHOWN_HISTORY + 1, before=before)
    accepted = person.acceptances.select_related("version__document").defer("version__text", "version__text_en")
    return {
        "person": person,
        "kind": User.KINDS.get(person.kind, person.kind),
        "may_publish": person.may_publish and not wanted,
        "proofs": proofs,
        "asked": asked(person, proofs, wanted, decides=decides),
        "name_finding": display_names.finding(person),
        "guardian": consent,
        "guardian_relation": guardians.RELATIONS.get(consent.relation, consent.relation) if consent else "",
        "related": related(person, proofs),
        "measures": person.measures.select_related("applied_by", "lifted_by").order_by("-starts_at")[:SHOWN_MEASURES],
        "recommendation": ladder.for_user(person),
        "appeals": Appeal.objects.filter(measure__user=person).select_related("measure").order_by("-pk")[:SHOWN_FEW],
        "notices": [(n, Notice.KINDS.get(n.kind, n.kind)) for n in person.notices.order_by("-created_at")[:SHOWN_FEW]],
        "requests": [
            (r, PersonRequest.KINDS.get(r.kind, r.kind), _address("person_request", r.pk))
            for r in person.requests.order_by("-pk")[:SHOWN_FEW]
        ],
        "accepted": accepted.order_by("-pk")[:SHOWN_FEW],
        # Submissions belong to an app above this one; its rows are reached through the user alone.
        "submissions": person.submissions.select_related("function").defer("screened", "label").order_by("-pk")[:SHOWN],
        "counts": counts(person),
        "history": [line(event) for event in history[:SHOWN_HISTORY]],
        "history_next": history[SHOWN_HISTORY - 1].pk if len(history) > SHOWN_HISTORY else None,
        "history_first": before is None,
    }


def counts(person: User) -> dict[str, Any]:
    """How many of the newest submissions are in which state, and whether there are more than were counted."""
    states = list(person.submissions.order_by("-pk").values_list("state", flat=True)[: COUNTED + 1])
    tally = Counter(states[:COUNTED])
    return {"by_state": sorted(tally.items()), "counted": min(len(states), COUNTED), "more": len(states) > COUNTED}


def asked(
    person: User, proofs: list[Identity], wanted: list[acceptances.Wanted], *, decides: bool
) -> list[tuple[str, str, str]]:
    """What stands between this user and publishing, or soon will: a tone, a sentence and, where there is more to see, an
    address."""
    found: list[tuple[str, str, str]] = []
    if person.frozen_at:
        until = shanghai(person.retain_until, "date") if person.retain_until else "—"
        found.append(("bad", _("The record is only kept, not used, until %(day)s (GEN-09).") % {"day": until}, ""))
    found += _identity_asked(person, proofs, decides)
    for one in wanted:
        sentence = _("Must accept %(document)s, version %(version)d or later, before publishing (DS-08b).")
        found.append(("warn", sentence % one._asdict(), _address("public_document", one.document)))
    return found


def _identity_asked(person: User, proofs: list[Identity], decides: bool) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    if person.reverify_reason:
        why = reverification.REASONS.get(person.reverify_reason, person.reverify_reason)
        if person.reverify_by:
            day = shanghai(person.reverify_by, "date")
            sentence = _("The identity must be proved again by %(day)s: %(why)s.") % {"day": day, "why": why}
        else:
            sentence = _("The identity must be proved again before publishing: %(why)s.") % {"why": why}
        found.append(("warn", sentence, ""))
    waiting = next((proof for proof in proofs if proof.state == "pending"), None)
    if waiting:
        address = f"{reverse('verification')}?open={waiting.pk}" if decides else ""
        found.append(("warn", _("A proof of identity waits for a decision."), address))
    elif person.identity_status == "rejected":
        found.append(("warn", _("The identity was rejected; the user can hand it in again."), ""))
    elif person.identity_status == "unverified":
        found.append(("warn", _("No identity was handed in; until one is verified, nothing is released (DS-09b)."), ""))
    return found


def related(person: User, proofs: list[Identity]) -> list[tuple[User, bool, bool]]:
    """Other users with an identity or a device of this one, one line each: the user, whether they share an identity,
    whether a device."""
    found: dict[UUID, list[Any]] = {}
    for twin in sharing(person, proofs):
        found[twin.user_id] = [twin.user, True, False]
    for other in devices.sharing(person, most=SHOWN_RELATED):
        found.setdefault(other.pk, [other, False, False])[2] = True
    return [(user, identity, device) for user, identity, device in list(found.values())[:SHOWN_RELATED]]


def sharing(person: User, proofs: list[Identity]) -> list[Identity]:
    """Identities of other users with a number that this user handed in, one per user."""
    digests = [bytes(proof.number_digest) for proof in proofs if proof.number_digest]
    if not digests:
        return []
    rows = (
        Identity.objects.filter(number_digest__in=digests)
        .exclude(user=person)
        .select_related("user__service")
        .order_by("-pk")[: SHOWN_RELATED * 3]
    )
    one_each: dict[UUID, Identity] = {}
    for row in rows:
        one_each.setdefault(row.user_id, row)
    return list(one_each.values())[:SHOWN_RELATED]


def _address(name: str, *args: Any) -> str:
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""
