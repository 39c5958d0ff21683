"""The image hashes of the feature library (DS-10b): which entries show the same picture as a given one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from moderation import pdq
from moderation.entries import Entry, Match
from moderation.entry_columns import EntryColumns
from moderation.layers import Layers
from moderation.near_hashes import REACH, NearHashes, words


def reach_of(entry: Entry) -> int:
    """Up to how many bits an entry matches: its option `max_distance`, 31 where it has none; never more than 31, beyond
    which different pictures begin to look alike to PDQ."""
    return max(0, min(int(entry.options.get("max_distance", pdq.SAME)), REACH))


class _Images:
    """One layer. An entry has the hash that is its value, and may have others of the same picture (without its bars, say)
    in `data["variants"]`."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._variants: dict[int, list[bytes]] = {}
        codes = bytearray()
        reaches = bytearray()

        def seen() -> Iterator[Entry]:
            for row, entry in enumerate(entries):
                codes.extend(pdq.parse(entry.value))
                reaches.append(reach_of(entry))
                if entry.data and entry.data.get("variants"):
                    self._variants[row] = [pdq.parse(value) for value in entry.data["variants"]]
                yield entry

        self._columns = EntryColumns(seen(), self._value)
        further = [(row, code) for row, more in self._variants.items() for code in more]
        for _row, code in further:
            codes.extend(code)
        self._hashes = NearHashes(words(codes))
        self._reaches = np.frombuffer(reaches, dtype=np.uint8)
        self._owner = np.array([row for row, _code in further], dtype=np.int32)  # of the hashes after the entries' own

    def __len__(self) -> int:
        return len(self._columns)

    def _value(self, row: int) -> str:
        return self._hashes.codes[row].tobytes().hex()

    def entries(self) -> Iterator[Entry]:
        for row in range(len(self)):
            entry = self._columns.entry(row)
            if row in self._variants:
                more = [code.hex() for code in self._variants[row]]
                entry = Entry(
                    entry.id, entry.version, entry.value, entry.category, entry.severity, entry.kind, entry.options,
                    {"variants": more}, entry.allow, entry.rollout,
                )  # fmt: skip
            yield entry

    def holding(self, ids: set[int]) -> set[int]:
        return self._columns.holding(ids)

    def near(self, code: bytes, distance: int) -> list[Match]:
        rows, apart = self._hashes.within(code, distance)
        nearest: dict[int, int] = {}
        for place, bits in zip(rows.tolist(), apart.tolist(), strict=True):
            row = place if place < len(self) else int(self._owner[place - len(self)])
            if bits <= self._reaches[row]:
                nearest[row] = min(bits, nearest.get(row, bits))
        return [
            Match(self._columns.entry(row), distance=float(bits), score=1.0 - bits / pdq.BITS)
            for row, bits in nearest.items()
        ]

    @property
    def nbytes(self) -> int:
        return self._hashes.nbytes + self._columns.nbytes + self._reaches.nbytes


class ImageIndex:
    """Entries of the kind `image` by their PDQ hash. Exact up to 31 bits. Never changes: `added` and `without` answer a
    new one that shares what is large, in milliseconds for a few entries beside a million."""

    def __init__(self, entries: Iterable[Entry] = (), *, layers: Layers[_Images] | None = None) -> None:
        """Raises ValueError for an entry whose value is not a PDQ hash."""
        self._layers = layers if layers is not None else Layers(_Images).added(entries)

    def __len__(self) -> int:
        return len(self._layers)

    def added(self, entries: Iterable[Entry]) -> ImageIndex:
        """With these entries; one whose id is there already takes the place of the old one."""
        return ImageIndex(layers=self._layers.added(entries))

    def without(self, ids: Iterable[int]) -> ImageIndex:
        """Without the entries of these ids."""
        return ImageIndex(layers=self._layers.without(ids))

    def find(self, code: bytes, max_distance: int = REACH) -> list[Match]:
        """The entries within their own distance, and within `max_distance`, of a hash of 32 bytes; the nearest first.
        Raises ValueError for a distance above 31 or a hash that is none."""
        found = self._layers.find(lambda layer: layer.near(code, max_distance))
        return sorted(found, key=lambda match: (match.distance, match.entry.id))

    @property
    def nbytes(self) -> int:
        """Memory of the hashes, tables and columns."""
        return sum(layer.nbytes for layer, _gone in self._layers.parts)
