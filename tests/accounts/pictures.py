"""Pictures made on the spot: nobody's document, and small."""

from __future__ import annotations

import struct
import zlib


def png(width: int = 60, height: int = 40, *, real: bool = True) -> bytes:
    """A grey PNG with a dark band at its top, so that one sees how it is turned; `real=False`: only its header says the
    size, the picture itself is one pixel."""
    rows = [b"\x00" + bytes([60 if y < height // 4 else 200]) * width for y in range(height)] if real else [b"\x00\xc8"]
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + _chunk(b"IEND", b"")
    )


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def jpeg(width: int = 60, height: int = 40, *, before: bytes = b"", frame: int = 0xC0) -> bytes:
    """The beginning of a JPEG: enough for whoever only reads headers. `before` stands between its start and its frame."""
    jfif = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    size = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    sof = bytes([0xFF, frame]) + struct.pack(">H", 2 + len(size)) + size
    return b"\xff\xd8" + jfif + before + sof + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x00" * 20 + b"\xff\xd9"
