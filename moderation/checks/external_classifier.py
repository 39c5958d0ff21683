"""A classifier of somebody else (or of the operator), asked over HTTP about all texts of a batch at once.

It is sent `{"items": [{"id", "side", "text"}]}` and answers `{"version", "items": [{"id", "labels": [{"label", "score",
"spans"?}]}]}`; which label means which category stands in EXTERNAL_CLASSIFIER_LABELS. See docs/checks.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.conf import settings

from core import jsonbody
from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.outside import Away, Service
from moderation.policy import Found

MOST_LABELS = 20  # of one text


class LabelAnswer(msgspec.Struct):
    """One label of one text."""

    label: str
    score: float
    spans: list[tuple[int, int]] = []


class ItemAnswer(msgspec.Struct):
    """What was said of one text."""

    id: str
    labels: list[LabelAnswer]


class Answer(msgspec.Struct):
    """What the service answers."""

    items: list[ItemAnswer]
    version: str = ""


class Meaning(msgspec.Struct, frozen=True):
    """What a label of the service means here."""

    category: str
    severity: int
    threshold: float = 0.5


class ExternalClassifier(Check):
    """Asks once for a whole batch; a text without an answer is a check that failed."""

    name = "external_classifier"
    cost = 50
    limit = 10.0

    def __init__(self, service: Service, labels: Mapping[str, Meaning]) -> None:
        self.service = service
        self.labels = labels

    def version(self, library: Loaded) -> str:
        """The address is the operator's; what answered is said by each finding."""
        return f"{self.service.name} {self.service.url}"

    def prepare(self, sides: Sequence[Side]) -> None:
        """One request for all texts of the batch. Where it fails, only the sides that have a text have failed."""
        asked = [side for side in sides if side.texts]
        if not asked:
            return
        try:
            answers, version = self._ask([(str(place), side.name, side.text) for place, side in enumerate(asked)])
        except Away as away:
            for side in asked:
                side.notes[self.name] = away
            return
        for place, side in enumerate(asked):
            side.notes[self.name] = (answers[str(place)], version)

    def look(self, side: Side, text: Text) -> list[Found]:
        """The labels above their threshold. What was read out of a file comes after `prepare`, and is asked alone."""
        if text.field == "text":
            labels, version = side.notes[self.name]
        else:
            answers, version = self._ask([("0", side.name, text.text)])
            labels = answers["0"]
        found = []
        for label in labels:
            meaning = self.labels.get(label.label)
            if meaning is None or label.score < meaning.threshold:
                continue
            spans = [list(span) for span in label.spans if 0 <= span[0] < span[1] <= len(text.text)]
            found.append(
                Found(
                    side.name,
                    self.name,
                    meaning.category,
                    meaning.severity,
                    spans=spans,
                    score=min(1.0, label.score),
                    detail=f"{label.label} {version}"[:200],
                    boxes=text.boxes(spans),
                    field=text.field,
                )
            )
        return found

    def _ask(self, texts: Sequence[tuple[str, str, str]]) -> tuple[dict[str, list[LabelAnswer]], str]:
        body = jsonbody.encode({"items": [{"id": id_, "side": side, "text": text} for id_, side, text in texts]})
        raw = self.service.ask(body, questions=len(texts))
        try:
            answer = msgspec.convert(raw, Answer, strict=True)
        except msgspec.ValidationError:
            raise Away("not_understood") from None
        answers = {one.id: one.labels[:MOST_LABELS] for one in answer.items}
        if any(id_ not in answers for id_, _side, _text in texts):
            raise Away("incomplete")
        return answers, answer.version[:80]


def from_settings() -> ExternalClassifier | None:
    """The check as the operator set it; None where no address is given. Raises msgspec.ValidationError for labels that
    can't be understood, so that a wrong setting stops the start and not the screening."""
    if not settings.EXTERNAL_CLASSIFIER_URL:
        return None
    labels: dict[str, Any] = settings.EXTERNAL_CLASSIFIER_LABELS
    return ExternalClassifier(
        Service(
            "external_classifier",
            settings.EXTERNAL_CLASSIFIER_URL,
            settings.EXTERNAL_CLASSIFIER_KEY,
            seconds=settings.EXTERNAL_CLASSIFIER_SECONDS,
            per_day=settings.EXTERNAL_CLASSIFIER_PER_DAY,
        ),
        msgspec.convert(labels, dict[str, Meaning]),
    )


if _given := from_settings():
    register(_given)
