"""Bringing in the users of some rows of an import, in a handful of statements however many there are: user, history,
ledger, the key of their data, the sealed proof of identity (DS-09a). The caller holds the transaction."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Count
from django.utils.translation import gettext as _

from accounts import numbers, sealing
from accounts.import_checks import Candidate
from accounts.models import Identity, Staff, User, UserImport
from accounts.verdicts import ADULT
from core import crypto, vault
from core.ids import uuid7
from core.models import AuditEvent, DataKey
from core.options import option
from core.roles import actor


class Note(NamedTuple):
    """Why an imported user waits for a person although the earlier verification is trusted."""

    field: str
    code: str
    sentence: str


def digests(candidates: list[Candidate]) -> dict[int, bytes]:
    """The keyed digest of each row's number, by row; made before the transaction, as the key may be far away. Raises
    pepper.Away."""
    return {c.row: crypto.digest(c.number, f"identity.{c.method}") for c in candidates if c.method}


def bring_in(
    candidates: list[Candidate], digest_of: dict[int, bytes], *, user_import: UserImport, by: Staff, now: datetime
) -> tuple[int, list[tuple[Candidate, Note]]]:
    """Make the users known that are not; answers how many were known already, and who waits for a person although the
    import is trusted."""
    existing = set(
        User.objects.filter(
            service=user_import.service_id, external_id__in=[candidate.external_id for candidate in candidates]
        ).values_list("external_id", flat=True)
    )
    # In one order, so that two imports with the same users wait for each other and never in a circle.
    fresh = sorted((c for c in candidates if c.external_id not in existing), key=lambda c: c.external_id)
    notes = _waiting(fresh, digest_of, now) if user_import.trusted else {}
    users = {candidate.row: _user(candidate, user_import, notes, now) for candidate in fresh}
    User.objects.bulk_create(users.values(), ignore_conflicts=True)
    # Whoever was registered over the API, or by another import, between the look and the insert is known after all.
    ours = set(User.objects.filter(pk__in=[user.pk for user in users.values()]).values_list("pk", flat=True))
    made = [(candidate, users[candidate.row]) for candidate in fresh if users[candidate.row].pk in ours]
    User.history.bulk_history_create([user for _c, user in made], default_user=by, default_date=now)
    proofs = _prove(made, digest_of, user_import, by, now)
    _record(made, proofs, user_import, by)
    return len(candidates) - len(made), [(c, notes[c.row]) for c, _user in made if c.row in notes]


def _user(candidate: Candidate, user_import: UserImport, notes: dict[int, Note], now: datetime) -> User:
    verified = _is_verified(candidate, user_import, notes)
    return User(
        pk=uuid7(),
        service_id=user_import.service_id,
        external_id=candidate.external_id,
        kind=candidate.kind,
        display_name=candidate.display_name,
        region=candidate.region,
        identity_status="verified" if verified else "pending" if candidate.method else "unverified",
        minor=numbers.age(candidate.born) < ADULT if verified and candidate.born else None,
        created_at=now,
    )


def _is_verified(candidate: Candidate, user_import: UserImport, notes: dict[int, Note]) -> bool:
    return bool(user_import.trusted and candidate.method and candidate.row not in notes)


def _waiting(candidates: list[Candidate], digest_of: dict[int, bytes], now: datetime) -> dict[int, Note]:
    """Which rows with a proof can't be taken over as verified, and why: the same reasons for which a person could not
    verify them, and a verification that is missing or over."""
    lifetime = option("identity_expiry_days")
    notes: dict[int, Note] = {}
    for candidate in candidates:
        if not candidate.method:
            continue
        if candidate.verified_at is None:
            notes[candidate.row] = Note("verified_at", "not_verified_before", _("No earlier verification is stated."))
        elif lifetime > 0 and candidate.verified_at + timedelta(days=lifetime) <= now:
            notes[candidate.row] = Note("verified_at", "expired", _("The earlier verification is too long ago."))
        elif candidate.born is not None and numbers.age(candidate.born) < option("guardian_age"):
            notes[candidate.row] = Note("number", "guardian_consent_required", _("A child: a guardian must consent."))
    _limit([c for c in candidates if c.method and c.row not in notes], digest_of, notes)
    return notes


def _limit(candidates: list[Candidate], digest_of: dict[int, bytes], notes: dict[int, Note]) -> None:
    """At most `accounts_per_identity` verified accounts, asked under the same locks as `verdicts.queue_up`; in order,
    so that two imports never wait in a circle. Nobody who waits for a new user's row asks for these locks."""
    most = int(option("accounts_per_identity"))
    if most <= 0 or not candidates:
        return
    wanted = sorted({int.from_bytes(digest_of[c.row][:8], "big", signed=True) for c in candidates})
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(place) FROM unnest(%s::bigint[]) AS place", [wanted])
    rows = Identity.objects.filter(number_digest__in=[digest_of[c.row] for c in candidates], state="verified")
    have = Counter({bytes(d): n for d, n in rows.values_list("number_digest").annotate(n=Count("user", distinct=True))})
    for candidate in candidates:
        digest = digest_of[candidate.row]
        if have[digest] >= most:
            sentence = _("This identity already has %(n)d verified accounts; more are not allowed.") % {"n": most}
            notes[candidate.row] = Note("number", "identity_limit", sentence)
        else:
            have[digest] += 1


def _prove(
    made: list[tuple[Candidate, User]], digest_of: dict[int, bytes], user_import: UserImport, by: Staff, now: datetime
) -> dict[int, Identity]:
    """The identities of the users that handed in a proof, each sealed under a fresh key of its user; by row."""
    lifetime = option("identity_expiry_days")
    keys: list[DataKey] = []
    proofs: dict[int, Identity] = {}
    for candidate, user in made:
        if not candidate.method:
            continue
        subject, key = sealing.subject_of(user.pk), os.urandom(32)
        keys.append(vault.wrapped(subject, key))
        proof = Identity(
            pk=uuid7(), user=user, method=candidate.method, number_digest=digest_of[candidate.row], submitted_at=now
        )
        proof.number_sealed = vault.seal_under(
            key, candidate.number, subject=subject, context=f"identity:{proof.pk}:number"
        )
        proof.number_masked = numbers.masked(candidate.number)
        if candidate.name:
            proof.name_sealed = vault.seal_under(
                key, candidate.name, subject=subject, context=f"identity:{proof.pk}:name"
            )
            proof.name_masked = numbers.masked_name(candidate.name)
        if user.identity_status == "verified" and candidate.verified_at:
            proof.state, proof.decided_by, proof.decided_at = "verified", by, candidate.verified_at
            proof.expires_at = candidate.verified_at + timedelta(days=lifetime) if lifetime > 0 else None
            proof.check_reference = candidate.verified_by
        proofs[candidate.row] = proof
    DataKey.objects.bulk_create(keys)
    Identity.objects.bulk_create(proofs.values())
    Identity.history.bulk_history_create(list(proofs.values()), default_user=by, default_date=now)
    return proofs


def _record(
    made: list[tuple[Candidate, User]], proofs: dict[int, Identity], user_import: UserImport, by: Staff
) -> None:
    """The ledger's lines of each user, naming the import: the same as of a registration over the API."""
    events: list[AuditEvent] = []
    origin = str(user_import.pk)

    def event(action: str, user: User, **data: Any) -> None:
        subject = f"user:{user.pk}"
        events.append(AuditEvent(action=action, actor=actor(by), subject=subject, data={"import": origin, **data}))

    for candidate, user in made:
        event("user.registered", user, kind=candidate.kind)
        proof = proofs.get(candidate.row)
        if proof is not None:
            event("identity.submitted", user, method=candidate.method)
        if proof is not None and proof.state == "verified" and candidate.verified_at:
            verified_at = candidate.verified_at.isoformat()
            event("user.identity_verified", user, method=candidate.method, verified_before=verified_at)
    AuditEvent.objects.bulk_create(events)
