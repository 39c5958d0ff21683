"""Which rows are copies of each other, and which are held out: copies never stand on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SIZE = 3  # characters in a shingle
_BANDS, _ROWS = 12, 4  # texts that share about half of their shingles meet in a band more often than not


def by_likeness(seen: Sequence[str], *, seed: int = 0) -> list[str]:
    """For each text the name of its group of near-duplicates: the smallest digest of any text in it, so that a group
    mostly keeps its name when rows are added."""
    rng = np.random.default_rng(seed)
    factor = rng.integers(0, 1 << 63, size=_BANDS * _ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offset = rng.integers(0, 1 << 63, size=_BANDS * _ROWS, dtype=np.uint64)
    parent = list(range(len(seen)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    met: dict[tuple[int, bytes], int] = {}
    for at, text in enumerate(seen):
        for band, value in enumerate(_bands(text, factor, offset)):
            first = met.setdefault((band, value), at)
            parent[root(at)] = root(first)
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in seen]
    smallest: dict[int, str] = {}
    for at, digest in enumerate(digests):
        group = root(at)
        smallest[group] = min(smallest.get(group, digest), digest)
    return [smallest[root(at)] for at in range(len(seen))]


def _bands(text: str, factor: NDArray[np.uint64], offset: NDArray[np.uint64]) -> list[bytes]:
    shingles = {text[at : at + _SIZE] for at in range(max(1, len(text) - _SIZE + 1))}
    codes = np.array(
        [int.from_bytes(hashlib.blake2b(s.encode(), digest_size=8).digest(), "big") for s in shingles], dtype=np.uint64
    )
    # Multiply and shift, modulo 2 to the 64th: the upper half of the product is as good as random.
    smallest = ((codes[:, None] * factor + offset) >> np.uint64(32)).min(axis=0)
    return [smallest[band * _ROWS : (band + 1) * _ROWS].tobytes() for band in range(_BANDS)]


def folds(labels: Sequence[str], groups: Sequence[str], k: int) -> NDArray[np.int64]:
    """For each row its fold of k: whole groups, each label spread evenly. A group's place follows from its name, so the
    first fold of rows that grow is mostly the first fold they had."""
    of_group: dict[str, list[int]] = {}
    for at, group in enumerate(groups):
        of_group.setdefault(group, []).append(at)
    fold = np.zeros(len(labels), dtype=np.int64)
    for label in sorted(set(labels)):
        own = sorted(
            (group for group, rows in of_group.items() if _main_label(labels, rows) == label),
            key=lambda group: hashlib.sha256(group.encode()).hexdigest(),
        )
        total = sum(len(of_group[group]) for group in own)
        # One mass mailing must not be most of a fold, least of all of the first, which others are measured with.
        large = [group for group in own if len(of_group[group]) * 2 * k > total]
        small = [group for group in own if len(of_group[group]) * 2 * k <= total]
        filled = dict.fromkeys(range(k), 0)
        for group in large:
            least = min(range(1, k), key=filled.__getitem__)
            fold[of_group[group]] = least
            filled[least] += len(of_group[group])
        for group in small:
            least = 0 if filled[0] * k < total else min(range(1, k), key=filled.__getitem__)
            fold[of_group[group]] = least
            filled[least] += len(of_group[group])
    return fold


def _main_label(labels: Sequence[str], rows: Sequence[int]) -> str:
    counts: dict[str, int] = {}
    for at in rows:
        counts[labels[at]] = counts.get(labels[at], 0) + 1
    return min(counts, key=lambda label: (-counts[label], label))
