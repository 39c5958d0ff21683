"""What comes out of the box, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class Refused(Exception):
    """Not opened: the format, a codec or a size said by the file itself is not on the allow-list. A person looks."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Undecodable(Exception):
    """Opened in the box, and nothing came of it: broken, crashed (`crashed: SIGSEGV`), out of time, out of memory. A
    person looks. `crashed` is true where the box died; such a file isn't opened a third time (M17)."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason

    @property
    def crashed(self) -> bool:
        return self.reason.startswith("crashed")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one file may cost. Sizes said by a header beyond these are Refused, the rest ends as Undecodable."""

    pixels: int = 50_000_000  # of one picture or video frame (M1)
    all_pixels: int = 200_000_000  # of all frames of a moving picture together (M2)
    seconds: float = 1800.0  # playing time (M3)
    rate: float = 120.0  # video frames a second (M3)
    streams: int = 8  # in one container (M3)
    image_bytes: int = 64_000_000  # of a picture's file, which is read whole
    memory: int = 700_000_000  # address space of the box (M9)
    cpu: int | None = None  # processor seconds; None: by kind (M9)
    wall: float | None = None  # seconds until the box is killed; None: by kind (M17)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture: RGB, one byte a colour, `width * height * 3` bytes. `scale` is decoded / original length."""

    seconds: float
    width: int
    height: int
    rgb: bytes
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Boxed:
    """What the box made of a file. `kind` is image, audio or video; `width` and `height` are of the original as a viewer
    shows it; `sound` is mono s16le at 16 kHz or None; `metadata` is at most 64 KiB as JSON; `preview` is a WebP or JPEG of
    at most 1600 px without metadata, empty where there is nothing to see."""

    kind: str
    media_type: str
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    frames: list[Frame] = field(default_factory=list)
    sound: bytes | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    preview: bytes = b""
    codecs: dict[str, str] = field(default_factory=dict)
