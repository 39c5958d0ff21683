"""The staff's pages of rumor cases: list, new, and one page a case with a form for its next step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms as django_forms
from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from core.errors import Refusal
from core.ids import parse_uuid
from core.pages import Page, staff_page
from core.roles import may
from moderation.models import Submission
from rumors import cases, forms, refutations, reports
from rumors.models import Refutation, RumorCase
from rumors.states import RUMOR_CASE
from rumors.timeline import timeline


@require_safe
@staff_page("rumor.view")
def case_list(request: HttpRequest) -> HttpResponse:
    """Cases, newest first, by state; without a choice those that aren't closed."""
    state = request.GET.get("state", "")
    if state == "all":
        rows = RumorCase.objects.all()
    elif state in RUMOR_CASE.states:
        rows = RumorCase.objects.filter(state=state)
    else:
        state, rows = "", cases.unfinished()
    counts = dict(RumorCase.objects.order_by().values_list("state").annotate(Count("pk")))
    tabs = [("", _("Not closed"), sum(n for name, n in counts.items() if name != "closed"))]
    tabs += [(name, RUMOR_CASE.words[name], counts.get(name, 0)) for name in RUMOR_CASE.states]
    tabs.append(("all", _("All"), sum(counts.values())))
    before = parse_uuid(request.GET.get("before", ""))
    page = Page(
        rows.select_related("opened_by").annotate(items=Count("links")), size=30, before=str(before) if before else ""
    )
    return render(
        request,
        "rumors/list.html",
        {
            "page": page,
            "tabs": tabs,
            "state": state,
            "total": sum(counts.values()),
            "may_open": may(request.user, "rumor.open"),
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@staff_page("rumor.open")
def new_case(request: HttpRequest) -> HttpResponse:
    """Open a case by hand, or from an item (`?submission=`)."""
    posted = request.method == "POST"
    wanted = parse_uuid((request.POST if posted else request.GET).get("submission_id" if posted else "submission", ""))
    item = Submission.objects.select_related("content").filter(pk=wanted).first() if wanted else None
    if wanted and item is None:
        raise Http404
    refusal, status = None, 200
    if posted:
        form = forms.OpenForm(request.POST)
        if form.is_valid():
            given = dict(form.cleaned_data)
            submission_id = given.pop("submission_id")
            try:
                if submission_id:
                    case = cases.open_case_from_submission(submission_id=submission_id, by=request.user, **given)
                else:
                    case = cases.open_case(by=request.user, **given)
            except Refusal as said_no:
                refusal, status = said_no, said_no.status
            else:
                messages.success(request, _("Case %(number)s is open.") % {"number": case.number})
                return redirect("rumor_case", pk=case.pk)
        else:
            status = 422
    else:
        first = (
            {"submission_id": item.pk, "claim": item.content.output_text[:500], "found": "desk"}
            if item
            else {"found": "monitoring"}
        )
        form = forms.OpenForm(initial=first)
    return render(request, "rumors/new.html", {"form": form, "item": item, "refusal": refusal}, status=status)


@require_safe
@staff_page("rumor.view")
def case_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Everything about one case."""
    return _case(request, _find(pk))


@dataclass(frozen=True)
class Action:
    """One thing that can be done on the page of a case."""

    form: type[django_forms.Form]
    command: Callable[..., Any]
    done: Any
    of_case: bool = True


ACTIONS = {
    "evidence": Action(forms.EvidenceForm, cases.add_evidence, _("Evidence recorded.")),
    "conclude": Action(forms.ConcludeForm, cases.conclude, _("Verdict recorded.")),
    "draft": Action(forms.RefutationForm, refutations.draft_refutation, _("Draft saved. Read it before publishing.")),
    "publish": Action(
        forms.PublishForm, refutations.publish_refutation, _("Published. The services are being told."), of_case=False
    ),
    "correct": Action(forms.CorrectionForm, refutations.correct_refutation, _("The corrected version is published.")),
    "waive": Action(forms.ReasonForm, refutations.waive_refutation, _("Recorded: no refutation is needed.")),
    "report": Action(forms.ReportForm, reports.record_report, _("Report recorded.")),
    "involve": Action(forms.InvolveForm, cases.involve_submission, _("Item linked.")),
    "close": Action(forms.CloseForm, cases.close_case, _("The case is closed.")),
    "reopen": Action(forms.ReasonForm, cases.reopen_case, _("The case is being verified again.")),
}


@require_POST
@staff_page("rumor.work")
def act(request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
    """Carry out one action: parse, call the command, go back to the page; a refusal shows the page with what was typed."""
    action = ACTIONS.get(name)
    if action is None:
        raise Http404
    case = _find(pk)
    form = action.form(request.POST, auto_id=f"{name}_%s")
    if not form.is_valid():
        return _case(request, case, bound={name: form}, status=422)
    given = {**({"case_id": case.pk} if action.of_case else {}), **form.cleaned_data}
    try:
        action.command(by=request.user, **given)
    except Refusal as refusal:
        for error in refusal.errors:
            if error["field"] in form.fields and not form.fields[error["field"]].widget.is_hidden:
                form.add_error(error["field"], str(error["detail"]))
        case = _find(pk)
        if refusal.code in ("draft_changed", "already_corrected"):
            _show_what_stands(form, _forms(case, refutations.draft_of(case), refutations.standing(case))[name])
        return _case(request, case, bound={name: form}, refusal=refusal, status=refusal.status)
    messages.success(request, action.done)
    return redirect("rumor_case", pk=pk)


def _show_what_stands(form: django_forms.Form, now: django_forms.Form) -> None:
    """The page that says "somebody changed it" shows the change: from there on the form speaks of that."""
    data = {**form.data}
    for name in ("revision", "corrects"):
        if name in form.fields:
            data[name] = now.initial[name]
    form.data = data


def _find(pk: UUID) -> RumorCase:
    case = RumorCase.objects.select_related("opened_by", "concluded_by", "closed_by").filter(pk=pk).first()
    if case is None:
        raise Http404
    return case


def _case(
    request: HttpRequest,
    case: RumorCase,
    *,
    bound: dict[str, Any] | None = None,
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    draft, standing = refutations.draft_of(case), refutations.standing(case)
    missing = cases.missing_parts(case)
    worker = may(request.user, "rumor.work")
    shown = _forms(case, draft, standing)
    shown.update(bound or {})
    sent = next(iter(bound or {}), "")
    owed = [part for part in cases.PARTS if cases.owes_reports(case) or not part.startswith("report")]
    return render(
        request,
        "rumors/case.html",
        {
            "case": case,
            "draft": draft,
            "standing": standing,
            "versions": case.refutations.filter(published_at__isnull=False).order_by("-version"),
            "parts": [{"name": part, "words": cases.PARTS[part], "there": part not in missing} for part in owed],
            "missing": missing,
            "step": _step(case, draft, standing, missing) if worker else "",
            "forms": shown,
            "sent": sent,
            "sent_form": shown.get(sent),
            "refusal": refusal,
            "worker": worker,
            "evidence": case.evidence.select_related("added_by").order_by("id"),
            "links": case.links.select_related("submission__user", "submission__function").order_by("id"),
            "users": case.links.values("submission__user").distinct().count(),
            "reports": case.reports.select_related("recorded_by").order_by("reported_at", "id"),
            "timeline": timeline(case),
        },
        status=status,
    )


def _step(case: RumorCase, draft: Refutation | None, standing: Refutation | None, missing: list[str]) -> str:
    """The name of the form that is next."""
    if case.state == "open":
        return "evidence"
    if case.state == "verifying":
        return "conclude"
    if case.state in ("confirmed_false", "not_false"):
        if standing:
            return "correct"
        return "waive" if case.state == "not_false" else "publish" if draft else "draft"
    if case.state == "closed":
        return ""
    return "report" if missing else "close"


def _forms(case: RumorCase, draft: Refutation | None, standing: Refutation | None) -> dict[str, Any]:
    written = draft or standing
    first = {
        "claim": written.claim if written else case.claim,
        "title": written.title if written else "",
        "text": written.text if written else "",
        "title_en": written.title_en if written else "",
        "text_en": written.text_en if written else "",
        "sources": "\n".join(written.sources) if written else "",
        "channels": written.channels if written else [],
    }
    initial: dict[str, dict[str, Any]] = {
        "draft": first,
        "correct": {**first, "corrects": standing.version if standing else None},
        "publish": {"refutation_id": draft.pk, "revision": draft.revision} if draft else {},
        "report": {"recipient": _next_recipient(case)},
    }
    return {name: action.form(initial=initial.get(name), auto_id=f"{name}_%s") for name, action in ACTIONS.items()}


def _next_recipient(case: RumorCase) -> str:
    told = case.reports.filter(round=case.round, kind="cac").exists()
    return "public_security" if told else "cac"
