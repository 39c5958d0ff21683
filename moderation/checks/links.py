"""The links and domains of the feature library (DS-10b) in every text."""

from __future__ import annotations

from moderation.checks import Check, Side, Text, register
from moderation.entries import Match, findings
from moderation.library import Loaded
from moderation.normalisation import NORMALISATION_VERSION
from moderation.policy import Found


class Links(Check):
    """Domains with their subdomains, and addresses by their beginning, also disguised."""

    name = "links"
    cost = 2

    def version(self, library: Loaded) -> str:
        return f"library {library.version}, normalisation {NORMALISATION_VERSION}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding an entry, with every place where it stands."""
        matches = [
            Match(one.entry, one.spans, boxes=text.boxes(one.spans)) for one in side.library.links.find(text.folded())
        ]
        return findings(matches, check=self.name, side=side.name, item=side.item, field=text.field)


register(Links())
