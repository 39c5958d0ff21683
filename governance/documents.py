"""Rules, conventions and agreements that the provider publishes (DS-08a): version by version, never changed, each with
its hash; and which version users must have accepted before they publish (DS-08b)."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils.translation import gettext_lazy as _

from core import audit, outbox
from core.errors import Conflict, Refusal, field_error
from core.roles import actor, check
from governance.models import Document, DocumentVersion, Service

LONGEST = 200_000
_CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,49}\Z")


def create(
    *, code: str, kind: str, title: str, by: Any, title_en: str = "", service: Service | None = None
) -> Document:
    """A new document, for one service or for all; it has no version yet. Refuses with 422 a code, kind or title that
    doesn't fit, and with 409 a code that is taken."""
    check(by, "document.publish")
    if not _CODE.match(code):
        raise _invalid("code", "invalid", _("Small letters, digits and hyphens only."))
    if kind not in Document.KINDS:
        raise _invalid("kind", "unknown", _("Unknown kind."))
    if not title.strip():
        raise _invalid("title", "required", _("A title is needed."))
    try:
        with transaction.atomic():
            document = Document.objects.create(
                code=code, kind=kind, title=title.strip(), title_en=title_en.strip(), service=service
            )
            audit.record(action="document.created", subject=f"document:{document.pk}", by=by, data={"code": code})
    except IntegrityError as taken:
        raise Conflict("code_taken", _("There is a document with this code already.")) from taken
    return document


def publish(*, document: Document, text: str, by: Any, text_en: str = "", after: int | None = None) -> DocumentVersion:
    """Publish the next version (DS-08a). `after` is the number of the latest version that the author saw: when somebody
    else published meanwhile, or the same form comes twice, it is refused with 409. Refuses with 422 an empty text and
    one that is the same as before. The hash is SHA-256 of the Chinese text in UTF-8, which is the binding one."""
    check(by, "document.publish")
    text, text_en = readable(text), readable(text_en)
    for name, given in (("text", text), ("text_en", text_en)):
        if len(given) > LONGEST:
            raise _invalid(name, "length", _("This text is too long."))
        if "\x00" in given:
            raise _invalid(name, "nul_character", _("A text may not hold a NUL character."))
    if not text:
        raise _invalid("text", "required", _("There is no text to publish."))
    with transaction.atomic():
        Document.objects.select_for_update().get(pk=document.pk)
        latest = document.versions.order_by("-number").first()
        number = latest.number if latest else 0
        if after is not None and after != number:
            raise Conflict("published_meanwhile", _("Version %(number)d was published meanwhile.") % {"number": number})
        if latest and (latest.text, latest.text_en) == (text, text_en):
            raise _invalid("text", "unchanged", _("This is the text of the latest version: nothing would change."))
        version = DocumentVersion.objects.create(
            document=document,
            number=number + 1,
            text=text,
            text_en=text_en,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            published_by=actor(by),
        )
        version.refresh_from_db(fields=["published_at"])
        audit.record(
            action="document.published",
            subject=f"document:{document.pk}",
            by=by,
            data={"code": document.code, "number": version.number, "sha256": version.sha256},
        )
    return version


def require(*, document: Document, number: int | None, by: Any) -> Document:
    """Set which version users must have accepted, it or a later one, before they publish; None: none (DS-08b). Refuses
    with 422 a version that doesn't exist. Items that waited for an acceptance are evaluated again when less is asked."""
    check(by, "document.publish")
    with transaction.atomic():
        locked = Document.objects.select_for_update(of=("self",)).get(pk=document.pk)
        if number is not None and not locked.versions.filter(number=number).exists():
            raise _invalid("number", "unknown", _("There is no such version."))
        before = locked.required_number
        if before != number:
            locked.required_number = number
            locked.save(update_fields=["required_number"])
            audit.record(
                action="document.required",
                subject=f"document:{locked.pk}",
                by=by,
                data={"code": locked.code, "from": before, "to": number},
            )
            if before is not None and (number is None or number < before):
                outbox.emit("internal.acceptance_eased", subject=str(locked.pk), payload={})
    document.required_number = locked.required_number
    return locked


def readable(text: str) -> str:
    """A text with one kind of line end and no blank edge: what is kept, shown and hashed."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def for_service(service: Service) -> Any:
    """The documents of a service and those of all services, with their latest version; without the unpublished."""
    return with_latest().filter(Q(service=service) | Q(service=None)).filter(latest__isnull=False)


def with_latest() -> Any:  # a QuerySet[Document] with three more columns, which its type has no word for
    """Every document by code, with `latest` (number), `latest_at` and `latest_sha256` of its newest version."""
    newest = DocumentVersion.objects.filter(document=OuterRef("pk")).order_by("-number")
    return (
        Document.objects.select_related("service")
        .annotate(
            latest=Subquery(newest.values("number")[:1]),
            latest_at=Subquery(newest.values("published_at")[:1]),
            latest_sha256=Subquery(newest.values("sha256")[:1]),
        )
        .order_by("code")
    )


class Changed(NamedTuple):
    """One line of a comparison: `sign` is "+", "-", " " or "…" for lines that were left out."""

    sign: str
    text: str


def compared(before: str, after: str) -> list[Changed]:
    """What changed from one text to another, line by line, with a little of what surrounds it."""
    return list(_compared(before.splitlines(), after.splitlines()))


def _compared(before: list[str], after: list[str]) -> Iterator[Changed]:
    # The first two lines name the files; a line of the text may look like them.
    lines = islice(difflib.unified_diff(before, after, n=2, lineterm=""), 2, None)
    for position, line in enumerate(lines):
        if line.startswith("@@"):
            if position:
                yield Changed("…", "")
        else:
            yield Changed(line[0], line[1:])


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
