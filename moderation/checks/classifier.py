"""The models that learned from the desk, in every text (DS-10a). They add findings and take none away."""

from __future__ import annotations

from collections.abc import Sequence

from moderation import classifiers
from moderation.checks import Check, Side, Text, register
from moderation.learning.ngrams import NONE, Opinion
from moderation.library import Loaded
from moderation.normalisation import NORMALISATION_VERSION
from moderation.policy import Found

HINT = 1  # the severity of an opinion that is not sure: a person who sees the item sees it, no rule need hold for it


class ByModels(Check):
    """What each active model says of a text: at most one label, with the places that spoke most for it."""

    name = "classifier"
    cost = 4
    _models: classifiers.Loaded = ()

    def version(self, library: Loaded) -> str:
        models = ", ".join(map(str, self._models)) or "no model"
        return f"{models}, normalisation {NORMALISATION_VERSION}"

    def prepare(self, sides: Sequence[Side]) -> None:
        """One set of models for all of a batch, so that no item is looked at with two versions."""
        self._models = classifiers.current()
        for side in sides:
            side.notes[self.name] = self._models

    def look(self, side: Side, text: Text) -> list[Found]:
        found = []
        for one, opinion in opinions(side, text):
            if opinion.label == NONE or opinion.label not in one.labels:
                continue
            said = one.labels[opinion.label]
            spans = one.model.explain(text.folded(), opinion)
            found.append(
                Found(
                    side.name,
                    self.name,
                    said["category"],
                    said["severity"] if opinion.sure else HINT,
                    spans=spans,
                    score=round(opinion.score, 4),
                    detail=f"{one}: {opinion.label}",
                    boxes=text.boxes(spans),
                    field=text.field,
                )
            )
        return found


def opinions(side: Side, text: Text) -> list[tuple[classifiers.Acting, Opinion]]:
    """What the models of this batch say of a text, worked out once for all checks that ask."""
    models = side.notes.get(ByModels.name)
    if isinstance(models, Exception):
        raise models
    if models is None:
        models = side.notes[ByModels.name] = classifiers.current()
    if not models:
        return []
    known = side.notes.setdefault("opinions", {})
    if id(text) not in known:
        known[id(text)] = [(one, one.model.opinion(text.folded())) for one in models]
    return known[id(text)]


register(ByModels())
