"""Both automata find the same places; numbers are kept without a list for each."""

from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.automaton import _fallback, finder, numbers_of, with_number

STRINGS = st.lists(st.text(st.sampled_from("ab微信😀\ue001"), min_size=1, max_size=4), unique=True, max_size=8)


@settings(max_examples=300, deadline=None)
@given(STRINGS, st.text(st.sampled_from("ab微信😀\ue001。"), max_size=30))
def test_every_place_is_found_overlapping_ones_too_and_by_the_fallback_alike(strings, text):
    places = sorted(
        (at, at + len(string), number)
        for number, string in enumerate(strings)
        for at in range(len(text))
        if text.startswith(string, at)
    )
    assert sorted(finder(strings)(text)) == places
    assert not strings or sorted(_fallback(strings)(text)) == places


def test_one_number_stays_a_number_and_several_are_a_tuple():
    assert with_number(None, 4) == 4
    assert with_number(4, 4) == 4
    assert with_number(4, 7) == (4, 7)
    assert with_number((4, 7), 7) == (4, 7)
    assert numbers_of(4) == (4,)
    assert numbers_of((4, 7)) == (4, 7)
