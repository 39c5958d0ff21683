"""The index of image hashes: exact up to 31 bits, new entries at once, nothing of what was taken out."""

from __future__ import annotations

import time

import numpy as np
import pytest

from moderation import near_hashes, pdq
from moderation.entries import Entry
from moderation.image_index import ImageIndex
from moderation.layers import Layers
from moderation.near_hashes import NearHashes, words

MANY = 40_000


def entry(number, code, **given):
    return Entry(number, 1, code.hex(), given.pop("category", "fraud.part_time"), 3, "image", **given)


@pytest.fixture(scope="module")
def codes():
    drawn = np.random.default_rng(4)
    made = [drawn.bytes(32) for _ in range(MANY)]
    # A neighbourhood of one of them, at every distance there is, all in one band and spread over all.
    for bits in range(1, 60):
        made[bits] = pdq.flipped(made[0], range(bits))
        made[100 + bits] = pdq.flipped(made[0], [bit * 16 % 255 for bit in range(bits)])
    return made


@pytest.fixture(scope="module")
def index(codes):
    return ImageIndex(entry(number, code) for number, code in enumerate(codes))


def near(index, code):
    return {(match.entry.id, match.distance) for match in index.find(code)}


def by_comparing(codes, code, most=31):
    found = ((number, pdq.distance(other, code)) for number, other in enumerate(codes))
    return {(number, bits) for number, bits in found if bits <= most}


def test_it_finds_what_comparing_with_each_finds(index, codes):
    drawn = np.random.default_rng(5)
    asked = [codes[0], codes[31], codes[150]]
    for bits in range(0, 40, 3):
        for _turn in range(4):
            asked.append(pdq.flipped(codes[int(drawn.integers(MANY))], drawn.choice(256, bits, replace=False).tolist()))
    seen = 0
    for code in asked:
        expected = by_comparing(codes, code)
        assert near(index, code) == expected
        seen += len(expected)
    assert seen > 100


def test_the_tables_miss_nothing_at_31_bits_however_they_are_spread(codes):
    hashes = NearHashes(words(b"".join(codes)))
    assert hashes._starts is not None  # it is the tables that are tried here
    drawn = np.random.default_rng(6)
    for _turn in range(300):
        number = int(drawn.integers(MANY))
        # Two bits in each of fifteen bands and one in the last: the worst that 31 bits can do.
        spread = [16 * band + bit for band in range(16) for bit in drawn.choice(16, 2, replace=False)][:31]
        rows, apart = hashes.within(pdq.flipped(codes[number], spread))
        assert dict(zip(rows.tolist(), apart.tolist(), strict=True))[number] == 31


def test_a_distance_beyond_which_it_could_miss_some_is_refused(index, codes):
    with pytest.raises(ValueError):
        index.find(codes[0], 32)
    with pytest.raises(ValueError):
        index.find(codes[0][:31])


def test_opposite_hashes_are_256_bits_apart_not_none():
    code = bytes(range(32))
    index = ImageIndex([entry(1, pdq.flipped(code, range(256)))])
    assert index.find(code) == []


def test_a_match_names_entry_distance_and_score(index, codes):
    match = index.find(pdq.flipped(codes[777], [3, 99, 200]))[0]
    assert (match.entry, match.distance) == (entry(777, codes[777]), 3.0)
    assert match.score == pytest.approx(1 - 3 / 256)


def test_an_entry_may_ask_for_less_distance_but_not_for_more(codes):
    index = ImageIndex(
        [entry(1, codes[9], options={"max_distance": 5}), entry(2, codes[9], options={"max_distance": 90})]
    )
    assert {m.entry.id for m in index.find(pdq.flipped(codes[9], range(5)))} == {1, 2}
    assert {m.entry.id for m in index.find(pdq.flipped(codes[9], range(6)))} == {2}
    assert index.find(pdq.flipped(codes[9], range(32))) == []
    assert {m.entry.options["max_distance"] for m in index.find(codes[9])} == {5, 90}


def test_an_entry_is_found_by_its_other_forms_too_and_named_once(codes):
    index = ImageIndex([entry(1, codes[900], data={"variants": [codes[901].hex()]})])
    assert near(index, pdq.flipped(codes[901], [4])) == {(1, 1.0)}
    assert near(index, codes[900]) == {(1, 0.0)}
    again = index.added([entry(2, codes[902])])
    assert near(again, codes[901]) == {(1, 0.0)}


def test_a_new_entry_is_found_at_once_and_the_old_index_stays_as_it_was(index, codes):
    new = np.random.default_rng(9).bytes(32)
    began = time.perf_counter()
    larger = index.added([entry(MANY + 1, new)])
    found = near(larger, pdq.flipped(new, range(31)))
    assert time.perf_counter() - began < 1
    assert found == {(MANY + 1, 31.0)}
    assert index.find(new) == []
    assert near(larger, codes[500]) == near(index, codes[500])


def test_what_is_taken_out_is_not_found_and_may_come_back(index, codes):
    smaller = index.without([500, 10**9])
    assert smaller.find(codes[500]) == []
    assert len(smaller) == MANY - 1
    assert near(index, codes[500]) == {(500, 0.0)}
    back = smaller.added([entry(500, codes[500])])
    assert near(back, codes[500]) == {(500, 0.0)}


def test_an_entry_that_comes_again_takes_the_place_of_the_old_one(codes):
    index = ImageIndex([entry(1, codes[700]), entry(2, codes[701])])
    index = index.added([entry(1, codes[702])])
    assert index.find(codes[700]) == []
    assert near(index, codes[702]) == {(1, 0.0)}
    assert len(index) == 2


def test_many_additions_and_removals_leave_few_layers_and_the_right_entries(codes):
    index = ImageIndex()
    alive = {}
    drawn = np.random.default_rng(11)
    for number in range(300):
        index = index.added([entry(number, codes[number + 1000])])
        alive[number] = codes[number + 1000]
        if number % 3 == 0:
            gone = int(drawn.choice(list(alive)))
            index = index.without([gone])
            del alive[gone]
    assert len(index) == len(alive)
    assert len(index._layers.parts) <= 6
    for number in range(300):
        assert near(index, codes[number + 1000]) == ({(number, 0.0)} if number in alive else set())


def test_the_allow_list_and_the_roll_out_survive_the_columns(codes):
    given = entry(5, codes[20], allow=True, rollout=25, category="fake.disaster")
    match = ImageIndex([entry(4, codes[2000]), given]).find(codes[20])[0]
    assert match.entry == given
    assert (match.entry.allow, match.entry.rollout, match.entry.category) == (True, 25, "fake.disaster")


def test_a_library_of_copies_of_one_picture_is_looked_through_without_its_tables(codes):
    same = NearHashes(words(codes[0] * (near_hashes.FEW + 10)))
    assert same._candidates(np.frombuffer(codes[0], dtype=np.uint64)) is None
    assert len(same.within(pdq.flipped(codes[0], range(31)))[0]) == near_hashes.FEW + 10


def test_an_empty_index_finds_nothing(codes):
    assert ImageIndex().find(codes[0]) == []
    assert ImageIndex([]).without([1]).find(codes[0]) == []
    assert len(Layers(list)) == 0


def test_a_value_that_is_no_hash_is_refused():
    with pytest.raises(ValueError):
        ImageIndex([Entry(1, 1, "abc", "c", 3, "image")])
