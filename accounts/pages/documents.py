"""The documents of the provider: their versions, a new one with a look before it is published, and which one users must
have accepted (DS-08a, DS-08b)."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.pages.document_forms import DocumentForm, RequireForm, VersionForm
from accounts.pages.house import show
from core.pages import staff_page
from governance import documents as library
from governance.models import Document, DocumentVersion


@require_safe
@staff_page("document.view")
def documents(request: HttpRequest) -> HttpResponse:
    """Every document with its latest version."""
    return _list(request, DocumentForm())


@require_POST
@staff_page("document.publish")
def create(request: HttpRequest) -> HttpResponse:
    """A new document, without a version yet."""
    form = DocumentForm(request.POST)
    made = form.carry_out(lambda given: library.create(by=request.user, **given))
    if made is None:
        return _list(request, form, status=form.status)
    messages.success(request, _("The document is there. Now write its first version."))
    return redirect("document", made.code)


def _list(request: HttpRequest, form: DocumentForm, status: int = 200) -> HttpResponse:
    context = {"documents": library.with_latest(), "kinds": Document.KINDS, "form": form}
    return show(request, "accounts/documents.html", context, place="documents", status=status)


@require_safe
@staff_page("document.view")
def document(request: HttpRequest, code: str) -> HttpResponse:
    """One document: a version of it with what it changed, every version, and the forms of those who publish."""
    wanted = request.GET.get("version", "")
    return _one(request, _found(code), wanted=int(wanted) if wanted.isdecimal() and len(wanted) < 9 else None)


@require_POST
@staff_page("document.publish")
def publish(request: HttpRequest, code: str) -> HttpResponse:
    """Show what a new version would look like and what it would change; from there, publish it."""
    found = _found(code)
    form = VersionForm(request.POST)
    if request.POST.get("step") != "publish" or not form.is_valid() or form.cleaned_data["previewed"] != form.seal():
        valid = form.is_valid()
        if not valid:
            form.add_error(None, _("Some fields can't be taken."))
        elif request.POST.get("step") == "publish":
            form.add_error(None, _("The text is another one than you looked at. Look again, then publish it."))
            return _one(request, found, version=form, previewed=True, status=409)
        return _one(request, found, version=form, previewed=valid, status=200 if valid else 422)
    made = form.carry_out(
        lambda given: library.publish(
            document=found, text=given["text"], text_en=given["text_en"], after=given["after"], by=request.user
        )
    )
    if made is None:
        return _one(request, found, version=form, status=form.status)
    messages.success(request, _("Version %(number)d is published.") % {"number": made.number})
    return redirect("document", code)


@require_POST
@staff_page("document.publish")
def require(request: HttpRequest, code: str) -> HttpResponse:
    """Set which version users must have accepted."""
    found = _found(code)
    form = RequireForm(request.POST, versions=_versions(found))
    if form.carry_out(lambda given: library.require(document=found, number=given["number"], by=request.user)) is None:
        return _one(request, found, required=form, status=form.status)
    messages.success(request, _("Saved. It holds from the next item on."))
    return redirect("document", code)


def _found(code: str) -> Document:
    found = Document.objects.select_related("service").filter(code=code).first()
    if found is None:
        raise Http404
    return found


def _versions(of: Document) -> list[DocumentVersion]:
    return list(of.versions.defer("text", "text_en").order_by("-number"))


def _one(
    request: HttpRequest,
    found: Document,
    *,
    wanted: int | None = None,
    version: VersionForm | None = None,
    required: RequireForm | None = None,
    previewed: bool = False,
    status: int = 200,
) -> HttpResponse:
    versions = _versions(found)
    latest = found.versions.first() if not versions else found.versions.get(pk=versions[0].pk)
    shown = latest if wanted is None else found.versions.filter(number=wanted).first()
    if wanted is not None and shown is None:
        raise Http404
    before = found.versions.filter(number=shown.number - 1).first() if shown else None
    number = latest.number if latest else 0
    context: dict[str, Any] = {
        "document": found,
        "kind": Document.KINDS.get(found.kind, found.kind),
        "versions": versions,
        "latest": latest,
        "shown": shown,
        "changes": library.compared(before.text, shown.text) if shown and before else [],
        "version_form": version or VersionForm(initial=_initial(latest)),
        "require_form": required or RequireForm(initial={"number": found.required_number}, versions=versions),
        "next_number": number + 1,
    }
    if version and previewed:
        text, text_en = version.texts()
        context["preview"] = {
            "text": text,
            "text_en": text_en,
            "seal": version.seal(),
            "changes": library.compared(latest.text, text) if latest else [],
            "changes_en": library.compared(latest.text_en, text_en) if latest else [],
        }
    return show(request, "accounts/document.html", context, place="document", args=(found.code,), status=status)


def _initial(latest: DocumentVersion | None) -> dict[str, Any]:
    if latest is None:
        return {"after": 0}
    return {"text": latest.text, "text_en": latest.text_en, "after": latest.number}
