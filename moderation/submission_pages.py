"""Submissions as a list and one by one: all that was found, decided, recorded and labelled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from core import audit
from core.ids import parse_uuid
from core.pages import Page, staff_page
from governance.models import TECHNOLOGIES, Service
from labeling import text as text_label
from moderation import desk_item, shown_files, statistics, submissions
from moderation.decisions import HELD_WORDS
from moderation.evidence_lines import CHECKS, SIDES, evidence, why_here
from moderation.models import Submission
from moderation.screening import categories
from moderation.states import SUBMISSION

VERDICTS = {"clear": gettext_lazy("clear"), "hit": gettext_lazy("hit"), "failed": gettext_lazy("failed")}


@staff_page("submission.view")
@require_GET
def submissions_list(request: HttpRequest) -> HttpResponse:
    """Newest first, found by state, external id and day; page by page without an offset."""
    wanted = {name: request.GET.get(name, "").strip() for name in ("state", "external_id", "since")}
    wrong = []
    rows = Submission.objects.select_related("user", "function")
    if wanted["state"] in SUBMISSION.states:
        rows = submissions.in_state(rows, wanted["state"])
    elif wanted["state"]:
        wrong.append("state")
    if wanted["external_id"]:
        rows = _named(rows, wanted["external_id"])
    if wanted["since"]:
        since = _day(wanted["since"])
        if since is None:
            wrong.append("since")
        else:
            rows = rows.filter(created_at__gte=statistics.start_of(since))
    before = parse_uuid(request.GET.get("before", ""))
    page = Page(rows.defer("screened", "label", "body_digest"), before=str(before or ""))
    kept = {name: value for name, value in wanted.items() if value}
    return render(
        request,
        "moderation/submissions.html",
        {
            "page": page,
            "wanted": wanted,
            "filtered": bool(kept),
            "wrong": wrong,
            "states": [(state, SUBMISSION.words[state]) for state in SUBMISSION.states],
            "first_url": "?" + urlencode(kept) if before else "",
            "next_url": "?" + urlencode({**kept, "before": page.next}) if page.next else "",
        },
    )


def _named(rows: QuerySet[Submission], name: str) -> QuerySet[Submission]:
    if pk := parse_uuid(name):
        return rows.filter(pk=pk)
    # The index begins with the service; there are few of them, so naming all lets it be used.
    return rows.filter(
        service_id__in=list(Service.objects.values_list("pk", flat=True)), external_id=name.replace("\x00", "")[:128]
    )


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year >= 2000 else None


@staff_page("submission.view")
@require_GET
def submission(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One item with its whole record."""
    item = (
        Submission.objects.select_related(*shown_files.WITH, "user", "function", "service")
        .prefetch_related("findings")
        .filter(pk=pk)
        .first()
    )
    if item is None:
        raise Http404
    label = text_label.ordered(item.label)
    found = evidence(item, categories())
    return render(
        request,
        "moderation/submission.html",
        {
            "item": item,
            "content": item.content,
            "evidence": found,
            "files": shown_files.of(item, found),
            "why": why_here(item) if item.rule not in ("", "-") else None,
            "decisions": item.decisions.select_related("category", "staff", "statement").order_by("decided_at"),
            "claims": desk_item.claim_log(item),
            "ledger": audit.of(f"submission:{item.pk}"),
            "label_record": label,
            "labelled": text_label.apply(item.content.output_text, label) if label and item.state == "released" else "",
            "checks": _checks(item),
            "technology": TECHNOLOGIES.get(item.technology, item.technology),
            "held_words": HELD_WORDS.get(item.held_for, item.held_for),
            "declared": [(DECLARED.get(name, name), value) for name, value in sorted(_flat(item.declared))],
        },
    )


def _checks(item: Submission) -> list[dict[str, Any]]:
    """What every check said of each side, with the version that looked (DS-10a)."""
    rows = []
    for side, record in (item.screened or {}).items():
        for check, said in record.get("checks", {}).items():
            verdict, _sign, version = said.partition("@")
            rows.append(
                {
                    "side_name": SIDES.get(side, side),
                    "name": CHECKS.get(check, _("A person") if check == "person" else check),
                    "verdict": verdict,
                    "said": VERDICTS.get(verdict, verdict),
                    "version": version,
                }
            )
    return rows


DECLARED = {
    "consent_prompt_acknowledged": gettext_lazy("Consent prompt acknowledged"),
    "news.source_unit": gettext_lazy("Source unit of the news"),
    "news.url": gettext_lazy("Address of the news"),
}


def _flat(declared: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """What the service declared, as lines: {"news": {"url": …}} reads news.url."""
    for name, value in declared.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, ""):
            yield f"{prefix}{name}", (_("yes") if value else _("no")) if isinstance(value, bool) else str(value)
