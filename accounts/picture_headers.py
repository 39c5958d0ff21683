"""What the first bytes of a picture say of it: its kind and its size in pixels. Nothing is decoded here: a picture from
a stranger is only ever decoded by the browser of the person who looks at it."""

from __future__ import annotations

import struct
from typing import NamedTuple

PNG, JPEG = "image/png", "image/jpeg"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_SCAN, _END = 0xDA, 0xD9


class Header(NamedTuple):
    """A picture's kind and its size in pixels; 0 × 0 when its header can't be read."""

    media_type: str
    width: int
    height: int


def read(data: bytes) -> Header | None:
    """The header of a PNG or JPEG, by what it is and not by what it is called; None for anything else."""
    if data.startswith(_PNG_SIGNATURE):
        return Header(PNG, *_png_size(data))
    if data.startswith(_JPEG_START):
        return Header(JPEG, *_jpeg_size(data))
    return None


def _png_size(data: bytes) -> tuple[int, int]:
    # The first chunk must be IHDR with its 13 bytes: length, name, width, height.
    if len(data) < 33 or data[8:16] != b"\x00\x00\x00\rIHDR":
        return 0, 0
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return 0, 0
        marker = data[at + 1]
        if marker == 0xFF:  # a byte of filling
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in (_SCAN, _END):
            return 0, 0  # the picture begins before its size was told
        elif marker in _FRAMES:
            if at + 9 > len(data):
                return 0, 0
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return 0, 0
