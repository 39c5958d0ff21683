"""Pictures of documents on their way to the one person who may look: for a minute after a reveal, and only while they
hold the identity or look at it a second time."""

from __future__ import annotations

from uuid import UUID

import structlog
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts import documents, overturns, verification
from accounts.models import IdentityDocument
from core import crypto
from core.pages import staff_page

SHOWN_SECONDS = 60
_KEY = "revealed"
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png"}
log = structlog.get_logger("documents")


def open_for(request: HttpRequest, identity_id: UUID) -> None:
    """Remember in the session, on the server, that this person revealed this identity just now."""
    request.session[_KEY] = {"identity": str(identity_id), "until": _now() + SHOWN_SECONDS}


def is_open_for(request: HttpRequest, identity_id: UUID) -> bool:
    """Whether the minute after this person's reveal of this identity still runs, by the database's clock."""
    proof = request.session.get(_KEY) or {}
    return proof.get("identity") == str(identity_id) and _now() < proof.get("until", 0)


@require_safe
@staff_page("identity.decide", secret=True)
def document(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One picture, sealed off from everything around it; 404 for whoever may not see it now, whatever the reason."""
    found = documents.find(pk)
    if found is None or found.identity is None or not is_open_for(request, found.identity.pk):
        raise Http404
    held = verification.held_by(request.user)
    if not (held and held.identity_id == found.identity.pk) and not overturns.may_look(found.identity, request.user):
        raise Http404
    response = HttpResponse(_opened(found), content_type=found.media_type)
    # A neutral name: what the service or the user called the file could say who they are.
    response["Content-Disposition"] = f'inline; filename="document.{_ENDINGS[found.media_type]}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "no-store"
    return response


def _opened(found: IdentityDocument) -> bytes:
    # Whole before the first byte leaves: a picture is 8 MiB at most, and half of one must not look like one.
    try:
        return b"".join(documents.stream(found))
    except (documents.Damaged, crypto.Unreadable, FileNotFoundError) as failure:
        log.error("document_unreadable", document=str(found.pk), why=type(failure).__name__)
        raise Http404 from None


def _now() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM statement_timestamp())::float8")
        return cursor.fetchone()[0]
