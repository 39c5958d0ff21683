"""The patterns of the feature library (DS-10b) in every text."""

from __future__ import annotations

from moderation.checks import Check, Side, Text, register
from moderation.entries import Match, findings
from moderation.library import Loaded
from moderation.normalisation import NORMALISATION_VERSION
from moderation.policy import Found


class Patterns(Check):
    """Regular expressions in RE2's syntax."""

    name = "patterns"
    cost = 3

    def version(self, library: Loaded) -> str:
        return f"library {library.version}, normalisation {NORMALISATION_VERSION}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding a pattern, with every place where it matches."""
        matches = [
            Match(one.entry, one.spans, boxes=text.boxes(one.spans))
            for one in side.library.patterns.find(text.folded())
        ]
        return findings(matches, check=self.name, side=side.name, item=side.item, field=text.field)


register(Patterns())
