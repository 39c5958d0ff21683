"""Hostile media is decoded in a box: one process per file, shut in before it reads the first byte (security M1-M18).

    boxed = mediabox.open_up(path)

This is the parent's side. It looks at the first bytes of the file, starts the box, reads its answer as the words of an
enemy, and kills it when its time is up. The pictures that people see are encoded here, from bare pixels: whatever was
in the file, or got hold of the box, can't hand them anything else.
"""

from __future__ import annotations

import os
from pathlib import Path

from core.mediabox import formats, starting
from core.mediabox.boxed import Boxed, Frame, Limits, Refused, Undecodable
from core.mediabox.formats import FLAGS, NOT_ALL_SEEN
from core.mediabox.previews import PREVIEW_TYPE, encoded
from core.mediabox.starting import BOX_VERSION, state

__all__ = [
    "BOX_VERSION", "FLAGS", "NOT_ALL_SEEN", "PREVIEW_TYPE", "Boxed", "Frame", "Limits", "Refused", "Undecodable",
    "encoded", "open_up", "state",
]  # fmt: skip


def open_up(path: Path | str, *, frames: int = 16, sound: bool = True, limits: Limits | None = None) -> Boxed:
    """Decode a file in a process of its own: at most `frames` (up to 60) pictures of it, and its sound if wanted.

    Raises Refused (the format, a codec or a size said by the file is not on the allow-list) and Undecodable (broken,
    crashed, out of time, out of memory); a person looks at both. Never raises for anything the file does otherwise, and
    never answers a part of it without saying so in `flags`."""
    limits = limits or Limits()
    with open(path, "rb") as opened:
        known = formats.recognise(os.pread(opened.fileno(), formats.HEAD, 0))
        if isinstance(known, str):
            raise Refused(f"format {known}")
        if known.pillow and os.fstat(opened.fileno()).st_size > limits.image_bytes:
            raise Refused(f"more than {limits.image_bytes // 1_000_000} MB")
        boxed = starting.run(opened.fileno(), known, frames=max(1, min(frames, 60)), sound=sound, limits=limits)
    return boxed
