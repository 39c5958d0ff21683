"""Back-tests on screen: what ran, start one, follow it, read what came of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from core import evidence
from core.errors import Refusal
from core.ids import parse_uuid, uuid7
from core.options import option
from core.pages import Page, staff_page
from core.roles import may
from moderation import backtest_figures, backtests
from moderation.backtest_words import DISPOSITIONS, HOW, STANDINGS, sample_title
from moderation.evidence_lines import CHECKS
from moderation.models import Backtest, Classifier, Feature, PolicyVersion
from moderation.screening import categories

OFFERED = 50  # targets of a kind in the form; others are reached from their own page
USUAL = 20_000
POLL = 2  # seconds


class StartForm(forms.Form):
    """What is tried, and on which items. The command has the last word on all of it."""

    run_id = forms.UUIDField(widget=forms.HiddenInput)
    what = forms.CharField(label=gettext_lazy("What is tried"), widget=forms.Select)
    scope = forms.ChoiceField(
        label=gettext_lazy("On which items"),
        choices=[("last", gettext_lazy("The newest")), ("period", gettext_lazy("A period"))],
        widget=forms.RadioSelect,
    )
    last = forms.IntegerField(
        required=False,
        min_value=1,
        label=gettext_lazy("How many"),
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    start = forms.DateField(
        required=False, label=gettext_lazy("From"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    to = forms.DateField(
        required=False,
        label=gettext_lazy("To, not included"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    look_again = forms.BooleanField(
        required=False,
        label=gettext_lazy("Look again with today's checks and library"),
        help_text=gettext_lazy(
            "Slower. Without it a policy is judged on what was found when the items came in. Entries and models always"
            " look again."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["what"].widget.choices = offered(str(self["what"].value() or ""))
        self.fields["last"].widget.attrs["max"] = int(option("backtest_most"))

    def scope_given(self) -> dict[str, Any]:
        """The scope as the command takes it."""
        given = self.cleaned_data
        if given["scope"] == "last":
            return {"last": given["last"]} if given["last"] else {"last": 0}
        return {name: value for name, value in (("from", given["start"]), ("to", given["to"])) if value}


# Which field of the form says what the command found wrong.
_FIELDS = {"target": "what", "last": "last", "to": "to"}


def offered(wanted: str) -> list[Any]:
    """What can be chosen: drafts, entries and models that wait for a decision, and the one that was asked for."""
    groups = [
        (kind_word("policy"), [_choice(row) for row in _policies()]),
        (kind_word("feature"), [_choice(row) for row in _entries()]),
        (kind_word("model"), [_choice(row) for row in _models()]),
    ]
    kind, _colon, target = wanted.partition(":")
    row = backtests.find_target(kind, target)
    if row is not None and not any(wanted == value for _label, group in groups for value, _word in group):
        groups.insert(0, (_("Asked for"), [_choice(row)]))
    return [("", _("Choose…")), *((label, group) for label, group in groups if group)]


def kind_word(kind: str) -> str:
    """The word for a kind of target."""
    return str(Backtest.KINDS.get(kind, kind))


def _policies() -> Any:
    return PolicyVersion.objects.filter(state__in=["draft", "shadow"]).order_by("-number")[:OFFERED]


def _entries() -> Any:
    return Feature.objects.filter(state__in=["proposed", "braked"]).order_by("-pk")[:OFFERED]


def _models() -> Any:
    return Classifier.objects.exclude(state="retired").order_by("-pk")[:OFFERED]


def _choice(row: PolicyVersion | Feature | Classifier) -> tuple[str, str]:
    if isinstance(row, PolicyVersion):
        return f"policy:{row.pk}", _("Version %(number)s, revision %(revision)s: %(name)s") % {
            "number": row.number, "revision": row.revision, "name": row.name,
        }  # fmt: skip
    if isinstance(row, Feature):
        return f"feature:{row.pk}", f"#{row.pk} v{row.version}: {row.value[:60]}"
    return f"model:{row.pk}", str(row)


def name_of(run: Backtest) -> str:
    """What was tried, in one line; from what the run kept, so that it costs no query."""
    kept = run.used.get("target", {})
    if run.kind == "policy":
        return _("Version %(number)s, revision %(revision)s: %(name)s") % {
            "number": run.target, "revision": run.target_revision, "name": kept.get("name", ""),
        }  # fmt: skip
    if run.kind == "feature":
        return f"#{run.target} v{run.target_revision}: {kept.get('entry', {}).get('value', '')[:60]}"
    return f"{kept.get('name', '')} v{run.target_revision}"


def scope_words(run: Backtest) -> str:
    """On which items, in one line."""
    if "last" in run.scope:
        return _("the newest %(n)s items") % {"n": f"{run.scope['last']:,}"}
    return _("from %(from)s to %(to)s, not included") % run.scope


@staff_page("backtest.view")
@require_GET
def runs(request: HttpRequest) -> HttpResponse:
    """The runs, newest first, and the form for another; `?kind=policy&target=3` chooses the target."""
    kind, target = request.GET.get("kind", ""), request.GET.get("target", "")
    form = StartForm(
        initial={
            "run_id": uuid7(),
            "what": f"{kind}:{target}" if kind and target else "",
            "scope": "last",
            "last": min(USUAL, int(option("backtest_most"))),
        }
    )
    return _runs(request, form)


def _runs(request: HttpRequest, form: StartForm, *, status: int = 200) -> HttpResponse:
    before = parse_uuid(request.GET.get("before", ""))
    page = Page(Backtest.objects.select_related("started_by").defer("figures"), size=30, before=str(before or ""))
    return render(
        request,
        "moderation/backtests.html",
        {
            "rows": [
                {"run": run, "name": name_of(run), "kind": kind_word(run.kind), "scope": scope_words(run)}
                for run in page
            ],
            "form": form if may(request.user, "backtest.run") else None,
            "at_once": backtests.AT_ONCE,
            "first_url": "?" if before else "",
            "next_url": f"?before={page.next}" if page.next else "",
        },
        status=status,
    )


@staff_page("backtest.run")
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """Begin a run."""
    form = StartForm(request.POST)
    if not form.is_valid():
        return _runs(request, form, status=422)
    kind, _colon, target = form.cleaned_data["what"].partition(":")
    try:
        run = backtests.start(
            backtest_id=form.cleaned_data["run_id"],
            kind=kind,
            target=target,
            scope=form.scope_given(),
            look_again=form.cleaned_data["look_again"],
            by=request.user,
        )
    except Refusal as refusal:
        existing = refusal.extra.get("existing_id")
        if existing:
            messages.info(request, str(refusal.detail))
            return redirect("backtest", existing)
        for error in refusal.errors or [{"field": "", "detail": refusal.detail}]:
            form.add_error(_FIELDS.get(error["field"]), str(error["detail"]))
        return _runs(request, form, status=refusal.status)
    return redirect("backtest", run.pk)


@staff_page("backtest.view")
@require_safe
@vary_on_headers("HX-Request")
def one(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One run: how far it is, and what came of it. The page asks for its first part alone every two seconds; when the
    run has ended, the whole page is loaded anew."""
    run = _found(pk)
    context = {
        "run": run,
        "name": name_of(run),
        "kind_word": kind_word(run.kind),
        "scope": scope_words(run),
        "target_url": _target_url(run),
        "poll": POLL,
        "progress": _progress(run),
        "why": backtests.STOPPED.get(run.reason, run.reason),
        "may_run": may(request.user, "backtest.run"),
    }
    if getattr(request, "htmx", False):
        response = render(request, "moderation/_backtest_progress.html", context)
        if run.state != "running":
            response["HX-Refresh"] = "true"
        return response
    return render(request, "moderation/backtest.html", {**context, **_read(run)})


def _found(pk: UUID) -> Backtest:
    run = Backtest.objects.select_related("started_by", "report").filter(pk=pk).first()
    if run is None:
        raise Http404
    return run


def _progress(run: Backtest) -> dict[str, Any]:
    at = backtests.progress(run)
    left = at["left"]
    at["rate_shown"] = f"{at['rate']:,.0f}" if at["rate"] >= 10 else f"{at['rate']:.1f}"
    at["left_seconds"] = int(left) + 1 if left is not None else None
    return at


def _target_url(run: Backtest) -> str:
    """The page of what was tried: its own where there is one, else the list it stands in."""
    own, of_all = {"policy": ("policy", "policies"), "feature": ("feature", "features"), "model": ("model", "models")}[
        run.kind
    ]
    for name, args in ((own, [run.target]), (of_all, [])):
        try:
            return reverse(name, args=args)
        except NoReverseMatch:
            continue
    return ""


def _read(run: Backtest) -> dict[str, Any]:
    """The figures as tables."""
    figures = backtests.figures_of(run)
    samples = figures.get("samples", [])
    cells = {one["cell"] for one in samples}
    judged = figures.get("items", 0)
    brake = _brake_share()
    hits = backtest_figures.hits(figures) if run.kind != "policy" else None
    changes = backtest_figures.changes(figures)
    return {
        "judged": judged,
        "figures": figures,
        "partial": run.state != "done",
        "changed_since": backtests.changed_since(run),
        "opens_files": run.used["target"].get("entry", {}).get("kind") in ("image", "video", "audio"),
        "looked": [(HOW[how], items) for how, items in figures.get("looked", {}).items()],
        "libraries": sorted(figures.get("library", {}).items(), key=lambda one: int(one[0])),
        "models": sorted(figures.get("models", {})),
        "skipped": figures.get("skipped", {}),
        "dispositions": DISPOSITIONS.values(),
        "standing": _matrix(figures, "standing", cells),
        "effect": _matrix(figures, "effect", cells),
        "changes": [
            {
                "name": name,
                "items": changes[name]["items"],
                **{k: changes[name][k] for k in ("right", "wrong", "again")},
            }
            for name in backtest_figures.CHANGES
        ],
        "people": backtest_figures.against_people(figures),
        "hits": hits
        and {
            **hits,
            "rows": [(STANDINGS[name], hits[name], f"hit:{name}" in cells and f"hit-{name}") for name in STANDINGS],
            "share_shown": f"{hits['share']:.2%}",
            "precision_shown": _share(hits["precision"]),
            "recall_shown": _share(hits["recall"]),
            "brake_shown": f"{brake:.2%}" if brake is not None else "",
            "over_brake": brake is not None and hits["share"] > brake,
        },
        "categories": _by_category(figures),
        "pairs": [
            {"people": _category(ours), "found": _category(found) if found else "", "items": items}
            for ours, found, items in backtest_figures.pairs(figures)
        ],
        "rules": sorted(figures.get("rules", {}).items(), key=lambda one: -one[1]),
        "samples": _grouped(samples),
    }


def _matrix(figures: dict[str, Any], what: str, cells: set[str]) -> list[dict[str, Any]]:
    words = STANDINGS if what == "standing" else DISPOSITIONS
    rows = []
    for row, counts in backtest_figures.matrix(figures, what).items():
        row_cells = []
        for column, items in counts.items():
            cell = _cell_of(what, row, column)
            same = column == row.rpartition("_")[2] or (row == "waiting" and column == "review")
            row_cells.append(
                {
                    "word": DISPOSITIONS[column],
                    "items": items,
                    "tone": "" if not items else "same" if same else _tone(row, column),
                    "anchor": cell.replace(":", "-").replace(">", "-") if cell in cells else "",
                }
            )
        rows.append({"word": words[row], "cells": row_cells, "items": sum(counts.values())})
    return rows


def _cell_of(what: str, row: str, column: str) -> str:
    if what == "effect":
        return f"effect:{row}>{column}"
    if row.startswith("people_"):
        return f"people:{row.removeprefix('people_')}>{column}"
    then = {"policy_release": "release", "waiting": "review", "policy_block": "block"}[row]
    return f"then:{then}>{column}"


def _tone(row: str, column: str) -> str:
    """Bad where it goes against what a person decided, warn where anything else changes."""
    against = (row == "people_release" and column == "block") or (row == "people_block" and column == "release")
    return "bad" if against else "warn"


def _share(value: float | None) -> str:
    return "—" if value is None else f"{value:.1%}"


def _brake_share() -> float | None:
    try:
        return option("brake_share")
    except KeyError:
        return None


def _category(code: str) -> str:
    return str(categories().get(code, code)) or _("no category")


def _by_category(figures: dict[str, Any]) -> list[dict[str, Any]]:
    names = ("items", "held", "blocked", "released", "right", "wrong", "hits")
    rows = [
        {"category": _category(code), **{name: counts.get(name, 0) for name in names}}
        for code, counts in figures.get("categories", {}).items()
    ]
    return sorted(rows, key=lambda row: (-(row["held"] + row["blocked"] + row["released"]), -row["items"]))


def _grouped(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in samples:
        groups.setdefault(one["cell"], []).append(
            {
                **one,
                "then_word": DISPOSITIONS.get(one["then"], one["then"]),
                "with_word": DISPOSITIONS.get(one["with"], one["with"]),
                "category_word": _category(one["category"]) if one["category"] else "",
                "check_words": [CHECKS.get(check, check) for check in one["checks"]],
            }
        )
    return [
        {"anchor": cell.replace(":", "-").replace(">", "-"), "title": sample_title(cell), "rows": rows}
        for cell, rows in groups.items()
    ]


@staff_page("backtest.run")
@require_POST
def abort(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop a run."""
    backtests.abort(backtest_id=pk, by=request.user)
    messages.success(request, _("Aborted. The figures of the parts that were done stay."))
    return redirect("backtest", pk)


@staff_page("backtest.run")
@require_POST
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Go on with a run."""
    backtests.resume(backtest_id=pk, by=request.user)
    messages.success(request, _("It goes on with the parts that are missing."))
    return redirect("backtest", pk)


@staff_page("backtest.view")
@require_safe
def report(request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
    """The report as it was kept as evidence."""
    run = _found(pk)
    if run.report_id is None:
        raise Http404
    response = StreamingHttpResponse(evidence.stream(run.report_id), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="backtest-{run.pk}.json"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response
