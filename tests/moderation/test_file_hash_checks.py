"""The checks of files against the library's hashes: what they find, what they say of it, what cancels them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from core import evidence, jsonbody
from core.ids import uuid7
from moderation import audio_print, features, intake, pdq, video_hash
from moderation import library as held
from moderation.audio_index import AudioIndex
from moderation.checks import Side, Text
from moderation.checks.audio_print import AudioPrint
from moderation.checks.exact import ExactFile
from moderation.checks.image_hash import ImageHash
from moderation.checks.video_hash import VideoHash
from moderation.entries import Entry
from moderation.exact import Exact
from moderation.feature_from_file import propose_from_file
from moderation.image_index import ImageIndex
from moderation.models import Submission
from moderation.video_index import VideoIndex
from tests.moderation import pictures
from tests.world import CLEAN, work

pytestmark = pytest.mark.django_db


def library(*, exact=(), images=(), videos=(), audios=()):
    return SimpleNamespace(
        version=7,
        exact=Exact(exact),
        images=ImageIndex(images),
        videos=VideoIndex(videos),
        audios=AudioIndex(audios),
    )


def side(content, **known):
    stored = evidence.store([content]).pk if content else None
    return Side("output", "", stored, "image_video", library(**known), item=uuid7())


def look(check, one):
    return check.look(one, Text("", ""))


def image(number, picture, **given):
    code, _quality = pdq.of_rgb(picture.tobytes(), picture.shape[1], picture.shape[0])
    return Entry(number, 2, code.hex(), "sexual.minors", 4, "image", **given)


PICTURE = pictures.drawn(1, 640, 480)


def test_a_file_is_known_by_its_bytes():
    content = pictures.png(PICTURE)
    known = Entry(3, 1, evidence.store([content]).pk, "fraud.part_time", 4, "sha256")
    found = look(ExactFile(), side(content, exact=[known]))
    assert [(f.check, f.feature_id, f.feature_version, f.distance, f.severity) for f in found] == [
        ("exact", 3, 1, 0.0, 4)
    ]
    assert look(ExactFile(), side(content + b"\0", exact=[known])) == []
    assert look(ExactFile(), side(None, exact=[known])) == []


def test_a_picture_is_known_by_what_it_looks_like():
    found = look(ImageHash(), side(pictures.jpeg(PICTURE, 40), images=[image(5, PICTURE), image(6, pictures.drawn(2))]))
    assert [(f.side, f.check, f.category, f.feature_id, f.feature_version) for f in found] == [
        ("output", "image_hash", "sexual.minors", 5, 2)
    ]
    assert 0 <= found[0].distance <= 10
    assert found[0].score == pytest.approx(1 - found[0].distance / 256)
    assert (found[0].boxes, found[0].detail) == ([], "")


@pytest.mark.parametrize(
    ("detail", "edit"),
    [
        ("mirrored", lambda p: p[:, ::-1]),
        ("turned by 180°", lambda p: p[::-1, ::-1]),
        ("without bars", lambda p: np.pad(p, ((80, 80), (0, 0), (0, 0)))),
    ],
)
def test_a_turned_or_barred_picture_is_found_and_said_to_be_so(detail, edit):
    content = pictures.png(np.ascontiguousarray(edit(PICTURE)))
    found = look(ImageHash(), side(content, images=[image(5, PICTURE)]))
    assert [(f.feature_id, f.detail) for f in found] == [(5, detail)]


def test_a_plain_picture_matches_nothing_and_is_noted_without_weight():
    plain = np.full((200, 300, 3), 90, dtype=np.uint8)
    found = look(ImageHash(), side(pictures.png(plain), images=[image(5, plain)]))
    assert [(f.feature_id, f.category, f.severity, f.detail) for f in found] == [(None, None, 0, "quality 0")]


def test_the_allow_list_cancels_by_looks_and_by_bytes():
    content = pictures.png(PICTURE)
    allowed = image(9, PICTURE, allow=True)
    assert look(ImageHash(), side(content, images=[image(5, PICTURE), allowed])) == []
    by_bytes = Entry(3, 1, evidence.store([content]).pk, "fraud.part_time", 4, "sha256", allow=True)
    assert look(ImageHash(), side(content, images=[image(5, PICTURE)], exact=[by_bytes])) == []
    assert look(ExactFile(), side(content, exact=[by_bytes])) == []


def test_a_known_picture_in_a_video_is_found_with_its_time(tmp_path):
    film = pictures.film(tmp_path / "film.mp4", [pictures.drawn(n) for n in (20, 21, 1, 22)], each=20)
    found = look(ImageHash(), side(film.read_bytes(), images=[image(5, pictures.drawn(1))]))
    assert [f.feature_id for f in found] == [5]
    assert 3.9 < float(found[0].detail.removesuffix(" s")) < 6.1


def test_a_video_is_known_by_its_frames(tmp_path):
    scenes = [pictures.drawn(n) for n in range(30, 36)]
    film = pictures.film(tmp_path / "film.mp4", scenes)
    known = Entry(8, 1, "f" * 64, "fraud.part_time", 3, "video", data=video_hash.of_file(film))
    smaller = pictures.film(tmp_path / "copy.mp4", [np.ascontiguousarray(scene[::2, ::2]) for scene in scenes])
    found = look(VideoHash(), side(smaller.read_bytes(), videos=[known]))
    assert [(f.check, f.feature_id) for f in found] == [("video_hash", 8)]
    assert found[0].distance < 31
    assert found[0].detail.endswith("16 frames")
    other = pictures.film(tmp_path / "other.mp4", [pictures.drawn(n) for n in range(60, 66)])
    assert look(VideoHash(), side(other.read_bytes(), videos=[known])) == []
    assert look(VideoHash(), side(pictures.png(scenes[0]), videos=[known])) == []


def test_a_sound_is_known_in_a_sound_file_and_in_a_video(tmp_path):
    sound = pictures.music(3, 8)
    mp3 = tmp_path / "known.mp3"
    mp3.write_bytes(pictures.encoded(sound, "mp3", 64_000, "mp3"))
    known = Entry(4, 1, "a" * 64, "fraud.part_time", 3, "audio", data=audio_print.of_file(mp3))
    film = pictures.film(tmp_path / "film.mp4", [pictures.drawn(1)] * 8, sound=sound)
    for content in (mp3.read_bytes(), pictures.encoded(sound // 3, "aac", 48_000, "ipod"), film.read_bytes()):
        found = look(AudioPrint(), side(content, audios=[known]))
        assert [(f.check, f.feature_id) for f in found] == [("audio_print", 4)]
    other = pictures.encoded(pictures.music(5, 8), "mp3", 64_000, "mp3")
    assert look(AudioPrint(), side(other, audios=[known])) == []


@pytest.mark.parametrize("check", [ImageHash(), VideoHash(), AudioPrint()])
def test_a_file_that_cannot_be_opened_is_for_the_check_of_files_to_tell(check, tmp_path):
    known = {
        "images": [image(5, PICTURE)],
        "videos": [Entry(1, 1, "v", "c", 3, "video", data={"frames": ["0f" * 32]})],
        "audios": [Entry(1, 1, "a", "c", 3, "audio", data={"prints": list(range(1, 200))})],
    }
    broken = side(pictures.png(PICTURE)[:200], **known)
    assert look(check, broken) == []
    assert "undecodable" in broken.notes["unopened"]
    assert check.version(broken.library).startswith("library 7, ")


def test_an_empty_library_costs_no_look_into_the_file():
    one = side(pictures.png(PICTURE))
    for check in (ExactFile(), ImageHash(), VideoHash(), AudioPrint()):
        assert look(check, one) == []
    assert "boxed" not in one.notes


def test_a_screened_copy_of_a_picture_that_was_shown_and_approved_names_the_entry(world, tmp_path):
    shown = tmp_path / "shown.png"
    shown.write_bytes(pictures.png(PICTURE))
    feature = propose_from_file(kind="image", path=shown, category="fraud.part_time", severity=4, by=world.lin)
    features.approve(feature_id=feature.pk, by=world.xu)
    held._look_at = 0.0
    stored = evidence.store([pictures.jpeg(PICTURE, 40)], media_type="image/jpeg").pk
    line = intake.read_line(jsonbody.encode(world.body(CLEAN)), files={"output_file": stored})
    taken = intake.take(service=world.service, lines=[line], by="client:test")[0]
    work()
    item = Submission.objects.get(pk=taken.id)
    finding = item.findings.get(check_name="image_hash")
    assert (finding.side, finding.feature_id, finding.feature_version) == ("output", feature.pk, 1)
    assert 0 < finding.distance <= 10
    assert item.state == "blocked"  # severity 4 in the output
    said = item.screened["output"]["checks"]
    assert said["image_hash"].startswith("hit@library ")
    assert said["exact"].startswith("clear@")
