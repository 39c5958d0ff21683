"""Proposing an entry by showing the file: what is kept of it, what is refused, and that a copy is then found."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from core import evidence
from core.errors import Forbidden, Refusal
from moderation import features, library, pdq
from moderation.audio_index import AudioIndex
from moderation.entries import Entry
from moderation.feature_from_file import propose_from_file, take
from moderation.image_index import ImageIndex
from moderation.models import Feature
from tests.moderation import pictures

LEAF = {"category": "fraud.part_time", "severity": 3}


def saved(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def code(refused):
    return [(error["field"], error["code"]) for error in refused.value.errors]


def test_a_picture_shown_becomes_an_entry_that_finds_its_copies_once_approved(world, tmp_path):
    picture = pictures.drawn(1, 640, 480)
    feature = propose_from_file(
        kind="image", path=saved(tmp_path, "a.png", pictures.png(picture)), by=world.lin, note="from a case", **LEAF
    )
    assert (feature.kind, feature.state, feature.note) == ("image", "proposed", "from a case")
    assert feature.value == pdq.of_rgb(picture.tobytes(), 640, 480)[0].hex()
    features.approve(feature_id=feature.pk, by=world.xu)
    copy = pictures.jpeg(picture, 30)
    seen = pdq.parse(take(kind="image", path=saved(tmp_path, "b.jpg", copy)).value)
    assert [match.entry.id for match in library.load().images.find(seen)] == [feature.pk]


def test_a_letterboxed_picture_is_kept_without_its_bars_too(tmp_path):
    picture = pictures.drawn(2, 640, 360)
    boxed = np.pad(picture, ((150, 150), (0, 0), (0, 0)))
    taken = take(kind="image", path=saved(tmp_path, "a.png", pictures.png(boxed)))
    index = ImageIndex([Entry(1, 1, taken.value, "c", 3, "image", data=taken.data)])
    assert [m.entry.id for m in index.find(pdq.of_rgb(picture.tobytes(), 640, 360)[0])] == [1]


def test_a_stored_file_is_taken_from_the_evidence_store(world):
    content = pictures.png(pictures.drawn(3))
    stored = evidence.store([content]).pk
    assert take(kind="image", stored=stored).quality == 100
    feature = propose_from_file(kind="sha256", stored=stored, by=world.lin, **LEAF)
    assert feature.value == hashlib.sha256(content).hexdigest()


def test_a_file_is_known_by_its_bytes_without_being_opened(tmp_path):
    content = b"no picture at all"
    assert take(kind="sha256", path=saved(tmp_path, "a", content)).value == hashlib.sha256(content).hexdigest()


def test_a_video_and_a_sound_keep_their_hashes_and_the_name_given(world, tmp_path):
    film = pictures.film(tmp_path / "a.mp4", [pictures.drawn(n) for n in range(6)], sound=pictures.music(1, 6))
    video = propose_from_file(kind="video", path=film, by=world.lin, name="刷单广告片", **LEAF)
    assert (video.value, len(video.data["frames"])) == ("刷单广告片", 6)
    audio = propose_from_file(kind="audio", path=film, by=world.lin, **LEAF)
    assert len(audio.value) == 64
    index = AudioIndex([Entry(1, 1, audio.value, "c", 3, "audio", data=audio.data)])
    mp3 = take(
        kind="audio", path=saved(tmp_path, "a.mp3", pictures.encoded(pictures.music(1, 6), "mp3", 64_000, "mp3"))
    )
    assert [m.entry.id for m in index.find(np.array(mp3.data["prints"], dtype=np.uint32))] == [1]


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("image", b"not a picture", "undecodable"),
        ("image", pictures.png(np.full((100, 100, 3), 7, dtype=np.uint8)), "too_plain"),
        ("video", pictures.png(pictures.drawn(1)), "not_a_video"),
        ("audio", pictures.png(pictures.drawn(1)), "too_short"),
        ("image", pictures.encoded(pictures.music(1, 3), "mp3", 64_000, "mp3"), "not_an_image"),
        ("audio", pictures.encoded(pictures.music(1, 1), "mp3", 64_000, "mp3"), "too_short"),
    ],
)
def test_what_gives_no_hash_is_refused_with_the_field_and_nothing_is_written(world, tmp_path, kind, content, expected):
    with pytest.raises(Refusal) as refused:
        propose_from_file(kind=kind, path=saved(tmp_path, "a", content), by=world.lin, **LEAF)
    assert code(refused) == [("file", expected)]
    assert not Feature.objects.filter(kind=kind).exists()


def test_who_may_not_propose_has_no_file_opened(world, monkeypatch):
    from moderation import feature_from_file

    monkeypatch.setattr(feature_from_file, "take", lambda **given: pytest.fail("opened"))
    with pytest.raises(Forbidden):
        propose_from_file(kind="image", path="/nowhere", by=world.he, **LEAF)


def test_one_file_and_a_kind_of_files_are_asked_for(tmp_path):
    for given in ({"kind": "term", "path": "a"}, {"kind": "image"}, {"kind": "image", "path": "a", "stored": "b"}):
        with pytest.raises(ValueError):
            take(**given)
