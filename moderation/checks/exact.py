"""Files that the feature library knows byte for byte (DS-10b)."""

from __future__ import annotations

from moderation.checks import Check, Side, Text, register
from moderation.entries import acts_on, findings
from moderation.library import Loaded
from moderation.policy import Found


def allowed(side: Side) -> bool:
    """Whether this very file is on the allow-list: then no hash of what it looks or sounds like counts either."""
    if not side.file:
        return False
    return any(match.entry.allow and acts_on(match.entry, side.item) for match in side.library.exact.find(side.file))


class ExactFile(Check):
    """Compares the file's SHA-256, which intake took, with the library; nothing is opened."""

    name = "exact"
    modality = "file"
    cost = 3

    def version(self, library: Loaded) -> str:
        return f"library {library.version}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding an entry."""
        if not side.file:
            return []
        matches = side.library.exact.find(side.file)
        return findings(matches, check=self.name, side=side.name, item=side.item)


register(ExactFile())
