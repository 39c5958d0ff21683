"""Texts that are nearly the same as one in the feature library (DS-10b)."""

from __future__ import annotations

from collections.abc import Sequence

from moderation import near_text
from moderation.checks import Check, Side, Text, register
from moderation.entries import findings
from moderation.library import Loaded
from moderation.normalisation import NORMALISATION_VERSION
from moderation.policy import Found


class NearText(Check):
    """Asks PostgreSQL once for a batch which entries could be meant, and compares those in full."""

    name = "near_text"
    cost = 5

    def version(self, library: Loaded) -> str:
        return f"library {library.version}, normalisation {NORMALISATION_VERSION}"

    def prepare(self, sides: Sequence[Side]) -> None:
        """One question for all texts that were handed in; none when the library has no such entries."""
        asking = [side for side in sides if side.texts and side.library.texts]
        if asking:
            texts = [text for side in asking for text in side.texts]
            answers = iter(near_text.candidates([text.text for text in texts]))
            for side in asking:
                side.notes[self.name] = {id(text): next(answers) for text in side.texts}

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding for each entry that the text is similar enough to. A text read out of a file after `prepare` is
        asked for by itself."""
        entries = side.library.texts
        if not entries:
            return []
        known = side.notes.get(self.name, {}).get(id(text))
        ids = near_text.candidates([text.text])[0] if known is None else known
        matches = near_text.compared(text.text, ids, entries)
        return findings(matches, check=self.name, side=side.name, item=side.item, field=text.field)


register(NearText())
