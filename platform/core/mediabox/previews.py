"""What people see: encoded by the parent, from bare pixels (M11)."""

from __future__ import annotations

import io

from core.mediabox.boxed import Frame

PREVIEW = 1600
PREVIEW_TYPE = "image/jpeg"


def encoded(frame: Frame, *, longest: int = PREVIEW) -> bytes:
    """The frame as a JPEG of at most `longest` pixels a side, made of its pixels and nothing else (no metadata)."""
    from PIL import Image  # only where files are looked at; it encodes here, and decodes nothing

    picture = Image.frombytes("RGB", (frame.width, frame.height), frame.rgb)
    picture.thumbnail((longest, longest), Image.Resampling.BICUBIC, reducing_gap=2.0)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=85)
    return target.getvalue()


def poster(frames: list[Frame]) -> Frame | None:
    """The first frame on which there is something to see, else the first."""
    for frame in frames:
        step = max(1, len(frame.rgb) // 3000)
        seen = frame.rgb[::step]
        if max(seen) - min(seen) > 40:
            return frame
    return frames[0] if frames else None
