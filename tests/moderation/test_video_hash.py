"""Videos by their frames: copies, excerpts and decorated copies are found, other videos are not."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from core import mediabox
from core.mediabox import Boxed, Frame
from moderation import pdq, video_hash
from moderation.entries import Entry
from moderation.video_index import VideoIndex
from tests.moderation import pictures

ROOT = Path(__file__).resolve().parents[2]
TMK = ROOT.parent / "shared" / "data" / "tmk_videos"


def frame(seconds, picture):
    return Frame(seconds, picture.shape[1], picture.shape[0], np.ascontiguousarray(picture).tobytes())


def clip(scenes, *, count=48, seconds=48.0, edit=lambda picture: picture):
    """`count` evenly taken frames of a video that shows drawn pictures one after the other, each as long."""
    drawn = {scene: edit(pictures.drawn(scene)) for scene in scenes}
    at = [(2 * i + 1) / (2 * count) for i in range(count)]
    return [frame(part * seconds, drawn[scenes[int(part * len(scenes))]]) for part in at]


def data(scenes, *, seconds=48.0, **given):
    return video_hash.data_of(video_hash.of_frames(clip(scenes, seconds=seconds, **given)), seconds)


def entry(number, scenes, *, options=None, **given):
    kept = data(scenes, **given)
    return Entry(number, 1, f"{number:064x}", "fraud.part_time", 3, "video", options=options or {}, data=kept)


def ids(index, frames, seconds=0.0):
    return [match.entry.id for match in index.find(video_hash.of_frames(frames), seconds)]


TEN = list(range(10))


@pytest.fixture(scope="module")
def index():
    return VideoIndex([entry(1, TEN), entry(2, list(range(50, 60))), entry(3, list(range(70, 74)))])


def test_a_copy_is_found_and_says_when_it_shows(index):
    match = index.find(video_hash.of_frames(clip(TEN, count=16)), 48.0)[0]
    assert (match.entry.id, match.distance, match.score) == (1, 0.0, 1.0)
    assert match.detail == "1.5 s, 16 frames"


def test_an_entry_is_found_inside_a_longer_video_and_an_excerpt_of_it_too(index):
    assert ids(index, clip([200, 201, *TEN, 202, 203, 204, 205], count=16)) == [1]
    assert ids(index, clip([3, 4, 5], count=16)) == [1]


def test_an_unrelated_video_or_one_with_a_single_frame_in_common_is_not_found(index):
    assert ids(index, clip(list(range(300, 310)), count=16), 48.0) == []
    assert ids(index, clip([3, *range(300, 315)], count=16), 48.0) == []


def with_logo(picture):
    edited = picture.copy()
    edited[20:150, 90:230] = [250, 240, 10]
    edited[60:110, 130:190] = 0
    return edited


def test_a_copy_with_a_large_logo_is_found_in_step_though_no_frame_is_near(index):
    frames = clip(TEN, count=16, edit=with_logo)
    pairs = zip(video_hash.of_frames(frames), video_hash.of_frames(clip(TEN, count=16)), strict=True)
    alone = [pdq.distance(one.code, other.code) for one, other in pairs]
    assert min(alone) > pdq.SAME
    assert ids(index, frames, 48.2) == [1]
    assert ids(index, frames, 60.0) == []  # of another length it isn't in step


def test_two_still_videos_that_look_a_little_alike_are_not_in_step():
    one, other = pictures.drawn(5), with_logo(pictures.drawn(5))
    index = VideoIndex([Entry(1, 1, "v", "c", 3, "video", data=data([5]))])
    bits = pdq.distance(pdq.of_rgb(one.tobytes(), 320, 240)[0], pdq.of_rgb(other.tobytes(), 320, 240)[0])
    assert pdq.SAME + 7 < bits < 85
    assert ids(index, clip([5], count=16, edit=with_logo), 48.0) == []


def test_no_two_of_many_unrelated_videos_are_in_step():
    scenes = [list(range(400 + 8 * n, 408 + 8 * n)) for n in range(12)]
    index = VideoIndex(entry(number, some) for number, some in enumerate(scenes))
    for number, some in enumerate(scenes):
        assert ids(index, clip(some, count=16), 48.0) == [number]


def test_black_frames_count_for_nothing(index):
    black = frame(0.0, np.zeros((240, 320, 3), dtype=np.uint8))
    assert ids(index, [black] * 16, 48.0) == []
    with pytest.raises(video_hash.NotAVideo):
        video_hash.data_of(video_hash.of_frames([black] * 16), 16.0)
    mixed = video_hash.data_of(video_hash.of_frames([black, *clip([1, 2], count=15)]), 16.0)
    assert mixed["even"][0] == ""
    assert len(mixed["frames"]) == 2


def letterboxed(picture):
    return np.pad(picture, ((60, 60), (0, 0), (0, 0)))


def test_bars_above_and_below_change_nothing(index):
    assert ids(index, clip(TEN, count=16, edit=letterboxed)) == [1]
    barred = VideoIndex([entry(9, TEN, edit=letterboxed)])
    assert ids(barred, clip(TEN, count=16)) == [9]


def test_an_entry_comes_out_of_the_index_as_it_went_in(index):
    black = frame(0.0, np.zeros((240, 320, 3), dtype=np.uint8))
    shown = [black, *clip([1, 2], count=15, edit=letterboxed)]
    given = [
        entry(1, TEN),
        Entry(2, 3, "v", "c", 2, "video", data=video_hash.data_of(video_hash.of_frames(shown), 7.5)),
    ]
    index = VideoIndex(given)
    kept = [one for layer, _gone in index._layers.parts for one in layer.entries()]
    assert [(one, one.data) for one in kept] == [(one, one.data) for one in given]


def test_an_entry_may_ask_for_a_larger_share():
    strict = VideoIndex([entry(1, TEN, options={"min_share": 0.9})])
    assert ids(strict, clip([0, 1, 2, 3, 4, 5, 100, 101], count=16)) == []
    assert ids(strict, clip(TEN, count=16)) == [1]


def test_additions_removals_and_a_second_layer(index):
    larger = index.added([entry(4, list(range(90, 95)))])
    assert ids(larger, clip(list(range(90, 95)), count=16)) == [4]
    assert ids(index, clip(list(range(90, 95)), count=16)) == []
    assert ids(larger.without([1]), clip(TEN, count=16), 48.0) == []
    assert ids(larger.without([4]), clip(TEN, count=16)) == [1]


def test_frames_alone_are_enough_for_an_entry_and_none_is_refused():
    frames = data(TEN)["frames"]
    bare = VideoIndex([Entry(1, 1, "v", "c", 3, "video", data={"frames": frames})])
    assert ids(bare, clip(TEN, count=16), 48.0) == [1]
    for wrong in ({}, {"frames": []}, {"frames": ["abc"]}):
        with pytest.raises(ValueError):
            VideoIndex([Entry(1, 1, "v", "c", 3, "video", data=wrong)])


def test_the_cover_of_a_video_is_no_frame_of_it():
    frames = [*clip([1, 2], count=4), frame(0.0, pictures.drawn(99))]
    assert len(video_hash.of_boxed(Boxed("video", "video/mp4", frames=frames, flags=["cover"]))) == 4
    assert len(video_hash.of_boxed(Boxed("video", "video/mp4", frames=frames))) == 5


def test_a_thousand_videos_are_looked_through_fast():
    drawn = np.random.default_rng(1)

    def made():
        forms = ("frames", "even", "even_bare")
        return {"seconds": 48, **{form: [drawn.bytes(32).hex() for _ in range(16)] for form in forms}}

    index = VideoIndex(Entry(n, 1, "v", "c", 3, "video", data=made()) for n in range(1000))
    frames = video_hash.of_frames(clip(TEN, count=16))
    began = time.perf_counter()
    assert index.find(frames, 48.0) == []
    assert time.perf_counter() - began < 1


@pytest.mark.skipif(not TMK.is_dir(), reason="shared/data/tmk_videos is not beside the checkout")
def test_each_of_the_decorated_copies_of_a_real_clip_finds_the_others():
    paths = sorted(TMK.glob("*.mp4"))
    whole = {path: video_hash.of_file(path) for path in paths}
    for known in paths:
        index = VideoIndex([Entry(1, 1, "v", "c", 3, "video", data=whole[known])])
        for path in paths:
            boxed = mediabox.open_up(path, frames=video_hash.EVEN, sound=False)
            assert [m.entry.id for m in index.find(video_hash.of_boxed(boxed), boxed.seconds)] == [1], (known, path)
