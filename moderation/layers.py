"""An index in layers: what was built first lies below, what was added since in small layers above, what was taken out is
remembered beside each layer. So a new entry is found at once, without building an index of a million again.

Nothing here changes once made: `added` and `without` answer a new index that shares the layers of the old one, so that
threads go on reading the old one while a new one takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from moderation.entries import Entry, Match

# A layer is built together with the one above it when it holds less than so many times as much: an entry is built anew
# only about once each time the index has grown by a quarter, and there are few layers to ask.
GROWTH = 4


class Layer(Protocol):
    """What lies in one layer."""

    def __len__(self) -> int: ...

    def entries(self) -> Iterator[Entry]:
        """All its entries, whole enough to build a layer of."""
        ...

    def holding(self, ids: set[int]) -> set[int]:
        """Which of these are ids of its entries."""
        ...


L = TypeVar("L", bound=Layer)
Part = tuple[L, frozenset[int]]


class Layers(Generic[L]):
    """Layers made by `build`, each with the ids of its entries that count no longer."""

    __slots__ = ("_build", "parts")

    def __init__(self, build: Callable[[Iterable[Entry]], L], parts: Sequence[Part[L]] = ()) -> None:
        self._build = build
        self.parts: tuple[Part[L], ...] = tuple(parts)

    def __len__(self) -> int:
        return sum(len(part) - len(gone) for part, gone in self.parts)

    def added(self, entries: Iterable[Entry]) -> Layers[L]:
        """With these entries; one whose id is there already takes the place of the old one."""
        layer = self._build(entries)
        if not len(layer):
            return self
        parts = list(self.without(entry.id for entry in layer.entries()).parts) if self.parts else []
        parts.append((layer, frozenset()))
        while len(parts) > 1 and len(parts[-2][0]) < GROWTH * len(parts[-1][0]):
            above, below = parts.pop(), parts.pop()
            parts.append((self._build(_alive([below, above])), frozenset()))
        return Layers(self._build, parts)

    def without(self, ids: Iterable[int]) -> Layers[L]:
        """Without the entries of these ids; unknown ids are no error."""
        parts: list[Part[L]] = []
        ids = set(ids)
        for part, gone in self.parts:
            left = gone | part.holding(ids)
            if len(left) == len(part):
                continue
            if len(left) * 2 > len(part):
                part, left = self._build(_alive([(part, left)])), frozenset()
            parts.append((part, left))
        return Layers(self._build, parts)

    def find(self, ask: Callable[[L], Iterable[Match]]) -> list[Match]:
        """What the layers answer, without what is gone."""
        return [match for part, gone in self.parts for match in ask(part) if match.entry.id not in gone]


def _alive(parts: Iterable[Part[L]]) -> Iterator[Entry]:
    return (entry for part, gone in parts for entry in part.entries() if entry.id not in gone)
