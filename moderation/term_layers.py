"""The terms of the library in two layers: nearly all below, built once, and what was approved since then above. A new
term is found within milliseconds that way, instead of after building an index of a hundred thousand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from moderation.entries import Entry
from moderation.matching import MAX_HITS, Hit, Hits, Matcher
from moderation.normalisation import Normalised

# So many entries above, or taken out of below, before all is built as one: some 10 ms of building a change at most.
MOST_ABOVE = 1_000


class TermLayers:
    """Entries of the kind `term`. Never changes; `added` and `without` answer a new one that shares what is large."""

    __slots__ = ("_above", "_below", "_gone")

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        *,
        below: Matcher | None = None,
        above: Matcher | None = None,
        gone: frozenset[int] = frozenset(),
    ) -> None:
        """Raises EmptyTermError for a term of which folding leaves nothing."""
        self._below = below if below is not None else Matcher(tuple(entries))
        self._above = above
        self._gone = gone  # ids in the layer below that count no longer

    def __len__(self) -> int:
        return len(self._below) - len(self._gone) + (len(self._above) if self._above else 0)

    def entries(self) -> Iterator[Entry]:
        """All terms that are looked for."""
        yield from (entry for entry in self._below.entries() if entry.id not in self._gone)
        if self._above:
            yield from self._above.entries()

    def added(self, entries: Iterable[Entry]) -> TermLayers:
        """With these entries; one whose id is there already takes the place of the old one."""
        fresh = {entry.id: entry for entry in entries}
        return self._with(fresh, set(fresh)) if fresh else self

    def without(self, ids: Iterable[int]) -> TermLayers:
        """Without the entries of these ids; unknown ids are no error."""
        return self._with({}, set(ids))

    def _with(self, fresh: dict[int, Entry], ids: set[int]) -> TermLayers:
        above = {entry.id: entry for entry in self._above.entries() if entry.id not in ids} if self._above else {}
        above |= fresh
        gone = self._gone | self._below.holding(ids)
        if len(above) + len(gone) > MOST_ABOVE:
            kept = [entry for entry in self._below.entries() if entry.id not in gone]
            return TermLayers([*kept, *above.values()])
        return TermLayers(below=self._below, above=Matcher(tuple(above.values())) if above else None, gone=gone)

    def find(self, normalised: Normalised) -> Hits:
        """Every hit, as `Matcher.find`."""
        hits = self._below.find(normalised)
        if self._gone and hits:
            hits = _hits([hit for hit in hits if hit.term.id not in self._gone], hits.truncated)
        more = self._above.find(normalised) if self._above else None
        if more is None or not (more or more.truncated):
            return hits
        return _hits([*hits, *more], hits.truncated or more.truncated)


def _hits(found: list[Hit], truncated: bool) -> Hits:
    found.sort(key=lambda hit: (hit.start, -hit.end))
    hits = Hits(found[:MAX_HITS])
    hits.truncated = truncated or len(found) > MAX_HITS
    return hits
