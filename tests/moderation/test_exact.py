"""Files known byte for byte."""

from __future__ import annotations

import hashlib

import pytest

from moderation.entries import Entry, findings
from moderation.exact import Exact


def sha(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def entry(number, value, **given):
    return Entry(number, 1, value, "fraud.part_time", 4, "sha256", **given)


def ids(index, value):
    return [match.entry.id for match in index.find(value)]


def test_each_file_is_found_and_no_other():
    index = Exact(entry(number, sha(number)) for number in range(2000))
    assert all(ids(index, sha(number)) == [number] for number in range(0, 2000, 37))
    assert ids(index, sha("another")) == []
    match = index.find(sha(7))[0]
    assert (match.entry, match.distance, match.score) == (entry(7, sha(7)), 0.0, 1.0)


def test_hashes_that_begin_alike_are_told_apart():
    one, other = sha(1), sha(1)[:16] + sha(2)[16:]
    index = Exact([entry(1, one), entry(2, other)])
    assert (ids(index, one), ids(index, other)) == ([1], [2])


def test_additions_and_removals_leave_the_old_index_as_it_was():
    index = Exact([entry(1, sha(1))])
    larger = index.added([entry(2, sha(2))])
    assert (ids(index, sha(2)), ids(larger, sha(2)), ids(larger, sha(1))) == ([], [2], [1])
    assert ids(larger.without([1]), sha(1)) == []
    assert len(larger.without([1])) == 1


def test_capitals_are_the_same_hash_and_anything_else_is_refused():
    assert ids(Exact([entry(1, sha(1).upper())]), sha(1)) == [1]
    for value in ("", "ab", "g" * 64, sha(1) + "0"):
        with pytest.raises(ValueError):
            Exact([entry(1, value)])


def test_an_allow_list_entry_cancels_the_match():
    index = Exact([entry(1, sha(1)), entry(2, sha(1), allow=True)])
    assert ids(index, sha(1)) == [1, 2]
    assert findings(index.find(sha(1)), check="exact", side="output", item=None) == []
    assert len(findings(index.without([2]).find(sha(1)), check="exact", side="output", item=None)) == 1
