"""The files of a submission, served: the original only as a download that nothing opens by itself, for the eye only what
the box made of it (security M11, ASVS 3.2.1)."""

from __future__ import annotations

from uuid import UUID

import structlog
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from core import audit, evidence
from core.errors import Refusal
from core.pages import staff_page
from moderation.models import Content, Medium

log = structlog.get_logger("files")
_SHOWN = {"image/jpeg": b"\xff\xd8\xff", "image/webp": b"RIFF", "image/png": b"\x89PNG"}


@staff_page("submission.view")
@require_GET
def original(request: HttpRequest, pk: UUID, side: str) -> HttpResponse:
    """The file as it was handed in, to be kept and opened elsewhere; the ledger says who fetched it. 409 where the stored
    bytes are no longer those that were stored."""
    sha256 = _file_of(pk, side)
    data = _whole(sha256)
    with transaction.atomic():
        audit.record(
            action="submission.file_fetched",
            subject=f"submission:{pk}",
            by=request.user,
            data={"side": side, "sha256": sha256},
        )
    response = HttpResponse(data, content_type="application/octet-stream")
    # A name of ours: the one it came with may be a trick, and its ending would start a program.
    response["Content-Disposition"] = f'attachment; filename="{side}-{pk}.bin"'
    return _sealed_off(response)


@staff_page("submission.view")
@require_GET
def preview(request: HttpRequest, pk: UUID, side: str) -> HttpResponse:
    """What the file looks like, as the box saw it and we encoded it: a still, or a video's frames on one sheet."""
    sha256 = _file_of(pk, side)
    medium = Medium.objects.select_related("preview").filter(pk=sha256).first()
    shown = medium.preview if medium else None
    if shown is None or shown.pk == sha256:
        raise Http404
    data = _whole(shown.pk)
    if not data.startswith(_SHOWN.get(shown.media_type, b"\x00none")):
        raise Http404
    response = HttpResponse(data, content_type=shown.media_type)
    response["Content-Disposition"] = "inline"
    return _sealed_off(response)


def _file_of(pk: UUID, side: str) -> str:
    """The SHA-256 of the file of this side. Raises Http404."""
    if side not in ("input", "output"):
        raise Http404
    found: str | None = Content.objects.filter(pk=pk).values_list(f"{side}_file_id", flat=True).first()
    if not found:
        raise Http404
    return found


def _whole(sha256: str) -> bytes:
    # Whole before the first byte leaves (files are limited at intake): half of one must not look like one.
    try:
        return b"".join(evidence.stream(sha256))
    except (evidence.Damaged, FileNotFoundError) as failure:
        log.error("file_unreadable", evidence=sha256, why=type(failure).__name__)
        raise Refusal(
            "file_damaged", _("The stored file is damaged; it is not what was handed in."), status=409
        ) from None


def _sealed_off(response: HttpResponse) -> HttpResponse:
    """Whatever a browser takes it for, it runs nothing, loads nothing and belongs to no origin."""
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "private, no-store"
    return response
