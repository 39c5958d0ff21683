"""Videos by the PDQ hashes of frames taken from them at even times (in the manner of Meta's vPDQ).

Frames without enough to be seen in them (black, a fade, a plain card) are left out: they are the same in every video.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import mediabox
from moderation import pdq

EVEN = 16  # frames that screening takes from a video (moderation.media.FRAMES), in the middle of as many equal parts
FRAMES = 3 * EVEN  # taken for an entry; every third one is at the time of one of those


class NotAVideo(ValueError):
    """There is no video to take hashes of; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class FrameHash:
    """The hashes of a frame as it is and without even bars at its edges (the same where it has none), when it shows, and
    how much there is to be seen in it."""

    seconds: float
    code: bytes
    bare: bytes
    quality: int

    @property
    def good(self) -> bool:
        """Whether there is enough in it to tell it from others."""
        return self.quality >= pdq.GOOD


def of_frames(frames: Iterable[mediabox.Frame]) -> list[FrameHash]:
    """The hashes of frames, in their order; those of too few pixels have quality 0."""
    found = []
    for frame in frames:
        plane = pdq.luma(frame.rgb, frame.width, frame.height)
        if min(plane.shape) < pdq.SMALLEST:
            found.append(FrameHash(frame.seconds, bytes(32), bytes(32), 0))
            continue
        core = pdq.trimmed(plane)
        bare, good = pdq.of_plane(core)
        code = bare if core is plane else pdq.of_plane(plane)[0]
        found.append(FrameHash(frame.seconds, code, bare, good))
    return found


def of_boxed(boxed: mediabox.Boxed) -> list[FrameHash]:
    """The hashes of the frames of a video, or of a moving picture, that is open already; without the picture on its
    cover, which is no part of it."""
    frames = boxed.frames
    if boxed.kind == "video" and "cover" in boxed.flags and "cover_not_decodable" not in boxed.flags:
        frames = frames[:-1]
    return of_frames(frames)


def distinct(frames: Sequence[FrameHash], apart: int) -> list[FrameHash]:
    """The good frames without those that look like one before them: a still scene counts once."""
    kept: list[FrameHash] = []
    for frame in frames:
        if frame.good and all(pdq.distance(frame.bare, other.bare) > apart for other in kept):
            kept.append(frame)
    return kept


def data_of(frames: Sequence[FrameHash], seconds: float) -> dict[str, Any]:
    """What an entry of the kind `video` keeps in its `data`: `frames` and `bare`, the hashes of its distinct frames as
    they are and without bars, and, where there are enough, `even` and `even_bare`, those of the frames that screening
    would take ("" for one with nothing to be seen in it), with the playing time. Raises NotAVideo where no frame has
    anything in it."""
    kept = distinct(frames, pdq.SAME // 2)
    if not kept:
        raise NotAVideo("no frame has enough to be seen in it")
    data: dict[str, Any] = {
        "frames": [frame.code.hex() for frame in kept],
        "bare": [frame.bare.hex() for frame in kept],
        "seconds": round(seconds, 3),
    }
    even = list(frames[1::3]) if len(frames) == FRAMES else list(frames)
    if len(even) == EVEN:
        data["even"] = [frame.code.hex() if frame.good else "" for frame in even]
        data["even_bare"] = [frame.bare.hex() if frame.good else "" for frame in even]
    return data


def of_file(path: Path | str) -> dict[str, Any]:
    """What an entry keeps of a video's file (see `data_of`), opened in the box. Raises NotAVideo where there is none or
    nothing to be seen in it, and what the box raises."""
    boxed = mediabox.open_up(path, frames=FRAMES, sound=False)
    if len(boxed.frames) < 2 or boxed.kind == "audio":
        raise NotAVideo(f"{boxed.kind} is no video")
    return data_of(of_boxed(boxed), boxed.seconds)
