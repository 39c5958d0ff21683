"""Ways of verifying an identity (DS-09a, GEN-11): one interface, chosen by what the operator configured."""

from __future__ import annotations

from django.conf import settings

from accounts.verifiers.interface import (
    MATCH,
    MISMATCH,
    NOT_APPLICABLE,
    UNAVAILABLE,
    Evidence,
    IdentityVerifier,
    Outcome,
)
from accounts.verifiers.one_time_code import OneTimeCodeVerifier
from accounts.verifiers.person import PersonDecides
from accounts.verifiers.service import ServiceVerifier

__all__ = [
    "MATCH",
    "MISMATCH",
    "NOT_APPLICABLE",
    "UNAVAILABLE",
    "Evidence",
    "IdentityVerifier",
    "OneTimeCodeVerifier",
    "Outcome",
    "PersonDecides",
    "ServiceVerifier",
    "service_for",
    "verifier_for",
]


def service_for(method: str) -> ServiceVerifier | None:
    """The outside service that judges this method, or None where none is configured for it."""
    if method in ("id_number", "uscc") and settings.IDENTITY_VERIFIER_URL:
        return ServiceVerifier(settings.IDENTITY_VERIFIER_URL, settings.IDENTITY_VERIFIER_KEY)
    if method == "network_identity" and settings.NETWORK_IDENTITY_URL:
        return ServiceVerifier(settings.NETWORK_IDENTITY_URL, settings.NETWORK_IDENTITY_KEY)
    return None


def verifier_for(method: str) -> IdentityVerifier:
    """Who judges proofs of this method."""
    return OneTimeCodeVerifier() if method == "mobile" else service_for(method) or PersonDecides()
