"""Staff, API clients and keys, end users, identities, measures, acceptances, requests about personal data."""

from accounts.models.acceptances import Acceptance
from accounts.models.clients import ApiClient, ApiKey, KeyUsage
from accounts.models.identities import Identity, IdentityDocument, OneTimeCode, VerificationLease
from accounts.models.imports import UserImport
from accounts.models.measures import Appeal, Measure, Notice
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
    "HoneyUser",
    "Identity",
    "IdentityDocument",
    "Invitation",
    "KeyUsage",
    "Measure",
    "Notice",
    "OneTimeCode",
    "PersonRequest",
    "Staff",
    "StaffSession",
    "User",
    "UserDevice",
    "UserImport",
    "VerificationLease",
]
