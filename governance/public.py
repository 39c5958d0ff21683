"""What the provider discloses without login: its documents in every version (DS-08a), and where the rest is."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from governance import documents
from governance.models import Document, DocumentVersion, Provider


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The door of the public pages."""
    return render(request, "public/index.html", {"provider": Provider.objects.order_by("pk").first()})


@require_safe
def document_list(request: HttpRequest) -> HttpResponse:
    """Every document that was published, with its latest version."""
    shown = documents.with_latest().filter(latest__isnull=False)
    return render(request, "public/documents.html", {"documents": shown, "kinds": Document.KINDS})


@require_safe
def document(request: HttpRequest, code: str, number: int | None = None) -> HttpResponse:
    """One document: the latest version, or an earlier one that points to the latest. Every version is listed with its
    date and hash."""
    versions = _versions(code)
    shown = _chosen(versions, number)
    # The texts of the other versions stay in the database: only this one is read whole.
    english = get_language() == "en" and bool(shown.text_en)
    return render(
        request,
        "public/document.html",
        {
            "document": shown.document,
            "kind": Document.KINDS.get(shown.document.kind, shown.document.kind),
            "version": shown,
            "latest": versions[0],
            "versions": versions,
            "text": shown.text_en if english else shown.text,
            "translated": english,
            "untranslated": get_language() == "en" and not english,
        },
    )


@require_safe
def document_text(request: HttpRequest, code: str, number: int) -> HttpResponse:
    """The Chinese text of a version byte for byte as it was hashed, so that anybody can check the hash."""
    shown = _chosen(_versions(code), number)
    response = HttpResponse(shown.text.encode(), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{code}-v{number}.txt"'
    return response


def _versions(code: str) -> list[DocumentVersion]:
    return list(
        DocumentVersion.objects.filter(document__code=code)
        .select_related("document__service")
        .defer("text", "text_en")
        .order_by("-number")
    )


def _chosen(versions: list[DocumentVersion], number: int | None) -> DocumentVersion:
    chosen = next((version for version in versions if number is None or version.number == number), None)
    if chosen is None:
        raise Http404
    return chosen
