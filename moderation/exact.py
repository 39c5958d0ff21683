"""The file hashes of the feature library (DS-10b): files known byte for byte by their SHA-256."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from moderation.entries import Entry, Match
from moderation.entry_columns import EntryColumns
from moderation.layers import Layers
from moderation.near_hashes import words

_sha256 = re.compile("[0-9a-f]{64}").fullmatch


def parse(value: str) -> bytes:
    """A SHA-256 written as 64 hexadecimal digits. Raises ValueError for anything else."""
    value = value.strip().lower()
    if not _sha256(value):
        raise ValueError("a SHA-256 has 64 hexadecimal digits")
    return bytes.fromhex(value)


class _Files:
    """One layer, found by the first eight bytes in a sorted column."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        codes = bytearray()

        def seen() -> Iterator[Entry]:
            for entry in entries:
                codes.extend(parse(entry.value))
                yield entry

        self._columns = EntryColumns(seen(), self._value)
        self._codes = words(codes)
        self._rows = np.argsort(self._codes[:, 0], kind="stable").astype(np.int32)
        self._begins = self._codes[self._rows, 0]

    def __len__(self) -> int:
        return len(self._columns)

    def _value(self, row: int) -> str:
        return self._codes[row].tobytes().hex()

    def entries(self) -> Iterator[Entry]:
        return (self._columns.entry(row) for row in range(len(self)))

    def holding(self, ids: set[int]) -> set[int]:
        return self._columns.holding(ids)

    def same(self, code: bytes) -> list[Match]:
        asked = np.frombuffer(code, dtype=np.uint64)
        begin = int(np.searchsorted(self._begins, asked[0], side="left"))
        end = int(np.searchsorted(self._begins, asked[0], side="right"))
        rows = [int(row) for row in self._rows[begin:end] if (self._codes[row] == asked).all()]
        return [Match(self._columns.entry(row), distance=0.0) for row in rows]


class Exact:
    """Entries of the kind `sha256`. Never changes; `added` and `without` answer a new one that shares what is large."""

    def __init__(self, entries: Iterable[Entry] = (), *, layers: Layers[_Files] | None = None) -> None:
        """Raises ValueError for an entry whose value is not a SHA-256."""
        self._layers = layers if layers is not None else Layers(_Files).added(entries)

    def __len__(self) -> int:
        return len(self._layers)

    def added(self, entries: Iterable[Entry]) -> Exact:
        """With these entries; one whose id is there already takes the place of the old one."""
        return Exact(layers=self._layers.added(entries))

    def without(self, ids: Iterable[int]) -> Exact:
        """Without the entries of these ids."""
        return Exact(layers=self._layers.without(ids))

    def find(self, sha256: str) -> list[Match]:
        """The entries that are this file, allow-list entries among them. Raises ValueError for what is no SHA-256."""
        code = parse(sha256)
        return self._layers.find(lambda layer: layer.same(code))
