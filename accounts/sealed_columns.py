"""Every sealed column of this app, made known to `manage.py rotate_keys`. A test fails for one that is missing here."""

from __future__ import annotations

from typing import Any

from accounts.models import (
    Acceptance,
    ApiKey,
    GuardianConsent,
    Identity,
    IdentityDocument,
    PersonRequest,
    User,
    UserImport,
    UserImportPiece,
)
from core.vault import register_sealed

Row = dict[str, Any]


def _of_user(row: Row) -> str:
    return f"user:{row['user']}"


# Under the data key of their user; values from before there were data keys are moved there.
register_sealed(Identity, "name_sealed", lambda row: f"identity:{row['pk']}:name", subject_of=_of_user, needs=("user",))
register_sealed(
    Identity, "number_sealed", lambda row: f"identity:{row['pk']}:number", subject_of=_of_user, needs=("user",)
)
register_sealed(
    GuardianConsent,
    "name_sealed",
    lambda row: f"guardian_consent:{row['pk']}:name",
    subject_of=_of_user,
    needs=("user",),
)
register_sealed(
    User, "contact_sealed", lambda row: f"user:{row['pk']}:contact", subject_of=lambda row: f"user:{row['pk']}"
)
register_sealed(
    PersonRequest,
    "detail_sealed",
    lambda row: f"person_request:{row['pk']}:detail",
    subject_of=_of_user,
    needs=("user",),
)
register_sealed(
    PersonRequest,
    "bundle_key_sealed",
    lambda row: f"person_request:{row['pk']}:bundle_key",
    subject_of=_of_user,
    needs=("user",),
)
# Acceptances never change, so they are under the data key from the start.
register_sealed(Acceptance, "address_sealed", lambda row: "", subject_of=_of_user, needs=("user",), fixed=True)
# A picture is under its user's data key once an identity has claimed it; until then under a field key.
register_sealed(IdentityDocument, "key_sealed", lambda row: f"document:{row['pk']}:key")
# Of many users at once, or of none.
register_sealed(UserImport, "file_key_sealed", lambda row: f"user_import:{row['pk']}:file_key")
register_sealed(UserImport, "report_key_sealed", lambda row: f"user_import:{row['pk']}:report_key")
register_sealed(
    UserImportPiece,
    "lines_sealed",
    lambda row: f"user_import:{row['user_import']}:piece:{row['first']}",
    needs=("user_import", "first"),
)
register_sealed(
    UserImportPiece,
    "lines_sealed",
    lambda row: f"user_import:{row['user_import']}:piece:{row['first']}",
    needs=("user_import", "first"),
)
register_sealed(ApiKey, "signing_sealed", lambda row: f"api_key:{row['pk']}:signing")
