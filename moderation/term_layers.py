"""The terms of the library in three layers: nearly all below, built once; what came since in the middle; what came last
above. A new term is found within milliseconds that way, and a list within a second, instead of after building an index of
a hundred thousand again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from moderation.entries import Entry
from moderation.matching import MAX_HITS, Hit, Hits, Matcher
from moderation.normalisation import Normalised

MOST_ABOVE = 1_000  # entries above: some 10 ms of building a change
MOST_MIDDLE = 20_000  # entries in the middle, or a quarter of those below, before all is built as one
Layer = tuple[Matcher, frozenset[int]]  # with the ids of its entries that count no longer


class TermLayers:
    """Entries of the kind `term`. Never changes; `added` and `without` answer a new one that shares what is large."""

    __slots__ = ("_layers",)

    def __init__(self, entries: Iterable[Entry] = (), *, layers: Sequence[Layer] | None = None) -> None:
        """Raises EmptyTermError for a term of which folding leaves nothing."""
        # The lowest first.
        self._layers = tuple(layers) if layers is not None else ((Matcher(tuple(entries)), frozenset[int]()),)

    def __len__(self) -> int:
        return sum(len(matcher) - len(gone) for matcher, gone in self._layers)

    @property
    def depth(self) -> int:
        """How many layers there are."""
        return len(self._layers)

    def entries(self) -> Iterator[Entry]:
        """All terms that are looked for."""
        for layer in self._layers:
            yield from _alive(layer)

    def added(self, entries: Iterable[Entry]) -> TermLayers:
        """With these entries; one whose id is there already takes the place of the old one."""
        fresh = {entry.id: entry for entry in entries}
        if not fresh:
            return self
        layers, come = self._gone(set(fresh)), list(fresh.values())
        # What comes is built together with the layers on top of which it finds no room.
        while layers and (len(layers) > 2 or len(come) > self._room(len(layers))):
            come += _alive(layers.pop())
        return TermLayers(layers=[*layers, (Matcher(tuple(come)), frozenset[int]())])

    def _room(self, below: int) -> int:
        """How many entries the layer may hold that lies on so many others."""
        return MOST_ABOVE if below == 2 else max(MOST_MIDDLE, len(self._layers[0][0]) // 4)

    def without(self, ids: Iterable[int]) -> TermLayers:
        """Without the entries of these ids; unknown ids are no error."""
        layers = self._gone(set(ids))
        if not layers:
            return TermLayers()
        if len(layers[0][1]) * 2 > len(layers[0][0]):
            return TermLayers([entry for layer in layers for entry in _alive(layer)])
        return TermLayers(layers=layers)

    def _gone(self, ids: set[int]) -> list[Layer]:
        left = [(matcher, gone | matcher.holding(ids)) for matcher, gone in self._layers]
        return [(matcher, gone) for matcher, gone in left if len(gone) < len(matcher)]

    def find(self, normalised: Normalised) -> Hits:
        """Every hit, as `Matcher.find`."""
        hits = self._found(self._layers[0], normalised)
        for layer in self._layers[1:]:
            more = self._found(layer, normalised)
            if more or more.truncated:
                hits = _hits([*hits, *more], hits.truncated or more.truncated)
        return hits

    @staticmethod
    def _found(layer: Layer, normalised: Normalised) -> Hits:
        matcher, gone = layer
        hits = matcher.find(normalised)
        if gone and hits:
            return _hits([hit for hit in hits if hit.term.id not in gone], hits.truncated)
        return hits


def _alive(layer: Layer) -> Iterator[Entry]:
    matcher, gone = layer
    return (entry for entry in matcher.entries() if entry.id not in gone)


def _hits(found: list[Hit], truncated: bool) -> Hits:
    found.sort(key=lambda hit: (hit.start, -hit.end))
    hits = Hits(found[:MAX_HITS])
    hits.truncated = truncated or len(found) > MAX_HITS
    return hits
