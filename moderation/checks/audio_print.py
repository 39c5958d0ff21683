"""Sounds that the feature library knows (DS-10b): sound files, and the sound of videos."""

from __future__ import annotations

from moderation import audio_print, media
from moderation.checks import Check, Side, Text, register
from moderation.checks.exact import allowed
from moderation.entries import findings
from moderation.library import Loaded
from moderation.policy import Found

VERSION = "haitsma-kalker 1"


class AudioPrint(Check):
    """Looks the fingerprint of a file's sound up."""

    name = "audio_print"
    modality = "file"
    cost = 130
    limit = 30.0

    def version(self, library: Loaded) -> str:
        return f"library {library.version}, {VERSION}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding an entry; `detail` says where in the sound it is surest, and over how long it was compared."""
        if not side.file or not len(side.library.audios):
            return []
        seen = media.boxed(side)
        if seen is None or not seen.sound or allowed(side):
            return []
        matches = side.library.audios.find(audio_print.of_pcm(seen.sound))
        return findings(matches, check=self.name, side=side.name, item=side.item)


register(AudioPrint())
