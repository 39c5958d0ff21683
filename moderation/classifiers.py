"""Models that learned from the desk or from a file (issue 4 Build 3): trained, measured, and activated by a second person.

An active model only adds findings, so it can hold an item and never release what a rule would hold. Workers take a change
within LOOK_AGAIN seconds; all of an item is looked at with the same versions (contract, ruling 4).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import audit, evidence
from core.errors import NotFound, Refusal, field_error
from core.roles import check
from core.states import transition
from governance.models import Category
from moderation import labelled
from moderation.learning import artefact, training
from moderation.learning.ngrams import Model
from moderation.models import Classifier
from moderation.states import CLASSIFIER

LOOK_AGAIN = 2.0  # seconds
MEDIA_TYPE = "application/x-npz"


@dataclass(frozen=True)
class Acting:
    """A model as workers hold it. `labels` is as in `moderation.models.Classifier`."""

    id: int | None
    name: str
    version: int
    labels: Mapping[str, Mapping[str, Any]]
    model: Model

    def __str__(self) -> str:
        return f"{self.name} v{self.version}" if self.version else self.name


Loaded = tuple[Acting, ...]


@dataclass
class _Held:
    loaded: Loaded = ()
    ids: tuple[int, ...] | None = None
    look_at: float = 0.0


_held = _Held()
_lock = threading.Lock()
_instead: ContextVar[Loaded | None] = ContextVar("models_instead", default=None)


def current() -> Loaded:
    """The models that act; looked at again after LOOK_AGAIN seconds, and only what changed is loaded. Raises where a
    stored model is not what its digest says: the checks that need it then fail, which leads to a person."""
    instead = _instead.get()
    if instead is not None:
        return instead
    with _lock:
        if _held.ids is None or time.monotonic() >= _held.look_at:
            ids = tuple(Classifier.objects.filter(state="active").order_by("name").values_list("pk", flat=True))
            if ids != _held.ids:
                known = {one.id: one for one in _held.loaded}
                _held.loaded = tuple(known[pk] if pk in known else load(Classifier.objects.get(pk=pk)) for pk in ids)
                _held.ids = ids
            _held.look_at = time.monotonic() + LOOK_AGAIN
        return _held.loaded


def look_again() -> None:
    """Ask the database at the next look, e.g. in tests that go back in time."""
    with _lock:
        _held.ids, _held.loaded, _held.look_at = None, (), 0.0


@contextmanager
def using(loaded: Loaded) -> Iterator[None]:
    """Look with these models instead of those that act: for evaluations and back-tests, in this thread only."""
    token = _instead.set(tuple(loaded))
    try:
        yield
    finally:
        _instead.reset(token)


def with_model(classifier: Classifier) -> Loaded:
    """The models that would act if this one did: it takes the place of the active one of its name."""
    others = [one for one in current() if one.name != classifier.name]
    return tuple(sorted([*others, load(classifier)], key=lambda one: one.name))


def without_model(name: str) -> Loaded:
    """The models that would act without the one of this name."""
    return tuple(one for one in current() if one.name != name)


def load(classifier: Classifier) -> Acting:
    """Read a model out of the evidence store. Raises evidence.Damaged or artefact.Unreadable."""
    if classifier.artefact.size > artefact.MAX_BYTES:
        raise artefact.Unreadable("too large")
    model = artefact.read(b"".join(evidence.stream(classifier.artefact_id)))
    return Acting(classifier.pk, classifier.name, classifier.version, classifier.labels, model)


def labels_of(model: Model) -> dict[str, dict[str, Any]]:
    """What each label of a model becomes as a finding. Refuses a label that is neither a known one nor a category."""
    categories = {c.pk: c for c in Category.objects.all()}
    meanings = {label: labelled.meaning_of(label, categories) for label in model.labels}
    if unknown := sorted(label for label, meaning in meanings.items() if meaning is None):
        raise Refusal(
            "label_unknown",
            _("These labels are no categories: %s. Give them other names with --labels.") % ", ".join(unknown),
            extra={"labels": unknown},
        )
    return {
        label: {
            "category": meaning.category,
            "severity": meaning.severity,
            "threshold": round(float(model.thresholds[at]), 4),
            "sure": round(float(model.sure[at]), 4),
        }
        for at, (label, meaning) in enumerate(meanings.items())
        if meaning
    }


# Training


def train_from_file(
    *,
    name: str,
    paths: Sequence[Path],
    by: Any,
    renamed: Mapping[str, str] | None = None,
    note: str = "",
) -> tuple[Classifier, list[tuple[str, int, str]]]:
    """Train a version from labelled files and measure it on one row in five. Answers it with the lines that could not be
    used (file, number, why). Refuses too few rows of a label."""
    _may_train(by)
    files = [labelled.read(path, renamed) for path in paths]
    refused = [(file.name, number, why) for file in files for number, why in file.refused]
    source = {"from": "files", "files": {file.name: file.digest for file in files}, "refused": len(refused)}
    rows = [row for file in files for row in file.rows()]
    return _train(name=name, rows=rows, source=source, by=by, note=note), refused


def train_from_decisions(
    *,
    name: str,
    by: Any,
    since: datetime | None = None,
    renamed: Mapping[str, str] | None = None,
    note: str = "",
) -> Classifier:
    """Train a version from what people decided at the desk. Refuses too few decisions of a kind."""
    _may_train(by)
    rows = labelled.from_decisions(since=since, renamed=renamed, most=training.MAX_ROWS)
    source = {"from": "decisions", "since": since.isoformat() if since else None}
    return _train(name=name, rows=rows, source=source, by=by, note=note)


def _may_train(by: Any) -> None:
    # Whoever runs the house's own command line without naming themselves is in the ledger as the system.
    if not isinstance(by, str):
        check(by, "model.train")


def _train(*, name: str, rows: Sequence[training.Row], source: dict[str, Any], by: Any, note: str) -> Classifier:
    name = name.strip()
    if not 1 <= len(name) <= 40 or not name.isprintable():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("name", "length", _("A name has 1 to 40 characters."))],
        )
    try:
        trained = training.train(rows)
    except training.TooFewRows as few:
        raise Refusal(
            "too_few_rows",
            _("Too few rows to learn from: each label needs %(least)s. There are: %(counts)s")
            % {"least": training.LEAST_ROWS, "counts": ", ".join(f"{k} {v}" for k, v in few.counts.items()) or "0"},
            extra={"counts": few.counts},
        ) from few
    except training.TooAlike as alike:
        raise Refusal(
            "rows_too_alike",
            _("The rows of these labels are nearly all copies of each other, so nothing can be measured: %s")
            % ", ".join(alike.labels),
            extra={"labels": alike.labels},
        ) from alike
    labels = labels_of(trained.model)
    figures = trained.figures
    for one in current():
        if one.name == name and set(one.model.labels) == set(trained.model.labels):
            figures["active"] = {"version": one.version, **_briefly(training.measure(one.model, trained.held_out))}
    stored = evidence.store([artefact.write(trained.model)], media_type=MEDIA_TYPE, limit=artefact.MAX_BYTES)
    with transaction.atomic():
        with connection.cursor() as cursor:  # versions of a name are counted one after another
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('classifier ' || %s))", [name])
        last = Classifier.objects.filter(name=name).aggregate(last=Max("version"))["last"] or 0
        made = Classifier.objects.create(
            name=name,
            version=last + 1,
            artefact=stored,
            labels=labels,
            trained_on=source | trained.trained_on,
            figures=figures,
            note=note[:300],
            trained_by=None if isinstance(by, str) else by,
        )
        audit.record(
            action="classifier.trained",
            subject=f"classifier:{made.pk}",
            by=by,
            data={"name": name, "version": made.version, "artefact": stored.pk, "rows": len(rows)},
        )
    return made


def _briefly(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: figures[key] for key in ("rows", "accuracy", "labels", "held")}


# Activating


def activate(*, classifier_id: int, by: Any) -> Classifier:
    """Let a measured version act; nobody activates what they trained (also a constraint). The active version of the same
    name ends with it. Refuses a version whose stored file is not whole."""
    check(by, "model.approve")
    with transaction.atomic():
        classifier = _locked(classifier_id)
        _not_own(classifier, by)
        if not classifier.figures:
            raise Refusal("not_measured", _("A model is activated only once it was measured."))
        try:
            load(classifier)
        except (artefact.Unreadable, evidence.Damaged, OSError) as broken:
            raise Refusal("artefact_damaged", _("The stored model can't be read, so it can't act.")) from broken
        before = Classifier.objects.select_for_update(of=("self",)).filter(name=classifier.name, state="active").first()
        if before is not None:
            transition(CLASSIFIER, before, "retire", by=by, reason=str(classifier), data={"replaced_by": classifier.pk})
        classifier.approved_by, classifier.approved_at = by, Now()
        transition(CLASSIFIER, classifier, "activate", by=by, also=["approved_by", "approved_at"])
    return classifier


def refuse(*, classifier_id: int, reason: str, by: Any) -> Classifier:
    """Turn a trained version down."""
    check(by, "model.approve")
    _with_reason(reason)
    with transaction.atomic():
        classifier = _locked(classifier_id)
        _not_own(classifier, by)
        return transition(CLASSIFIER, classifier, "refuse", by=by, reason=reason.strip())


def retire(*, classifier_id: int, reason: str, by: Any) -> Classifier:
    """Stop an active version; what it found stays on record."""
    check(by, "model.approve")
    _with_reason(reason)
    with transaction.atomic():
        return transition(CLASSIFIER, _locked(classifier_id), "retire", by=by, reason=reason.strip())


def _locked(classifier_id: int) -> Classifier:
    row = Classifier.objects.select_for_update(of=("self",)).filter(pk=classifier_id).first()
    if row is None:
        raise NotFound("not_found", _("There is no such model."))
    return row


def _not_own(classifier: Classifier, by: Any) -> None:
    if classifier.trained_by_id is not None and classifier.trained_by_id == by.pk:
        raise Refusal("own_model", _("Another person decides about a model than who trained it."), status=403)


def _with_reason(reason: str) -> None:
    if not reason.strip():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("reason", "required", _("Say why."))],
        )
