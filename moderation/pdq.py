"""PDQ: a hash of 256 bits of what a picture looks like. Pictures that differ by a new encoding, size, brightness or
slight blur differ in few bits; 31 bits and fewer count as the same picture.

The published algorithm (Meta, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm", 2019): luma;
two passes of a box filter each way, as wide as 1/128 of the picture; every 64th part picked; the discrete cosine
transform's frequencies 1 to 16 each way; one bit for each that lies above their median. The filter and the picking are
linear, so here they are one matrix for the rows and one for the columns, which numpy multiplies out at once.

It agrees with the reference to within rounding (a bit or two where a frequency lies on the median): see the vectors in
the tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core import mediabox

BITS = 256
SAME = 31  # bits: the distance up to which Meta's guidance calls pictures the same
GOOD = 50  # quality below which a picture (plain colour, a gradient) has too little in it to be told from others
SMALLEST = 5  # pixels each way; below that the reference has no hash

_SIDE = 64
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

Plane = npt.NDArray[np.floating[Any]]
Pixels = npt.NDArray[np.uint8]


class NotAPicture(ValueError):
    """There is no picture of which to take a hash; the text says why, for people."""


def luma(rgb: bytes | Pixels, width: int, height: int) -> Plane:
    """The brightness of a picture given as RGB, 8 bits each. Raises NotAPicture where bytes and size don't agree."""
    pixels = np.frombuffer(rgb, dtype=np.uint8) if isinstance(rgb, (bytes, bytearray, memoryview)) else rgb
    if min(width, height) < 1 or pixels.size != width * height * 3:
        raise NotAPicture(f"{pixels.size} bytes are no picture of {width} by {height}")
    plane: Plane = pixels.reshape(height, width, 3).astype(np.float32) @ _LUMA
    return plane


def small(plane: Plane) -> Plane:
    """The picture blurred and picked down to 64 by 64. Raises NotAPicture below 5 pixels."""
    height, width = plane.shape
    if min(height, width) < SMALLEST:
        raise NotAPicture(f"a picture of {width} by {height} is too small")
    little: Plane = _picking(height) @ plane @ _picking(width).T
    return little


def quality(little: Plane) -> int:
    """How much there is to be seen, 0 to 100: the sum of steps between neighbours that an eye would notice."""
    down = ((little[:-1] - little[1:]) * np.float32(100)) / np.float32(255)
    across = ((little[:, :-1] - little[:, 1:]) * np.float32(100)) / np.float32(255)
    steps = int(np.abs(np.trunc(down)).sum() + np.abs(np.trunc(across)).sum())
    return min(steps // 90, 100)


def of_plane(plane: Plane) -> tuple[bytes, int]:
    """The hash (32 bytes) and the quality of a picture's brightness."""
    little = small(plane)
    return _bits(_frequencies(little)), quality(little)


def of_rgb(rgb: bytes | Pixels, width: int, height: int) -> tuple[bytes, int]:
    """The hash (32 bytes) and the quality of a picture given as RGB, 8 bits each. Raises NotAPicture."""
    return of_plane(luma(rgb, width, height))


def turned(plane: Plane) -> tuple[dict[str, bytes], int]:
    """The hashes of a picture and of its seven turned and mirrored forms, by what was done to it, and the quality. Each is
    the very hash that the turned picture has (turning signs of the frequencies, as the reference does, is some ten
    bits off it, and for a texture sixty, because the filter and the picking lean to one side)."""
    height, width = plane.shape
    if min(height, width) < SMALLEST:
        raise NotAPicture(f"a picture of {width} by {height} is too small")
    rows, columns = _picking(height), _picking(width)
    upright, overturned = rows @ plane, rows[:, ::-1] @ plane
    whole, mirrored = upright @ columns.T, upright @ columns[:, ::-1].T
    upside_down, half_way = overturned @ columns.T, overturned @ columns[:, ::-1].T
    little = {
        "as it is": whole,
        "mirrored": mirrored,
        "upside down": upside_down,
        "turned by 180°": half_way,
        "transposed": whole.T,
        "turned by 90°": upside_down.T,
        "turned by 270°": mirrored.T,
        "transposed across": half_way.T,
    }
    return {name: _bits(_frequencies(form)) for name, form in little.items()}, quality(whole)


def trimmed(plane: Plane, *, tolerance: float = 12.0) -> Plane:
    """The picture without even bars at its edges (letterbox, screenshot margins), or the same object where it has none
    or where too little would be left. A row or column is even when hardly a pixel of it (2 %) strays from its edge's
    middle value by more than `tolerance` of 255."""
    height, width = plane.shape
    top = _even_run(plane, tolerance)
    bottom = height - _even_run(plane[::-1], tolerance)
    left = _even_run(plane.T, tolerance)
    right = width - _even_run(plane.T[::-1], tolerance)
    if (top, bottom, left, right) == (0, height, 0, width):
        return plane
    if bottom - top < max(_SIDE, height // 5) or right - left < max(_SIDE, width // 5):
        return plane
    return plane[top:bottom, left:right]


def forms(plane: Plane) -> tuple[list[tuple[str, bytes]], int]:
    """All hashes under which a picture is looked up, each with what was done to the picture: as it is, turned, mirrored,
    and all of that again without even bars. The quality is that of the picture without bars (bars only add steps)."""
    core = trimmed(plane)
    whole, good = turned(plane)
    named = list(whole.items())
    if core is not plane:
        bare, good = turned(core)
        named += [("without bars" if turn == "as it is" else f"without bars, {turn}", h) for turn, h in bare.items()]
    return named, good


def distance(one: bytes, other: bytes) -> int:
    """In how many bits two hashes differ."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def parse(value: str) -> bytes:
    """A hash written as 64 hexadecimal digits. Raises ValueError for anything else."""
    value = value.strip()
    if len(value) != BITS // 4:
        raise ValueError("a PDQ hash has 64 hexadecimal digits")
    return bytes.fromhex(value)


def of_file(path: Path | str) -> tuple[str, int]:
    """The hash of a picture's file in hexadecimal, and its quality; the file is opened in the box (GA-14a, M1 to M18).
    Raises NotAPicture where the box finds no picture, and what the box raises."""
    boxed = mediabox.open_up(path, frames=1, sound=False)
    if boxed.kind != "image" or not boxed.frames:
        raise NotAPicture(f"{boxed.kind} is no picture")
    frame = boxed.frames[0]
    code, good = of_rgb(frame.rgb, frame.width, frame.height)
    return code.hex(), good


def _even_run(plane: Plane, tolerance: float) -> int:
    """How many rows from the first are even and alike."""
    base = np.median(plane[0])
    strays = (np.abs(plane - base) > tolerance).mean(axis=1) > 0.02
    return int(strays.argmax()) if strays.any() else 0


@lru_cache(maxsize=64)
def _picking(size: int) -> Plane:
    """64 rows of weights: what each picked pixel takes from a line of `size` pixels after two passes of the filter."""
    full = (size + 2 * _SIDE - 1) // (2 * _SIDE)
    half = (full + 2) // 2
    at = np.arange(size)
    low, high = np.maximum(at - (full - half), 0), np.minimum(at + half, size)
    weight = 1.0 / (high - low)
    picked = ((np.arange(_SIDE) + 0.5) * size / _SIDE).astype(int)
    rows = np.zeros((_SIDE, size))
    rows[np.arange(_SIDE), picked] = 1.0
    for _pass in range(2):
        # Each pixel hands its weight on, in equal parts, to the window that the filter made it of.
        edges = np.zeros((size + 1, _SIDE))
        np.add.at(edges, low, (rows * weight).T)
        np.subtract.at(edges, high, (rows * weight).T)
        rows = np.cumsum(edges[:-1], axis=0).T
    return np.ascontiguousarray(rows, dtype=np.float32)


def _cosines() -> Plane:
    row, column = np.arange(1, 17)[:, None], np.arange(_SIDE)[None, :]
    waves = np.sqrt(2.0 / _SIDE) * np.cos(np.pi / 2.0 / _SIDE * row * (2 * column + 1))
    return waves.astype(np.float32)


_DCT = _cosines()


def _frequencies(little: Plane) -> Plane:
    frequencies: Plane = _DCT @ little @ _DCT.T
    return frequencies


def _bits(frequencies: Plane) -> bytes:
    flat = frequencies.ravel()
    median = np.partition(flat, BITS // 2 - 1)[BITS // 2 - 1]  # the lower one of the two in the middle
    return np.packbits((flat > median)[::-1]).tobytes()


def flipped(code: bytes, bits: Iterable[int]) -> bytes:
    """The hash with these bits turned round: neighbours of a hash, for tests and benchmarks."""
    value = int.from_bytes(code, "big")
    for bit in bits:
        value ^= 1 << int(bit)
    return value.to_bytes(BITS // 8, "big")
