"""The fingerprint of sound: the same after re-encoding, at another volume and in part; different for different sounds."""

from __future__ import annotations

import numpy as np
import pytest

from moderation import audio_print
from moderation.audio_index import COMMON, AudioIndex
from moderation.entries import Entry
from tests.moderation import pictures

RATE = audio_print.RATE


def prints(sound):
    return audio_print.of_pcm(np.ascontiguousarray(sound, dtype="<i2").tobytes())


def entry(number, sound, **given):
    data = {"prints": prints(sound).tolist()}
    return Entry(number, 1, f"{number:064x}", "fraud.part_time", 3, "audio", data=data, **given)


@pytest.fixture(scope="module")
def sounds():
    return {number: pictures.music(number, 20) for number in range(1, 7)}


@pytest.fixture(scope="module")
def index(sounds):
    return AudioIndex(entry(number, sound) for number, sound in sounds.items())


def ids(index, sound):
    return [match.entry.id for match in index.find(prints(sound))]


def share(one, other):
    both = min(len(one), len(other))
    return np.bitwise_count(one[:both] ^ other[:both]).sum() / 32 / both


def test_a_print_every_32_ms_of_32_bits(sounds):
    found = prints(sounds[1])
    assert found.dtype == np.uint32
    assert len(found) == (20 * RATE - audio_print.WINDOW) // audio_print.HOP
    assert 0.4 < np.unpackbits(found.view(np.uint8)).mean() < 0.6


def test_copies_differ_little_and_others_in_half_of_the_bits(sounds):
    own = prints(sounds[1])
    mp3 = pictures.decoded(pictures.encoded(sounds[1], "mp3", 64_000, "mp3"))
    assert share(own, prints(mp3)) < 0.1
    assert share(own, prints(sounds[1] // 4)) < 0.02
    assert 0.4 < share(own, prints(sounds[2])) < 0.6


@pytest.mark.parametrize(
    ("codec", "bit_rate", "container"), [("mp3", 64_000, "mp3"), ("mp3", 32_000, "mp3"), ("aac", 48_000, "adts")]
)
def test_a_re_encoded_sound_is_found(index, sounds, codec, bit_rate, container):
    for number, sound in sounds.items():
        copy = pictures.decoded(pictures.encoded(sound, codec, bit_rate, container))
        assert ids(index, copy) == [number]


def test_a_part_of_five_seconds_cut_anywhere_is_found_after_mp3_at_half_the_volume(index, sounds):
    for at in (0, 16_211, 100_003, 14 * RATE + 77):
        part = sounds[3][at : at + 5 * RATE] // 2
        copy = pictures.decoded(pictures.encoded(part, "mp3", 64_000, "mp3"))
        match = index.find(prints(copy))[0]
        assert match.entry.id == 3
        assert match.distance < 4
        assert match.score == pytest.approx(1 - match.distance / 32, abs=0.001)


def test_a_sound_between_others_is_found_where_it_is(index, sounds):
    among = np.concatenate([pictures.music(90, 10), sounds[5][: 8 * RATE], pictures.music(91, 10)])
    match = index.find(prints(among))[0]
    assert match.entry.id == 5
    where, over = (float(part.removesuffix(" s")) for part in match.detail.split(", "))
    assert 9.5 <= where <= 14.5
    assert over == 4.0


def test_sound_under_noise_as_loud_as_half_of_it_is_found(index, sounds):
    drawn = np.random.default_rng(2)
    loud = np.sqrt(np.mean(sounds[4].astype(float) ** 2))
    noisy = sounds[4] * 0.5 + drawn.normal(0, loud * 0.25, len(sounds[4]))
    assert ids(index, noisy.clip(-32768, 32767)) == [4]


def test_nothing_is_found_in_other_music_noise_a_tone_or_silence(index):
    drawn = np.random.default_rng(3)
    for number in range(100, 110):
        assert ids(index, pictures.music(number, 20)) == []
    assert ids(index, drawn.normal(0, 3000, 20 * RATE)) == []
    assert ids(index, np.sin(np.arange(20 * RATE) * 0.2) * 9000) == []
    assert ids(index, np.zeros(20 * RATE)) == []
    assert ids(index, np.zeros(10)) == []


def test_silence_is_nothing_and_soft_sound_is_something(sounds):
    assert audio_print.heard(prints(np.zeros(5 * RATE))) == 0
    assert audio_print.heard(prints(sounds[1] // 500)) > 500
    gap = np.concatenate([sounds[1][: 5 * RATE], np.zeros(5 * RATE), sounds[1][: 5 * RATE]])
    assert np.count_nonzero(prints(gap) == 0) > 130


def test_an_entry_shorter_than_a_stretch_is_found_when_all_of_it_is_there(sounds):
    short = AudioIndex([entry(1, sounds[2][: 3 * RATE])])
    assert ids(short, sounds[2]) == [1]
    assert ids(short, sounds[2][2 * RATE :]) == []
    assert ids(short, sounds[3]) == []


def test_less_than_two_seconds_of_sound_is_no_entry(sounds):
    with pytest.raises(ValueError):
        AudioIndex([entry(1, sounds[2][:RATE])])
    with pytest.raises(ValueError):
        AudioIndex([entry(1, np.zeros(10 * RATE))])
    for wrong in ({}, {"prints": []}, {"prints": [-1] * 100}, {"prints": [2**32] * 100}):
        with pytest.raises(ValueError):
            AudioIndex([Entry(1, 1, "a", "c", 3, "audio", data=wrong)])


def test_an_entry_may_ask_for_fewer_errors(sounds):
    copy = pictures.decoded(pictures.encoded(sounds[1][177:], "mp3", 32_000, "mp3"))
    assert ids(AudioIndex([entry(1, sounds[1])]), copy) == [1]
    assert ids(AudioIndex([entry(1, sounds[1], options={"max_error": 0.001})]), copy) == []


def test_additions_and_removals(index, sounds):
    new = pictures.music(40, 10)
    larger = index.added([entry(40, new)])
    assert (ids(larger, new), ids(index, new), ids(larger, sounds[2])) == ([40], [], [2])
    assert ids(larger.without([2, 40]), sounds[2]) == []


def test_a_print_that_is_everywhere_leads_nowhere(sounds):
    humming = np.full(3 * COMMON, 0x5A5A5A5A, dtype=np.uint32)
    data = {"prints": [*humming.tolist(), *prints(sounds[1]).tolist()]}
    index = AudioIndex([Entry(1, 1, "a", "c", 3, "audio", data=data)])
    assert index.find(humming[:200]) == []
    assert ids(index, sounds[1]) == [1]


def test_an_entry_comes_out_of_the_index_as_it_went_in(index, sounds):
    kept = [one for layer, _gone in index._layers.parts for one in layer.entries()]
    assert [(one.id, one.data) for one in kept] == [(n, {"prints": prints(s).tolist()}) for n, s in sounds.items()]
