"""The one-time code as a verifier: whoever types it in time has the phone (DS-09a, mobile number)."""

from __future__ import annotations

import hmac
from uuid import UUID

from django.db.models.functions import Now

from accounts.models import OneTimeCode
from accounts.verifiers.interface import MATCH, MISMATCH, UNAVAILABLE, Evidence, Outcome
from core import crypto
from core.options import option


def digest_of(identity_id: UUID, code: str) -> bytes:
    """The keyed digest under which a code is kept: worthless without the key and for any other identity."""
    return crypto.digest(f"{identity_id}:{code}", "identity.one_time_code")


class OneTimeCodeVerifier:
    """Compares a code with what was sent. The caller holds the identity's lock and counts wrong tries."""

    def verify(self, evidence: Evidence) -> Outcome:
        """match; mismatch; or unavailable: `code_not_sent`, `code_void` after too many tries, `code_expired` by the
        database's clock."""
        row = OneTimeCode.objects.filter(pk=evidence.identity_id).first()
        if row is None or not row.digest:
            return Outcome(UNAVAILABLE, "code_not_sent")
        if row.tries >= option("code_tries"):
            return Outcome(UNAVAILABLE, "code_void")
        if not OneTimeCode.objects.filter(pk=row.pk, expires_at__gt=Now()).exists():
            return Outcome(UNAVAILABLE, "code_expired")
        if hmac.compare_digest(bytes(row.digest), digest_of(evidence.identity_id, evidence.code)):
            return Outcome(MATCH)
        return Outcome(MISMATCH, "code_wrong")
