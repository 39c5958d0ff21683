"""Pictures with writing in them, drawn by the tests themselves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.mediabox import Boxed, Frame

FONT = Path(__file__).parent / "data" / "noto-sans-sc-few.woff2"  # a few characters, OFL


def written(
    lines: Sequence[str],
    *,
    size: tuple[int, int] = (900, 500),
    letters: int = 40,
    at: tuple[int, int] = (60, 60),
    ink: str = "black",
    ground: str = "white",
) -> Image.Image:
    """A picture with lines of writing, the first one at `at`."""
    picture = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.truetype(FONT, letters)
    for number, line in enumerate(lines):
        draw.text((at[0], at[1] + number * letters * 2), line, font=font, fill=ink)
    return picture


def png(picture: Image.Image) -> bytes:
    """As a file."""
    target = io.BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()


def frame(picture: Image.Image, *, seconds: float = 0.0, scale: float = 1.0) -> Frame:
    """As the box hands it out, made smaller by `scale`."""
    if scale != 1.0:
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS
        )
    return Frame(seconds, picture.width, picture.height, np.asarray(picture.convert("RGB")).tobytes(), scale)


def picture_boxed(*pictures: Image.Image, kind: str = "image") -> Boxed:
    """What the box would have made of these pictures; as many seconds long as there are of them."""
    frames = [frame(picture, seconds=float(number)) for number, picture in enumerate(pictures)]
    first = pictures[0]
    return Boxed(
        kind=kind,
        media_type="image/png" if kind == "image" else "video/mp4",
        width=first.width,
        height=first.height,
        seconds=float(len(frames)) if kind == "video" else 0.0,
        frames=frames,
        preview=png(first),
        codecs={kind: "png" if kind == "image" else "h264"},
    )
