"""Screening measured on labelled lines (issue 4 Build 6): what it would say of each, and how often that is right.

Nothing is written but, where it is asked for, one Evaluation. Every check of texts looks, as in screening, and a policy
judges; what its disposition would be is counted beside the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import Refusal
from governance.models import Category
from moderation import checks, classifiers, labelled, library, policy
from moderation.checks.classifier import ByModels
from moderation.checks.fraud import Fraud
from moderation.learning import figures, groups, training
from moderation.learning.ngrams import NONE, Model, view
from moderation.models import Evaluation
from moderation.normalisation import NORMALISATION_VERSION, normalise
from moderation.policy import RELEASE, Found

BATCH = 64
TRAINED_HERE = "trained for this"
Progress = Callable[[int, int], None]


@dataclass
class Measured:
    """What was measured, and with which versions."""

    figures: dict[str, Any]
    used: dict[str, Any]
    said: list[str] = field(default_factory=list)  # the label given to each line, in order


def evaluate(
    lines: Sequence[labelled.Line],
    *,
    policy_number: int | None = None,
    models: classifiers.Loaded | None = None,
    by_field: str = "",
    progress: Progress = lambda _done, _total: None,
) -> Measured:
    """Screen lines with the models that act (or these) and a policy (default: the live one). `by_field` counts what is
    held by the values of a further field of the lines as well."""
    loaded = classifiers.current() if models is None else models
    judging = policy.version(policy_number if policy_number is not None else policy.live_number())
    with classifiers.using(loaded):
        looked = list(_looked(lines, judging, progress))
    return _measured(lines, looked, _used(judging.number, [str(one) for one in loaded]), by_field)


def cross_validate(
    lines: Sequence[labelled.Line],
    *,
    folds: int,
    apart: bool = True,
    policy_number: int | None = None,
    by_field: str = "",
    progress: Progress = lambda _done, _total: None,
) -> Measured:
    """Screen each fold with a model that learned from the others. `apart` keeps near-duplicates in one fold; without it
    they are dealt at random, as in a set that was split without a look at copies. Refuses too few lines of a label."""
    judging = policy.version(policy_number if policy_number is not None else policy.live_number())
    labels = [line.label for line in lines]
    fold = _folds(lines, labels, folds, apart)
    looked: list[tuple[str, str] | None] = [None] * len(lines)
    done = 0
    for number in range(folds):
        model = learn([line for line, own in zip(lines, fold, strict=True) if own != number])
        own = [at for at in range(len(lines)) if fold[at] == number]
        with classifiers.using((acting(model),)):
            found = list(_looked([lines[at] for at in own], judging, partial(_further, progress, done, len(lines))))
        for at, result in zip(own, found, strict=True):
            looked[at] = result
        done += len(own)
    used = _used(judging.number, [f"{folds} folds, {'copies together' if apart else 'at random'}", training.RECIPE])
    return _measured(lines, [one for one in looked if one], used, by_field)


def _further(progress: Progress, before: int, total: int, done: int, _of: int) -> None:
    progress(before + done, total)


def _folds(lines: Sequence[labelled.Line], labels: list[str], folds: int, apart: bool) -> Any:
    if not 2 <= folds <= 20 or len(lines) < folds:
        raise Refusal("folds_invalid", _("Give 2 to 20 folds, and a line for each."))
    if apart:
        return groups.folds(labels, groups.by_likeness([view(normalise(line.text)) for line in lines]), folds)
    dealt = np.random.default_rng(training.SEED).permutation(len(lines))
    return groups.folds(labels, [f"{number}" for number in dealt], folds)


def learn(lines: Sequence[labelled.Line]) -> Model:
    """A model of all of these lines, in memory. Refuses too few of a label."""
    try:
        return training.train([training.Row(line.text, line.label) for line in lines], hold_out=False).model
    except training.TooFewRows as few:
        counts = ", ".join(f"{label} {n}" for label, n in few.counts.items()) or "0"
        raise Refusal(
            "too_few_rows",
            _("Too few rows to learn from: each label needs %(least)s. There are: %(counts)s")
            % {"least": training.LEAST_ROWS, "counts": counts},
        ) from few


def acting(model: Model, name: str = TRAINED_HERE) -> classifiers.Acting:
    """A model that acts for a measurement only. A label that is no category of ours keeps its own name."""
    categories = {c.pk: c for c in Category.objects.all()}
    labels = {}
    for label in model.labels:
        meaning = labelled.meaning_of(label, categories)
        labels[label] = {
            "category": meaning.category if meaning else label,
            "severity": meaning.severity if meaning else 2,
        }
    return classifiers.Acting(None, name, 0, labels, model)


def _looked(lines: Sequence[labelled.Line], judging: policy.Policy, progress: Progress) -> Iterator[tuple[str, str]]:
    """For each line the label that screening gives it and the disposition it would get."""
    # The public labels too where the lines don't have them: what is found in a line that is none of them is an error.
    names = figures.ordered([*(line.label for line in lines), *labelled.MEANINGS])
    loaded = library.current()
    for start in range(0, len(lines), BATCH):
        sides = [checks.Side("output", line.text, None, "text", loaded) for line in lines[start : start + BATCH]]
        checks.prepare(sides)
        for side in sides:
            found, _said = checks.look(side)
            yield said_of(found, names), judging.judge(found).disposition
        progress(min(start + BATCH, len(lines)), len(lines))


def said_of(found: Sequence[Found], names: Sequence[str]) -> str:
    """The one label that findings say. A model that was trained with such labels knows them better than rules do, which
    know only categories: so first the likeliest of what models (and the signs of fraud they are weighed with) say, else
    the gravest of what the other checks say."""
    by_models = [f for f in found if f.check in (ByModels.name, Fraud.name)]
    for fitting, weight in (
        (by_models, lambda f: (f.score, f.severity)),
        ([f for f in found if f not in by_models], lambda f: (f.severity, f.score)),
    ):
        for one in sorted(fitting, key=weight, reverse=True):
            label = _label(one, names)
            if label is not None:
                return label
    return NONE


def _label(found: Found, names: Sequence[str]) -> str | None:
    if found.check == ByModels.name:
        own = found.detail.rpartition(": ")[2]
        if own in names:
            return own
    return labelled.label_of(found.category, [name for name in names if name != NONE])


def _measured(
    lines: Sequence[labelled.Line], looked: Sequence[tuple[str, str]], used: dict[str, Any], by_field: str
) -> Measured:
    right, said = [line.label for line in lines], [label for label, _disposition in looked]
    found = figures.measure(right, said)
    held = [disposition != RELEASE for _label, disposition in looked]
    found["held"] = _shares(right, held)
    if by_field:
        values = [str(line.further.get(by_field, "")) for line in lines]
        found["by_field"] = {
            "field": by_field,
            "held": _shares(values, held),
            "found": _shares(values, [label != NONE for label in said]),
        }
    return Measured(found, used, said)


def _shares(names: Sequence[str], hit: Sequence[bool]) -> dict[str, float]:
    return {
        name: round(sum(h for n, h in zip(names, hit, strict=True) if n == name) / names.count(name), 4)
        for name in figures.ordered(names)
    }


def _used(number: int, models: list[str]) -> dict[str, Any]:
    return {
        "policy": number,
        "library": library.current().version,
        "models": models,
        "normalisation": NORMALISATION_VERSION,
        "checks": sorted(check.name for check in checks.CHECKS.values() if check.modality == "text"),
    }


def record(*, name: str, measured: Measured, file_digest: str, by: str) -> Evaluation:
    """Keep what was measured, for the page of evaluations over time."""
    name = name.strip()
    if not 1 <= len(name) <= 120:
        raise Refusal("fields_invalid", _("A name has 1 to 120 characters."))
    with transaction.atomic():
        kept = Evaluation.objects.create(
            name=name,
            file_digest=file_digest,
            rows=measured.figures["rows"],
            used=measured.used,
            figures=measured.figures,
            by=by[:80],
        )
        audit.record(
            action="evaluation.recorded", subject=f"evaluation:{kept.pk}", by=by, data={"rows": kept.rows, "name": name}
        )
    return kept
