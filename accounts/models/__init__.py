"""Staff, API clients and keys, end users, identities, measures, acceptances, requests about personal data."""

from accounts.models.acceptances import Acceptance
from accounts.models.clients import ApiClient, ApiKey, KeyUsage
from accounts.models.guesses import GuessCount
from accounts.models.identities import Identity, IdentityDocument, OneTimeCode, VerificationLease
from accounts.models.imports import UserImport, UserImportPiece
from accounts.models.looks import Look
from accounts.models.measures import Appeal, Measure, Notice, PublicAttempt
from accounts.models.requests import PersonRequest
from accounts.models.staff import BreakGlass, Invitation, Staff, StaffSession
from accounts.models.users import GuardianConsent, HoneyUser, User, UserDevice

__all__ = [
    "Acceptance",
    "ApiClient",
    "ApiKey",
    "Appeal",
    "BreakGlass",
    "GuardianConsent",
    "GuessCount",
    "HoneyUser",
    "Identity",
    "IdentityDocument",
    "Invitation",
    "KeyUsage",
    "Look",
    "Measure",
    "Notice",
    "OneTimeCode",
    "PersonRequest",
    "PublicAttempt",
    "Staff",
    "StaffSession",
    "User",
    "UserDevice",
    "UserImport",
    "UserImportPiece",
    "VerificationLease",
]
