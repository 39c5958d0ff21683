"""The sounds of the feature library (DS-10b): which entries are to be heard in a given sound, at least 4 s of them (or all
of an entry that is shorter).

Prints of all entries lie sorted in one column. Each print of the sound, and each of the 32 that differ from it in one bit,
is sought there; a place that is found says how the two sounds would lie side by side, and only then are they compared bit
by bit. At an error rate of 0.2 one print in a hundred is found so, which in 4 s of sound is about one, and in 20 s six.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from moderation.audio_print import HOP, RATE, SAME, SHORTEST, STRETCH, Prints, heard, parse
from moderation.entries import Entry, Match
from moderation.layers import Layers

HEARD = 0.75  # of a stretch that must hold something, in both sounds
SAME_SHORT = 0.25  # share of bits that may differ where there is less than a stretch to compare
COMMON = 1000  # a print that occurs so often (a steady tone) leads nowhere
PLACES = 2000  # ways to lie side by side that are compared, those with the most prints in common first
_AT_ONCE = 4096  # prints sought together
_FLIPS = np.array([0, *(1 << bit for bit in range(32))], dtype=np.uint32)


class _Sounds:
    """One layer: the prints of all its entries behind one another, and sorted."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: list[Entry] = []
        prints: list[Prints] = []
        for entry in entries:
            some = parse(entry.data.get("prints", ()))
            if heard(some) < SHORTEST:
                raise ValueError(f"entry {entry.id} has less than two seconds of sound")
            prints.append(some)
            self._entries.append(replace(entry, data={}))  # the prints are here already, in a hundredth of the memory
        self._prints = np.concatenate(prints) if prints else np.zeros(0, dtype=np.uint32)
        self._begins = np.cumsum([0, *map(len, prints)])
        order = np.argsort(self._prints, kind="stable").astype(np.int32)
        self._order = order[self._prints[order] != 0]
        self._sorted = self._prints[self._order]
        self._ids = {entry.id for entry in self._entries}

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> Iterator[Entry]:
        for row, entry in enumerate(self._entries):
            prints = self._prints[self._begins[row] : self._begins[row + 1]]
            yield replace(entry, data={"prints": prints.tolist()})

    def holding(self, ids: set[int]) -> set[int]:
        return ids & self._ids

    def near(self, asked: Prints) -> Iterator[Match]:
        best: dict[int, tuple[float, int, int]] = {}
        for row, shift in self._places(asked):
            entry, count = self._entries[row], int(self._begins[row + 1] - self._begins[row])
            found = _compared(asked, self._prints[self._begins[row] : self._begins[row + 1]], shift)
            if found is None:
                continue
            errors, at, length = found
            allowed = float(entry.options.get("max_error", SAME))
            if errors <= (allowed if length >= STRETCH else min(allowed, SAME_SHORT)):
                best[row] = min(best.get(row, (1.0, 0, count)), (errors, at, length))
        for row, (errors, at, length) in best.items():
            yield Match(
                self._entries[row],
                distance=round(errors * 32, 2),
                score=round(1.0 - errors, 4),
                detail=f"{at * HOP / RATE:.1f} s, {length * HOP / RATE:.1f} s",
            )

    def _places(self, asked: Prints) -> Iterator[tuple[int, int]]:
        """Entries and by how many prints they would begin before the sound does, the likeliest first."""
        found: list[npt.NDArray[np.int64]] = []
        sought = np.flatnonzero(asked)
        for begin in range(0, len(sought), _AT_ONCE):
            at = sought[begin : begin + _AT_ONCE]
            values = (asked[at][:, None] ^ _FLIPS).reshape(-1)
            low = np.searchsorted(self._sorted, values, side="left")
            counts = np.searchsorted(self._sorted, values, side="right") - low
            counts[counts > COMMON] = 0
            before = np.cumsum(counts) - counts
            places = self._order[np.repeat(low - before, counts) + np.arange(int(counts.sum()))]
            times = np.repeat(np.repeat(at, len(_FLIPS)), counts)
            rows = np.searchsorted(self._begins, places, side="right") - 1
            shifts = places - self._begins[rows] - times
            found.append(np.stack([rows, shifts], axis=1))
        if not found:
            return
        pairs, votes = np.unique(np.concatenate(found), axis=0, return_counts=True)
        yield from pairs[np.argsort(-votes, kind="stable")[:PLACES]].tolist()


def _compared(asked: Prints, known: Prints, shift: int) -> tuple[float, int, int] | None:
    """The least share of differing bits over a stretch of the one laid beside the other, where it begins in `asked` and
    how many prints it has; None where no stretch has enough to be heard in it."""
    begin = max(0, -shift)
    one, other = asked[begin:], known[begin + shift :]
    both = min(len(one), len(other))
    length = min(STRETCH, len(known), len(asked))
    if both < length or length < SHORTEST:
        return None
    one, other = one[:both], other[:both]
    counted = (one != 0) & (other != 0)
    bits = np.bitwise_count(one ^ other) * counted
    over = np.cumsum(np.concatenate([[0], bits]))
    of = np.cumsum(np.concatenate([[0], counted]))
    differing, compared = over[length:] - over[:-length], of[length:] - of[:-length]
    enough = compared >= HEARD * length
    if not enough.any():
        return None
    errors = np.where(enough, differing / np.maximum(compared * 32, 1), 1.0)
    at = int(errors.argmin())
    return float(errors[at]), begin + at, length


class AudioIndex:
    """Entries of the kind `audio` by their `data["prints"]`. Never changes; `added` and `without` answer a new one. An
    entry's option `max_error` (0.3) is the share of bits that may differ over a stretch."""

    def __init__(self, entries: Iterable[Entry] = (), *, layers: Layers[_Sounds] | None = None) -> None:
        """Raises ValueError for an entry without prints, or with less than two seconds of sound in them."""
        self._layers = layers if layers is not None else Layers(_Sounds).added(entries)

    def __len__(self) -> int:
        return len(self._layers)

    def added(self, entries: Iterable[Entry]) -> AudioIndex:
        """With these entries; one whose id is there already takes the place of the old one."""
        return AudioIndex(layers=self._layers.added(entries))

    def without(self, ids: Iterable[int]) -> AudioIndex:
        """Without the entries of these ids."""
        return AudioIndex(layers=self._layers.without(ids))

    def find(self, prints: Prints) -> list[Match]:
        """The entries to be heard in a sound of these prints, the surest first. `distance` is how many of a print's 32
        bits differ on the mean, `detail` where it begins in the sound and over how long it was compared."""
        found = self._layers.find(lambda layer: layer.near(prints))
        return sorted(found, key=lambda match: (match.distance, match.entry.id))
