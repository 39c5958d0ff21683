"""Files: each is opened in the box, and what could not be opened goes to a person (DS-10a allows manual means)."""

from __future__ import annotations

from core import mediabox
from moderation import media
from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.policy import Found


class Media(Check):
    """Marks every file, so that a person sees it, and says which could not be opened, or not seen as a whole. The first
    check that asks opens the file, the others find it opened."""

    name = "media"
    modality = "file"
    cost = 100
    limit = 75.0  # the box ends itself after a minute at most

    def version(self, library: Loaded) -> str:
        return media.version()

    def look(self, side: Side, text: Text) -> list[Found]:
        """A finding for the file, and one more where something in it could not be looked at."""
        seen = media.boxed(side)
        found = [Found(side.name, self.name, None, 0, detail=side.file or "")]
        if seen is None:
            unseen = side.notes.get("unopened", "")
        else:
            unseen = ", ".join(flag for flag in seen.flags if flag in mediabox.NOT_ALL_SEEN)
        if unseen:
            found.append(Found(side.name, "check_failed", None, 0, detail=f"{self.name}: {unseen}"[:200]))
        return found


register(Media())
