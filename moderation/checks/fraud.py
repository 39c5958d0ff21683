"""Fraud by its signs, and by what the active models say (DS-07a, anti-fraud). Works from the signs alone where no model
is active; the product ships none."""

from __future__ import annotations

import math

from django.utils.translation import gettext_lazy as _

from moderation import fraud_signs
from moderation.checks import Check, Side, Text, register
from moderation.checks.classifier import opinions
from moderation.library import Loaded
from moderation.normalisation import NORMALISATION_VERSION
from moderation.policy import Found
from moderation.policy_conditions import under

# How a model's word counts beside the signs: half of its log odds, from where it would rather say no, within bounds that
# neither lets it hold a text without signs nor silences plain ones.
_SHARE, _OFFSET, _MOST = 0.5, 1.5, 2.5
_LEAST_SIGNS = 2
SEVERITY = 2
GRAVE, GRAVE_FROM = 3, 0.9

WORDS = {
    "authority": _("poses as an authority"),
    "service": _("poses as a service"),
    "prize": _("a prize"),
    "investment": _("sure profit"),
    "loan": _("credit"),
    "part_time": _("easy work"),
    "parcel": _("a parcel"),
    "refund": _("a refund"),
    "acquaintance": _("poses as somebody known"),
    "money": _("asks for money"),
    "fees": _("a fee"),
    "secrets": _("asks for secrets"),
    "steps": _("asks for steps on a device"),
    "threat": _("a threat"),
    "hurry": _("hurry"),
    "secrecy": _("secrecy"),
    "reassurance": _("reassurance"),
    "warning": _("warns of fraud"),
}


class Fraud(Check):
    """A lure or threat, a demand and some pressure close together, weighed with the models' opinion of fraud."""

    name = "fraud"
    cost = 5

    def version(self, library: Loaded) -> str:
        return f"{fraud_signs.VERSION}, normalisation {NORMALISATION_VERSION}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """At most one finding, with the signs and where they stand."""
        seen = fraud_signs.look(text.folded())
        if len(seen.signs) < _LEAST_SIGNS:
            return []
        logit = seen.logit + _said_by_models(side, text)
        if logit < 0:
            return []
        score = 1 / (1 + math.exp(-logit))
        spans = [list(span) for span in seen.spans]
        return [
            Found(
                side.name,
                self.name,
                seen.category,
                GRAVE if score >= GRAVE_FROM and seen.together else SEVERITY,
                spans=spans,
                score=round(score, 4),
                detail=", ".join(seen.signs),
                boxes=text.boxes(spans),
                field=text.field,
            )
        ]


def _said_by_models(side: Side, text: Text) -> float:
    said = [
        probability
        for one, opinion in opinions(side, text)
        for label, probability in opinion.probabilities.items()
        if under(one.labels.get(label, {}).get("category"), "fraud")
    ]
    if not said:
        return 0.0
    p = min(max(max(said), 1e-4), 1 - 1e-4)
    return max(-_MOST, min(_MOST, _SHARE * (math.log(p / (1 - p)) + _OFFSET)))


register(Fraud())
