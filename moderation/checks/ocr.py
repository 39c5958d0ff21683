"""Text that stands in pictures and in frames of videos: read out here, looked at by the checks of texts."""

from __future__ import annotations

from moderation import media, ocr
from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.policy import Found


class Ocr(Check):
    """Adds the text `ocr` to a side that has a picture or a video with letters in it."""

    name = "ocr"
    modality = "file"
    cost = 400
    limit = 60.0

    def version(self, library: Loaded) -> str:
        return ocr.VERSION

    def look(self, side: Side, text: Text) -> list[Found]:
        """Finds nothing itself. More text than is read sends the item to a person."""
        seen = media.boxed(side)
        if seen is None or not seen.frames:
            return []
        found = ocr.read(seen.frames, moving=seen.kind == "video" or len(seen.frames) > 1)
        if found.text:
            side.texts.append(Text("ocr", found.text, found.layout, check=self.name, version=ocr.VERSION))
        if found.truncated:
            return [Found(side.name, "check_failed", None, 0, detail="ocr: more text than is read")]
        return []


register(Ocr())
