"""The videos of the feature library (DS-10b): which entries a given video shows, wholly or in part.

Two ways. *Frames*: enough frames of the one are, within 31 bits, frames of the other, at whatever time; this finds an
entry inside a longer video, and an excerpt of an entry. *In step*: a video of the same length, looked at at the same
sixteen times, is on the mean nearer than different pictures ever are. No frame has to be near by itself, so this
finds what carries a large logo, a frame or a filter on every picture: two different pictures are about 128 bits apart,
give or take a dozen, and the mean over eight different ones strays from that by four.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from moderation import pdq
from moderation.entries import Entry, Match
from moderation.layers import Layers
from moderation.near_hashes import Codes, NearHashes, words
from moderation.video_hash import EVEN, FrameHash, distinct

SHARE = 0.5  # of the frames of the one that must be frames of the other (option `min_share`)
LEAST = 2  # matching frames, where both have as many: one picture alone may be a title card that many share
IN_STEP = 85.0  # bits on the mean over frames in step
BY_FRAME = 7  # bits that each different frame allows, beside the 31 of a single picture, up to IN_STEP
SAME_LENGTH = 0.03  # by how much of its length the other may be longer or shorter; and half a second


class _Videos:
    """One layer: the frames of all its entries in one table, and those in step side by side."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: list[Entry] = []
        codes = bytearray()
        owner: list[tuple[int, int, bool]] = []  # of each hash: which entry, which of its frames, without bars or not
        stepped: list[tuple[int, float]] = []  # which entry has frames in step, and its length
        steps, seen = bytearray(), []
        for row, entry in enumerate(entries):
            data = entry.data
            if not data.get("frames"):
                raise ValueError(f"entry {entry.id} has no frames")
            for form in ("frames", "bare"):
                for number, value in enumerate(data.get(form, ())):
                    if form == "frames" or value != data["frames"][number]:
                        codes.extend(pdq.parse(value))
                        owner.append((row, number, form == "bare"))
            if len(data.get("even", ())) == len(data.get("even_bare", ())) == EVEN:
                for value in (*data["even"], *data["even_bare"]):
                    steps.extend(pdq.parse(value) if value else bytes(32))
                    seen.append(bool(value))
                stepped.append((row, float(data.get("seconds", 0))))
            self._entries.append(replace(entry, data={}))  # the hashes are in tables already, in a fifth of the memory
        self._hashes = NearHashes(words(codes))
        self._owner = np.array(owner, dtype=np.int32).reshape(-1, 3)
        self._counts = np.bincount(self._owner[~self._owner[:, 2].astype(bool), 0], minlength=len(self._entries))
        self._steps = words(steps).reshape(-1, 2, EVEN, 4)
        self._seen = np.array(seen, dtype=bool).reshape(-1, 2, EVEN)[:, 0]
        self._stepped = np.array([row for row, _length in stepped], dtype=np.int32)
        self._lengths = np.array([length for _row, length in stepped])
        self._ids = {entry.id for entry in self._entries}

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> Iterator[Entry]:
        begins = np.searchsorted(self._owner[:, 0], np.arange(len(self._entries) + 1))
        steps = {int(row): at for at, row in enumerate(self._stepped)}
        for row, entry in enumerate(self._entries):
            yield replace(entry, data=self._data(slice(begins[row], begins[row + 1]), steps.get(row)))

    def _data(self, places: slice, step: int | None) -> dict[str, Any]:
        frames: list[str] = []
        bare: list[str] = []
        for (_row, number, is_bare), code in zip(self._owner[places].tolist(), self._hashes.codes[places], strict=True):
            if is_bare:
                bare[number] = code.tobytes().hex()
            else:
                frames.append(code.tobytes().hex())
                bare.append(frames[-1])
        if step is None:
            return {"frames": frames, "bare": bare}
        even, even_bare = (
            [code.tobytes().hex() if seen else "" for code, seen in zip(codes, self._seen[step], strict=True)]
            for codes in self._steps[step]
        )
        return {
            "frames": frames,
            "bare": bare,
            "even": even,
            "even_bare": even_bare,
            "seconds": float(self._lengths[step]),
        }

    def holding(self, ids: set[int]) -> set[int]:
        return ids & self._ids

    def by_frames(self, frames: Sequence[FrameHash]) -> Iterator[Match]:
        """Entries that share enough frames."""
        seen: dict[int, _Seen] = {}
        for frame in frames:
            for code in {frame.code, frame.bare}:
                rows, apart = self._hashes.within(code)
                for (entry, number, _bare), bits in zip(self._owner[rows].tolist(), apart.tolist(), strict=True):
                    seen.setdefault(entry, _Seen()).add(frame.seconds, number, bits)
        for row, what in seen.items():
            entry = self._entries[row]
            count = int(self._counts[row])
            share = max(len(what.numbers) / count, len(what.times) / len(frames))
            enough = min(LEAST, count, len(frames))
            if share >= float(entry.options.get("min_share", SHARE)) and len(what.times) >= enough:
                yield _match(entry, sum(what.times.values()) / len(what.times), min(what.times), len(what.times))

    def in_step(self, frames: Sequence[FrameHash], seconds: float) -> Iterator[Match]:
        """Entries of the same length whose frames, taken at the same times, are near on the mean."""
        rows = np.flatnonzero(np.abs(self._lengths - seconds) <= SAME_LENGTH * seconds + 0.5)
        if len(frames) != EVEN or not len(rows):
            return
        both = self._seen[rows] & np.array([frame.good for frame in frames])
        allowed = min(IN_STEP, pdq.SAME + BY_FRAME * len(distinct(frames, pdq.SAME)))
        bits = np.minimum(
            self._mean_bits(rows, 0, both, [frame.code for frame in frames]),
            self._mean_bits(rows, 1, both, [frame.bare for frame in frames]),
        )
        for at in np.flatnonzero((bits <= allowed) & (both.sum(axis=1) * 2 >= EVEN)):
            first = frames[int(both[at].argmax())].seconds
            yield _match(self._entries[self._stepped[rows[at]]], float(bits[at]), first, int(both[at].sum()))

    def _mean_bits(
        self, rows: npt.NDArray[np.intp], form: int, both: npt.NDArray[np.bool_], codes: list[bytes]
    ) -> npt.NDArray[np.float64]:
        asked: Codes = words(b"".join(codes))
        apart = np.bitwise_count(self._steps[rows, form] ^ asked).sum(axis=2, dtype=np.int32)
        return np.asarray((apart * both).sum(axis=1) / np.maximum(both.sum(axis=1), 1))


class _Seen:
    """What of an entry was seen in a video: its frames, and when with how many bits between."""

    __slots__ = ("numbers", "times")

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.times: dict[float, int] = {}

    def add(self, seconds: float, number: int, bits: int) -> None:
        self.numbers.add(number)
        self.times[seconds] = min(bits, self.times.get(seconds, bits))


def _match(entry: Entry, bits: float, first: float, frames: int) -> Match:
    return Match(
        entry, distance=round(bits, 2), score=round(1.0 - bits / pdq.BITS, 4), detail=f"{first:.1f} s, {frames} frames"
    )


class VideoIndex:
    """Entries of the kind `video` by their `data` (`moderation.video_hash.data_of`). Never changes; `added` and `without`
    answer a new one. An entry's option `min_share` (0.5) says what share of frames must match."""

    def __init__(self, entries: Iterable[Entry] = (), *, layers: Layers[_Videos] | None = None) -> None:
        """Raises ValueError for an entry without frames or with one that is no PDQ hash."""
        self._layers = layers if layers is not None else Layers(_Videos).added(entries)

    def __len__(self) -> int:
        return len(self._layers)

    def added(self, entries: Iterable[Entry]) -> VideoIndex:
        """With these entries; one whose id is there already takes the place of the old one."""
        return VideoIndex(layers=self._layers.added(entries))

    def without(self, ids: Iterable[int]) -> VideoIndex:
        """Without the entries of these ids."""
        return VideoIndex(layers=self._layers.without(ids))

    def find(self, frames: Sequence[FrameHash], seconds: float = 0.0) -> list[Match]:
        """The entries that a video of these frames and this length shows, the nearest first. `distance` is the mean over
        the matching frames in bits, `detail` the time of the first one and how many matched."""
        good = [frame for frame in frames if frame.good]

        def ask(layer: _Videos) -> Iterator[Match]:
            if good:
                yield from layer.by_frames(good)
                yield from layer.in_step(frames, seconds)

        nearest: dict[int, Match] = {}
        for match in sorted(self._layers.find(ask), key=lambda match: (match.distance, match.entry.id)):
            nearest.setdefault(match.entry.id, match)
        return list(nearest.values())
