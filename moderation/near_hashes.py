"""Which of many 256-bit hashes lie within a few bits of a given one: exactly, and without comparing with each.

A hash is cut into 16 bands of 16 bits. Two hashes that differ in 31 bits or fewer differ in at most one bit in at least
one band (else they would differ in 2 * 16 or more), so that it is enough to compare with those that have, in some band,
the same 16 bits or 16 with one turned round: 17 places in each of 16 tables, about a 240th of all hashes
(Norouzi, Punjani and Fleet, "Fast exact search in Hamming space with multi-index hashing", 2014).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BANDS = 16
REACH = 2 * BANDS - 1  # the largest distance for which the tables miss nothing
FEW = 8192  # up to so many, comparing with each is faster than tables

Codes = npt.NDArray[np.uint64]
_NEAR = np.array([0, *(1 << bit for bit in range(16))], dtype=np.uint16)  # by which a band may differ
_TABLE = np.arange(BANDS)[:, None]
_VALUES = 1 << 16


def words(codes: bytes | bytearray) -> Codes:
    """Hashes of 32 bytes, one behind the other, as rows of four 64-bit words."""
    return np.frombuffer(codes, dtype=np.uint64).reshape(-1, 4)


class NearHashes:
    """Many hashes; the rows of those near a given one. Never changes; threads and forked workers may share it."""

    def __init__(self, codes: Codes) -> None:
        self.codes = codes
        self._starts: npt.NDArray[np.int32] | None = None
        if len(codes) > FEW:
            self._make_tables()

    def __len__(self) -> int:
        return len(self.codes)

    def _make_tables(self) -> None:
        number = len(self.codes)
        bands = self.codes.view(np.uint16)
        self._starts = np.zeros((BANDS, _VALUES + 1), dtype=np.int32)
        self._rows = np.empty((BANDS, number), dtype=np.int32)
        for band in range(BANDS):
            values = np.ascontiguousarray(bands[:, band])
            self._rows[band] = np.argsort(values, kind="stable")  # a radix sort for 16 bits
            np.cumsum(np.bincount(values, minlength=_VALUES), out=self._starts[band, 1:])
        self._flat = self._rows.reshape(-1)
        self._first = (np.arange(BANDS, dtype=np.int64) * number)[:, None]

    def within(self, code: bytes, distance: int = REACH) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int16]]:
        """Rows and distances of all hashes within `distance` (at most 31) of `code`, in order of rows. Raises ValueError
        for a greater distance, for which the tables could miss some, and for a code that is not 32 bytes."""
        if distance > REACH or len(code) != 32:
            raise ValueError("32 bytes, and at most 31 bits apart")
        asked = np.frombuffer(code, dtype=np.uint64)
        rows = self._candidates(asked)
        differing = self.codes ^ asked if rows is None else self.codes[rows] ^ asked
        bits = np.bitwise_count(differing).view(np.uint32).reshape(-1)
        # The four counts of a row lie side by side in 32 bits: one multiplication adds them up in the top byte (256 would
        # not fit there, so the sums are made of halves).
        apart = ((bits & 0x00FF00FF) + ((bits >> 8) & 0x00FF00FF)).astype(np.uint32)
        apart = ((apart & 0xFFFF) + (apart >> 16)).astype(np.int16)
        near = np.flatnonzero(apart <= distance)
        if rows is None:
            return near, apart[near]
        # A hash that is near in several bands is a candidate several times.
        found, first = np.unique(rows[near], return_index=True)
        return found.astype(np.intp), apart[near][first]

    def _candidates(self, asked: Codes) -> npt.NDArray[np.int32] | None:
        """The rows to compare with; None: all of them."""
        if self._starts is None:
            return None
        probes = asked.view(np.uint16)[:, None] ^ _NEAR
        begin = self._starts[_TABLE, probes]
        counts = (self._starts[_TABLE, probes.astype(np.int32) + 1] - begin).reshape(-1)
        total = int(counts.sum())
        if total > len(self.codes):
            return None  # many near-equal hashes: a look at each costs less
        begin = (begin + self._first).reshape(-1)
        before = np.cumsum(counts) - counts
        return self._flat[np.repeat(begin - before, counts) + np.arange(total)]

    @property
    def nbytes(self) -> int:
        """Memory of hashes and tables."""
        tables = 0 if self._starts is None else self._starts.nbytes + self._rows.nbytes
        return int(self.codes.nbytes + tables)
