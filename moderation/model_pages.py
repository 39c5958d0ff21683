"""Models on screen: what was trained and how it was measured, and the second person's yes or no."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from core import audit
from core.pages import Page, staff_page
from core.roles import may
from moderation import classifiers
from moderation.learning.figures import ordered
from moderation.learning.ngrams import NONE
from moderation.models import Backtest, Classifier, Evaluation
from moderation.screening import categories

LABELS = {
    "fraud": gettext_lazy("Fraud"),
    "illegal_promotion": gettext_lazy("Illegal promotion"),
    "spam_advert": gettext_lazy("Spam advert"),
    "offensive": gettext_lazy("Offensive"),
    NONE: gettext_lazy("None of these"),
}
HISTORY = {
    "classifier.trained": gettext_lazy("Trained"),
    "classifier.activate": gettext_lazy("Activated"),
    "classifier.refuse": gettext_lazy("Turned down"),
    "classifier.retire": gettext_lazy("Retired"),
}
TONES = ("accent", "bad", "warn", "ok")


def label_words(label: str) -> str:
    """A label as a person reads it: the public sets' labels, a category's name, else the label itself."""
    known = LABELS.get(label) or categories().get(label)
    return str(known) if known else label


def percent(value: float | None) -> str:
    """A share in per cent with one decimal; a dash where there is none."""
    return "—" if value is None else f"{value * 100:.1f} %"


@staff_page("model.view")
@require_GET
def models(request: HttpRequest) -> HttpResponse:
    """Every version, the newest first, the active ones above."""
    before = request.GET.get("before", "")
    rows = Classifier.objects.select_related("trained_by", "approved_by", "artefact")
    page = Page(rows, before=before if before.isdecimal() and len(before) < 19 else "", size=30)
    return render(
        request,
        "moderation/models.html",
        {
            "page": page,
            "rows": [_row(one) for one in page],
            "active": [_row(one) for one in rows.filter(state="active").order_by("name")] if page.first else [],
            "first_url": reverse("models") if before else "",
            "next_url": f"?before={page.next}" if page.next else "",
        },
    )


def _row(one: Classifier) -> dict[str, Any]:
    labels = one.figures.get("labels", {})
    return {
        "model": one,
        "f1": [(label_words(label), percent(labels[label]["f1"])) for label in labels if label != NONE],
        "rows": one.trained_on.get("rows"),
        "from": source_words(one.trained_on),
    }


def source_words(trained_on: dict[str, Any]) -> str:
    """Where a model's rows came from."""
    if trained_on.get("from") == "decisions":
        since = trained_on.get("since")
        return _("decisions since %s") % since[:10] if since else _("all decisions")
    return ", ".join(trained_on.get("files", {})) or "—"


@staff_page("model.view")
@require_GET
def model(request: HttpRequest, pk: int) -> HttpResponse:
    """One version: figures, confusion, threshold curves, beside the active one on the same rows."""
    one = Classifier.objects.select_related("trained_by", "approved_by", "artefact").filter(pk=pk).first()
    if one is None:
        raise Http404
    own = one.trained_by_id is not None and one.trained_by_id == request.user.pk
    approver = may(request.user, "model.approve")
    rivals = Classifier.objects.filter(name=one.name).exclude(pk=one.pk)
    return render(
        request,
        "moderation/model.html",
        {
            "one": one,
            "source": source_words(one.trained_on),
            "figures": one.figures,
            "accuracy": percent(one.figures.get("accuracy")),
            "labels": _labels(one),
            "confusion": confusion(one.figures),
            "curves": _curves(one),
            "rivals": list(rivals.order_by("-version")[:20]),
            "active_version": one.figures.get("active", {}).get("version"),
            "may_decide": approver and one.state == "trained" and not own,
            "may_retire": approver and one.state == "active",
            "own_waits": approver and one.state == "trained" and own,
            "may_try": may(request.user, "backtest.run"),
            "replaces": rivals.filter(state="active").first(),
            "backtests": _backtests(one) if may(request.user, "backtest.view") else [],
            "history": [(HISTORY.get(e.action, e.action), e) for e in audit.latest(f"classifier:{one.pk}", most=20)],
        },
    )


def _backtests(one: Classifier) -> list[Backtest]:
    return list(Backtest.objects.filter(kind="model", target=str(one.pk)).order_by("-pk")[:10])


def _labels(one: Classifier) -> list[dict[str, Any]]:
    """What each label becomes and how it was measured, beside the active version on the same rows."""
    tree = categories()
    measured, held = one.figures.get("labels", {}), one.figures.get("held", {})
    before = one.figures.get("active", {}).get("labels", {})
    rows = []
    for label in ordered([*one.labels, *measured]):
        said, got, was = one.labels.get(label), measured.get(label, {}), before.get(label, {})
        rows.append(
            {
                "label": label_words(label),
                "category": tree.get(said["category"], said["category"]) if said else "",
                "severity": said["severity"] if said else "",
                "threshold": percent(said["threshold"]) if said else "",
                "sure": percent(said["sure"]) if said else "",
                "precision": percent(got.get("precision")),
                "recall": percent(got.get("recall")),
                "f1": percent(got.get("f1")),
                "f1_before": percent(was.get("f1")) if before else "",
                "held": percent(held.get(label)),
                "rows": got.get("rows"),
            }
        )
    return rows


def confusion(figures: dict[str, Any]) -> dict[str, Any]:
    """The confusion table, with what is right marked."""
    table = figures.get("confusion", {})
    names = ordered(list(table))
    return {
        "labels": [label_words(name) for name in names],
        "rows": [
            (label_words(right), [(table[right].get(said, 0), right == said) for said in names]) for right in names
        ],
    }


def _curves(one: Classifier) -> list[dict[str, Any]]:
    """For each label what other thresholds would give, as a chart with its table."""
    shown = []
    for at, (label, points) in enumerate(one.figures.get("curves", {}).items()):
        series = (
            ("precision", _("Precision"), "ok"),
            ("recall", _("Recall"), "accent"),
            ("found", _("Share found"), "warn"),
        )
        shown.append(
            {
                "id": f"curve-{at}",
                "title": label_words(label),
                "threshold": percent(one.labels.get(label, {}).get("threshold")),
                "data": {
                    "kind": "line",
                    "unit": "%",
                    "labels": [f"{point['threshold'] * 100:.0f} %" for point in points],
                    "series": [
                        {"name": str(word), "tone": tone, "values": [_hundred(point[key]) for point in points]}
                        for key, word, tone in series
                    ],
                },
            }
        )
    return shown


def _hundred(value: float | None) -> float | None:
    return None if value is None else round(value * 100, 1)


@staff_page("model.approve")
@require_POST
def activate(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a version act."""
    one = classifiers.activate(classifier_id=pk, by=request.user)
    messages.success(request, _("%(model)s acts now; every worker has it within five seconds.") % {"model": one})
    return redirect("model", pk)


@staff_page("model.approve")
@require_POST
def refuse(request: HttpRequest, pk: int) -> HttpResponse:
    """Turn a version down."""
    one = classifiers.refuse(classifier_id=pk, reason=request.POST.get("reason", "")[:2000], by=request.user)
    messages.success(request, _("Turned down: %(model)s") % {"model": one})
    return redirect("model", pk)


@staff_page("model.approve")
@require_POST
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop an active version."""
    one = classifiers.retire(classifier_id=pk, reason=request.POST.get("reason", "")[:2000], by=request.user)
    messages.success(request, _("%(model)s acts no more.") % {"model": one})
    return redirect("model", pk)


# Evaluations

NAMES, POINTS = 12, 40


@staff_page("model.view")
@require_GET
def evaluations(request: HttpRequest) -> HttpResponse:
    """What screening was measured at over time, by the name under which it was recorded."""
    names = list(Evaluation.objects.order_by("name").values_list("name", flat=True).distinct()[:200])
    wanted = request.GET.get("name", "")
    shown = [wanted] if wanted in names else names[:NAMES]
    return render(
        request,
        "moderation/evaluations.html",
        {
            "names": names,
            "wanted": wanted if wanted in names else "",
            "more": len(names) - len(shown) if wanted not in names else 0,
            "groups": [_over_time(at, name) for at, name in enumerate(shown)],
        },
    )


def _over_time(at: int, name: str) -> dict[str, Any]:
    kept = list(Evaluation.objects.filter(name=name).order_by("-at", "-pk")[:POINTS])[::-1]
    labels = ordered([label for one in kept for label in one.figures.get("labels", {}) if label != NONE])
    series = [
        {
            "name": f"F1 {label_words(label)}",
            "tone": TONES[place % len(TONES)],
            "values": [_hundred(one.figures.get("labels", {}).get(label, {}).get("f1")) for one in kept],
        }
        for place, label in enumerate(labels)
    ]
    series.append(
        {"name": _("Accuracy"), "tone": "quiet", "values": [_hundred(one.figures.get("accuracy")) for one in kept]}
    )
    return {
        "id": f"evaluation-{at}",
        "name": name,
        "data": {
            "kind": "line",
            "unit": "%",
            "labels": [f"{timezone.localtime(one.at):%m-%d %H:%M}" for one in kept],
            "series": series,
        },
        "labels": [label_words(label) for label in labels],
        "rows": [
            {
                "one": one,
                "accuracy": percent(one.figures.get("accuracy")),
                "f1": [
                    (label_words(label), percent(one.figures.get("labels", {}).get(label, {}).get("f1")))
                    for label in labels
                ],
                "models": ", ".join(one.used.get("models", [])),
            }
            for one in reversed(kept)
        ],
    }


@staff_page("model.view")
@require_GET
def evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    """One evaluation: its figures and what was used."""
    one = Evaluation.objects.filter(pk=pk).first()
    if one is None:
        raise Http404
    figures = one.figures
    return render(
        request,
        "moderation/evaluation.html",
        {
            "one": one,
            "accuracy": percent(figures.get("accuracy")),
            "labels": [
                {
                    "label": capfirst(label_words(label)),
                    "precision": percent(row["precision"]),
                    "recall": percent(row["recall"]),
                    "f1": percent(row["f1"]),
                    "held": percent(figures.get("held", {}).get(label)),
                    "rows": row["rows"],
                }
                for label, row in figures.get("labels", {}).items()
            ],
            "confusion": confusion(figures),
            "by_field": [
                (value, percent(held), percent(figures["by_field"]["found"].get(value)))
                for value, held in figures["by_field"]["held"].items()
            ]
            if "by_field" in figures
            else [],
            "field": figures.get("by_field", {}).get("field", ""),
        },
    )
