"""Personal information in every text (DS-06a, GA-11)."""

from __future__ import annotations

from moderation import personal_information
from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.normalisation import NORMALISATION_VERSION
from moderation.policy import Found


class PersonalInformation(Check):
    """ID numbers, telephone numbers, bank cards and the like: where, never what."""

    name = "personal_information"
    cost = 2

    def version(self, library: Loaded) -> str:
        return f"{personal_information.VERSION}, normalisation {NORMALISATION_VERSION}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding a kind, with its places; what stands there is nowhere written (GA-11)."""
        by_kind: dict[str, Found] = {}
        for piece in personal_information.find(text.folded()):
            kind = personal_information.KINDS[piece.kind]
            found = by_kind.setdefault(
                piece.kind,
                Found(side.name, self.name, kind.category, kind.severity, detail=piece.kind, field=text.field),
            )
            found.spans.append([piece.start, piece.end])
        for found in by_kind.values():
            found.boxes = text.boxes(found.spans)
        return list(by_kind.values())


register(PersonalInformation())
