"""Videos that the feature library knows by what they look like (DS-10b)."""

from __future__ import annotations

from moderation import media, video_hash
from moderation.checks import Check, Side, Text, register
from moderation.checks.exact import allowed
from moderation.entries import findings
from moderation.library import Loaded
from moderation.policy import Found

VERSION = "pdq of frames 1"


class VideoHash(Check):
    """Looks the frames of a video or moving picture up among those of the library's videos."""

    name = "video_hash"
    modality = "file"
    cost = 120
    limit = 20.0

    def version(self, library: Loaded) -> str:
        return f"library {library.version}, {VERSION}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding an entry; `detail` says when it begins to show and in how many of the frames looked at."""
        if not side.file or not len(side.library.videos):
            return []
        seen = media.boxed(side)
        if seen is None or len(seen.frames) < 2 or allowed(side):
            return []
        matches = side.library.videos.find(video_hash.of_boxed(seen), seen.seconds)
        return findings(matches, check=self.name, side=side.name, item=side.item)


register(VideoHash())
