"""Speech to text by a service of the operator's choice (no Chinese model ships in a package with a permissive licence):
the sound track of a file becomes a text that all text checks look at, with the seconds at which each part was said.

It is sent the sound as WAV (mono, 16 kHz, 16 bit) and answers `{"version"?, "segments": [{"start", "end", "text"}]}`.
"""

from __future__ import annotations

import io
import wave

import msgspec
from django.conf import settings

from moderation import media
from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.outside import Away, Service
from moderation.policy import Found

RATE = 16_000
MOST_TEXT = 200_000


class Segment(msgspec.Struct):
    """What was said from one second to another."""

    start: float
    end: float
    text: str


class Transcript(msgspec.Struct):
    """What the service answers."""

    segments: list[Segment]
    version: str = ""


class Speech(Check):
    """Adds the transcript to the side's texts; finds nothing itself."""

    name = "speech"
    modality = "file"
    cost = 90
    limit = 120.0

    def __init__(self, service: Service) -> None:
        self.service = service

    def version(self, library: Loaded) -> str:
        """The address is the operator's."""
        return f"{self.service.name} {self.service.url}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """No finding; a sound track that could not be heard is a check that failed."""
        boxed = media.boxed(side)
        if boxed is None or not boxed.sound:
            return []
        transcript = self._hear(boxed.sound)
        said, layout = "", []
        for segment in transcript.segments:
            part = segment.text.strip().replace("\x00", "")
            if not part or len(said) + len(part) > MOST_TEXT:
                continue
            said += ("\n" if said else "") + part
            layout.append({"start": len(said) - len(part), "end": len(said), "seconds": round(segment.start, 2)})
        if said:
            side.texts.append(
                Text("transcript", said, layout, check=self.name, version=transcript.version[:80] or self.service.name)
            )
        return []

    def _hear(self, sound: bytes) -> Transcript:
        packed = io.BytesIO()
        with wave.open(packed, "wb") as wav:
            wav.setnchannels(1)
            wav.setsampwidth(2)
            wav.setframerate(RATE)
            wav.writeframes(sound)
        raw = self.service.ask(packed.getvalue(), content_type="audio/wav")
        try:
            return msgspec.convert(raw, Transcript, strict=True)
        except msgspec.ValidationError:
            raise Away("not_understood") from None


def from_settings() -> Speech | None:
    """The check as the operator set it; None where no address is given."""
    if not settings.SPEECH_URL:
        return None
    return Speech(
        Service(
            "speech",
            settings.SPEECH_URL,
            settings.SPEECH_KEY,
            seconds=settings.SPEECH_SECONDS,
            per_day=settings.SPEECH_PER_DAY,
        )
    )


if _given := from_settings():
    register(_given)
