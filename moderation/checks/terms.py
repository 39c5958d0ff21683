"""The terms of the feature library (DS-10b) in every text."""

from __future__ import annotations

from moderation.checks import Check, Side, Text, register
from moderation.entries import Entry, Match, findings
from moderation.library import Loaded
from moderation.normalisation import NORMALISATION_VERSION
from moderation.policy import Found


class Terms(Check):
    """Finds all terms at once, through the usual disguises."""

    name = "terms"
    cost = 1

    def version(self, library: Loaded) -> str:
        return f"library {library.version}, normalisation {NORMALISATION_VERSION}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding a term, with every place where it stands."""
        hits = side.library.matcher.find(text.folded())
        if not hits:
            return []
        places: dict[Entry, list[tuple[int, int]]] = {}
        for hit in hits:
            places.setdefault(hit.term, []).append((hit.start, hit.end))
        matches = [Match(entry, spans, boxes=text.boxes(spans)) for entry, spans in places.items()]
        found = findings(matches, check=self.name, side=side.name, item=side.item, field=text.field)
        if hits.truncated:
            # More hits than are listed: what was not listed was not weighed, so a person looks.
            found.insert(0, Found(side.name, "check_failed", None, 0, detail="terms: more hits than are listed"))
        return found


register(Terms())
