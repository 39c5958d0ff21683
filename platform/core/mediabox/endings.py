"""Where a picture ends by its own account. What follows is no part of it and is shown by no viewer (M11)."""

from __future__ import annotations

import re
from collections.abc import Callable

from core.mediabox.formats import has_second_magic

Bytes = bytes | memoryview
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in coded data FF is followed by 00 or a restart


class Broken(Exception):
    """It has no end: cut off, or not what it says."""


def jpeg(data: bytes) -> int:
    """The byte after the end of the picture."""
    at = 2
    while True:
        if data[at : at + 1] != b"\xff":
            raise Broken
        kind = data[at + 1 : at + 2]
        if kind == b"\xd9":
            return at + 2
        if kind == b"\xff":
            at += 1
            continue
        size = int.from_bytes(data[at + 2 : at + 4])
        if not kind or size < 2:
            raise Broken
        at += 2 + size
        if kind == b"\xda":
            found = _MARKER.search(data, at)
            if found is None:
                raise Broken
            at = found.start()


def png(data: bytes) -> int:
    """The byte after the end of the picture."""
    at = 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        at += 12 + size
        if kind == b"IEND":
            return at
    raise Broken


def gif(data: bytes) -> int:
    """The byte after the end of the picture."""
    return walk_gif(data)[0]


def walk_gif(data: bytes, most: int = 100_000) -> tuple[int, int]:
    """The byte after the end, and how many frames there are (counting stops at `most`)."""
    if len(data) < 13:
        raise Broken
    at = 13 + _colours(data[10])
    frames = 0
    while at < len(data) and frames < most:
        kind = data[at]
        if kind == 0x3B:
            return at + 1, frames
        if kind == 0x2C and at + 10 <= len(data):
            frames += 1
            at += 10 + _colours(data[at + 9]) + 1
        elif kind == 0x21:
            at += 2
        else:
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    if frames >= most:
        return len(data), frames
    raise Broken


def _colours(packed: int) -> int:
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def riff(data: bytes) -> int:
    """The byte after the end of the picture."""
    size = int.from_bytes(data[4:8], "little")
    end = 8 + size + (size & 1)
    if end > len(data) + 1:
        raise Broken
    return min(end, len(data))


_ENDS: dict[str, Callable[[bytes], int]] = {"jpeg": jpeg, "png": png, "gif": gif, "webp": riff}


def flags(name: str, data: bytes) -> list[str]:
    """`truncated`, `trailing_data`, `second_magic`, as they apply. Zeros after the end are padding of cameras."""
    found = []
    end = len(data)
    try:
        end = _ENDS[name](data)
    except (Broken, IndexError):
        found.append("truncated")
    rest = data[end:]
    trailing = bool(rest.strip(b"\x00"))
    if trailing:
        found.append("trailing_data")
    if has_second_magic(data) or (trailing and has_second_magic(rest, after_the_end=True)):
        found.append("second_magic")
    return found


_BOXES = re.compile(rb"[ -~\xa9]{4}")


def boxes(read: Callable[[int, int], bytes], size: int, most: int = 10_000) -> list[str]:
    """The same of an MP4 or QuickTime file, by its outermost boxes; `read(offset, length)` answers bytes of it."""
    at = 0
    for _ in range(most):
        if at >= size:
            break
        head = read(at, 16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        elif length == 0:
            length = size - at
        if len(head) < 8 or length < 8 or not _BOXES.fullmatch(head[4:8]):
            rest = read(at, 65536)
            return ["trailing_data"] if rest.strip(b"\x00") else []
        at += length
    return ["truncated"] if at > size else []
