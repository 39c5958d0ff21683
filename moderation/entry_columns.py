"""Entries of one kind held in columns: a million of them in some 25 MB, where objects would take half a gigabyte. An
`Entry` is made again when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from moderation.entries import Entry

_COLUMNS = np.dtype(
    [("id", "i8"), ("version", "i4"), ("category", "i2"), ("kind", "i1"), ("severity", "i1"), ("allow", "?"),
     ("rollout", "i1")]
)  # fmt: skip


class EntryColumns:
    """Entries by row, without their `data`. `value_of` answers the value of a row; it is not kept here, because an index
    of hashes has it anyway."""

    def __init__(self, entries: Iterable[Entry], value_of: Callable[[int], str]) -> None:
        self._value_of = value_of
        self._options: dict[int, Any] = {}
        categories: dict[str, int] = {}
        kinds: dict[str, int] = {}

        def rows() -> Iterator[tuple[Any, ...]]:
            for row, entry in enumerate(entries):
                category = categories.setdefault(entry.category, len(categories))
                kind = kinds.setdefault(entry.kind, len(kinds))
                if entry.options:
                    self._options[row] = entry.options
                yield entry.id, entry.version, category, kind, entry.severity, entry.allow, entry.rollout

        # One by one, so that a million entries needn't all be objects at the same time.
        self._table = np.fromiter(rows(), dtype=_COLUMNS)
        self._categories, self._kinds = list(categories), list(kinds)
        self._sorted_ids = np.sort(self._table["id"])

    def __len__(self) -> int:
        return len(self._table)

    def entry(self, row: int) -> Entry:
        """The entry of a row."""
        number, version, category, kind, severity, allow, rollout = self._table[row].item()
        return Entry(
            number,
            version,
            self._value_of(row),
            self._categories[category],
            severity,
            self._kinds[kind],
            options=self._options.get(row, {}),
            allow=allow,
            rollout=rollout,
        )

    def holding(self, ids: set[int]) -> set[int]:
        """Which of these are ids of entries here."""
        if not ids:
            return set()
        wanted = np.fromiter(ids, dtype=np.int64, count=len(ids))
        at = np.searchsorted(self._sorted_ids, wanted)
        there = at < len(self._sorted_ids)
        there[there] = self._sorted_ids[at[there]] == wanted[there]
        return set(wanted[there].tolist())

    @property
    def nbytes(self) -> int:
        """Memory of the columns."""
        return int(self._table.nbytes + self._sorted_ids.nbytes)
