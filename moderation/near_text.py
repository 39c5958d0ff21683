"""Near-duplicate texts: MinHash over character shingles, bands of it in PostgreSQL, comparison in full.

A text shares a band with nearly every entry it is similar to and with few others; those few are compared shingle by
shingle, and short ones character by character, where one replaced character would break a third of all shingles.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path

from django.db import connection
from rensa import RMinHash

from moderation.entries import Entry, Match
from moderation.models import Feature, TextBand
from moderation.normalisation import normalise

THRESHOLD = 0.8
SHORTEST = 4  # characters that count; shorter texts belong into terms
SHORT = 24  # below it an entry is compared character by character
_ALMOST_SHORT = 36  # a text up to here may be like a short entry, from _ALMOST_LONG like a long one
_ALMOST_LONG = 16
_MOST_COMPARED = 50
_LONGEST = 20_000  # characters that are looked at
_SEED = 20231
_SQL = (Path(__file__).parent / "sql" / "near_text.sql").read_text(encoding="utf-8")

# Long texts: 16 bands of 4 rows, so that one pair in 5,000 at similarity 0.8 and one in 80 at 0.7 shares none. Short ones:
# 32 bands of 2 rows (one in 10,000 at 0.5). The bands of short texts are numbered from 100.
_LONG_BANDS, _LONG_ROWS = 16, 4
_SHORT_BANDS, _SHORT_ROWS, _FIRST_SHORT = 32, 2, 100


def essence(text: str) -> str:
    """What of a text counts: its folded letters, digits and characters, nothing between them."""
    return "".join(filter(str.isalnum, normalise(text[:_LONGEST]).text))


def shingles(essence: str, size: int) -> frozenset[str]:
    """All runs of `size` characters; the whole where it is shorter."""
    return frozenset(essence[at : at + size] for at in range(max(1, len(essence) - size + 1)))


def _bands(essence: str, size: int, bands: int, rows: int, first: int) -> list[tuple[int, int]]:
    minhash = RMinHash(num_perm=bands * rows, seed=_SEED)
    minhash.update(sorted(shingles(essence, size)))
    digest = minhash.digest()
    found = []
    for band in range(bands):
        row = struct.pack(f">{rows}I", *digest[band * rows : (band + 1) * rows])
        (value,) = struct.unpack(">q", hashlib.blake2b(row, digest_size=8).digest())
        found.append((first + band, value))
    return found


def _long_bands(essence: str) -> list[tuple[int, int]]:
    return _bands(essence, 3, _LONG_BANDS, _LONG_ROWS, 0)


def _short_bands(essence: str) -> list[tuple[int, int]]:
    return _bands(essence, 2, _SHORT_BANDS, _SHORT_ROWS, _FIRST_SHORT)


def bands_of(text: str) -> list[tuple[int, int]]:
    """(band, value) under which an entry with this text is found. None for a text of fewer than SHORTEST characters that
    count: that is a term."""
    counts = essence(text)
    if len(counts) < SHORTEST:
        return []
    return _short_bands(counts) if len(counts) < SHORT else _long_bands(counts)


def bands_asked(text: str) -> list[tuple[int, int]]:
    """(band, value) under which entries like this text lie."""
    counts = essence(text)
    if len(counts) < SHORTEST:
        return []
    asked = _short_bands(counts) if len(counts) <= _ALMOST_SHORT else []
    return asked + (_long_bands(counts) if len(counts) >= _ALMOST_LONG else [])


def store_bands(feature: Feature) -> int:
    """Writes the bands of an entry of kind `text` (again) and answers how many; called in the transaction that
    writes it."""
    TextBand.objects.filter(feature=feature).delete()
    made = TextBand.objects.bulk_create(
        TextBand(feature=feature, band=band, value=value) for band, value in bands_of(feature.value)
    )
    return len(made)


def similarity(one: str, other: str) -> float:
    """Of two texts, 0 to 1: the share of common shingles, or for short ones of common characters in their order."""
    return _similarity(essence(one), essence(other))


def _similarity(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if not one or not other:
        return 0.0
    one, other = sorted((one, other))  # SequenceMatcher is not symmetric
    if min(len(one), len(other)) < SHORT:
        return SequenceMatcher(None, one[:200], other[:200], autojunk=False).ratio() * (
            1.0 if max(len(one), len(other)) <= 200 else 0.0
        )
    mine, theirs = _shingles(one), _shingles(other)
    return len(mine & theirs) / len(mine | theirs)


@lru_cache(maxsize=512)
def _shingles(essence: str) -> frozenset[str]:
    return shingles(essence, 3)


@lru_cache(maxsize=4096)
def _essence_of_entry(value: str) -> str:
    return essence(value)


def threshold_of(entry: Entry) -> float:
    """How similar a text must be to an entry: its option `threshold`, else THRESHOLD."""
    given = entry.options.get("threshold", THRESHOLD)
    return float(given) if isinstance(given, int | float) and 0 < given <= 1 else THRESHOLD


class Texts:
    """The entries of kind `text` that are in force, by id. Never changes."""

    __slots__ = ("_by_id",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._by_id = {entry.id: entry for entry in entries}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, number: int) -> Entry | None:
        """The entry of this id."""
        return self._by_id.get(number)

    def entries(self) -> Iterator[Entry]:
        """All of them."""
        return iter(self._by_id.values())

    def added(self, entries: Iterable[Entry]) -> Texts:
        """With these entries, too."""
        return Texts([*self._by_id.values(), *entries])

    def without(self, ids: Iterable[int]) -> Texts:
        """Without the entries of these ids."""
        gone = set(ids)
        return Texts(entry for entry in self._by_id.values() if entry.id not in gone)


def candidates(texts: Sequence[str]) -> list[list[int]]:
    """For each text the ids of the entries that share a band with it, those with most bands first: one question for all."""
    numbers: list[int] = []
    bands: list[int] = []
    values: list[int] = []
    for number, text in enumerate(texts):
        for band, value in bands_asked(text):
            numbers.append(number)
            bands.append(band)
            values.append(value)
    found: list[list[int]] = [[] for _ in texts]
    if numbers:
        with connection.cursor() as cursor:
            cursor.execute(_SQL, {"texts": numbers, "bands": bands, "values": values, "most": _MOST_COMPARED})
            for number, ids in cursor.fetchall():
                found[number] = ids
    return found


def compared(text: str, ids: Iterable[int], entries: Texts) -> list[Match]:
    """The entries among these that the text is similar enough to, the most similar first: similarity as score, what is
    missing from 1 as distance, the whole text as span."""
    counts = essence(text)
    matches = []
    for number in ids:
        if entry := entries.get(number):
            score = _similarity(counts, _essence_of_entry(entry.value))
            if score >= threshold_of(entry):
                matches.append(Match(entry, [(0, len(text))], distance=round(1 - score, 4), score=round(score, 4)))
    return sorted(matches, key=lambda match: -match.score)
