"""Text in pictures is read where it stands, at any size and turned; the models are the shipped ones or none (M14)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from moderation import ocr
from moderation.checks import Text
from tests.moderation.writing import frame, written

SCAM = "加入我们刷单返佣，日赚五百"
CLEAN = "秋天的旧书店里有阳光和灰尘"
SMALL = "添加微信看图写段话"


def box_of(read: ocr.Read, words: str) -> list[int]:
    start = read.text.index(words)
    return Text("ocr", read.text, read.layout).boxes([[start, start + len(words)]])[0]


def test_lines_are_read_with_the_place_of_every_character() -> None:
    picture = written([SCAM, CLEAN])
    read = ocr.read([frame(picture)])
    assert read.text == f"{SCAM}\n{CLEAN}"
    # "刷单返佣" is characters 4 to 7 of 40 pixels each, from x = 60 on.
    x, y, w, h = box_of(read, "刷单返佣")
    assert abs(x - 220) <= 12 and abs(x + w - 380) <= 12, (x, w)
    assert 50 <= y <= 80 and 30 <= h <= 80, (y, h)
    assert box_of(read, CLEAN)[1] > y + h / 2


def test_places_are_in_pixels_of_the_original_where_the_box_made_it_smaller() -> None:
    whole = written([SCAM], size=(1800, 600), letters=80, at=(120, 120))
    x, _y, w, _h = box_of(ocr.read([frame(whole, scale=0.5)]), "刷单返佣")
    assert abs(x - 440) <= 24 and abs(x + w - 760) <= 24, (x, w)


@pytest.mark.parametrize("degrees", [90, 180, 270, 12])
def test_turned_writing_is_read(degrees: int) -> None:
    picture = written([SCAM, CLEAN]).rotate(degrees, expand=True, fillcolor="white")
    read = ocr.read([frame(picture)])
    assert "刷单返佣" in read.text and "旧书店" in read.text


def test_small_writing_in_a_large_picture_is_read() -> None:
    picture = written([SMALL], size=(2600, 2300), letters=22, at=(1500, 2000))
    read = ocr.read([frame(picture)])
    assert SMALL in read.text
    x, y, _w, _h = box_of(read, SMALL)
    assert abs(x - 1500) <= 12 and abs(y - 2000) <= 20


def test_a_long_screenshot_is_read_to_its_end_and_each_line_once() -> None:
    lines = [f"{n}{CLEAN}" for n in range(100, 140)]
    picture = written(lines, size=(700, 3300), letters=40)
    read = ocr.read([frame(picture)])
    for line in lines:
        assert read.text.count(line) == 1, line


def test_a_picture_is_cut_into_overlapping_pieces_that_cover_it() -> None:
    for width, height in ((1, 1), (1280, 16), (1280, 1280), (1281, 300), (1080, 12_000), (8000, 6000), (16, 30_000)):
        factor, places = ocr.tiles(width, height)
        w, h = round(width * factor), round(height * factor)
        assert 1 <= len(places) <= ocr.TILES
        assert min(x for x, *_ in places) == 0 == min(y for _x, y, *_ in places)
        assert max(x + tw for x, _y, tw, _th in places) == max(1, w)
        assert max(y + th for _x, y, _tw, th in places) == max(1, h)
        for starts in (sorted({(x, tw) for x, _y, tw, _th in places}), sorted({(y, th) for _x, y, _tw, th in places})):
            for (first, length), (second, _length) in zip(starts, starts[1:], strict=False):
                assert first + length - second >= ocr.OVERLAP - 1


def test_nothing_stands_in_a_picture_without_writing() -> None:
    assert ocr.read([frame(written([]))]) == ocr.Read()
    assert ocr.read([]) == ocr.Read()


def test_of_a_video_at_most_eight_different_frames_are_read_and_a_line_once() -> None:
    still = [frame(written([CLEAN]), seconds=float(n)) for n in range(5)]
    changed = frame(written([CLEAN, SCAM]), seconds=5.0)
    assert [one.seconds for one in ocr.distinct([*still, changed])] == [0.0, 5.0]
    read = ocr.read([*still, changed], moving=True)
    assert read.text == f"{CLEAN}\n{SCAM}"
    assert {part["seconds"] for part in read.layout if part["start"] > len(CLEAN)} == {5.0}
    many = [frame(written([f"{n} {CLEAN}"], letters=60), seconds=float(n)) for n in range(20)]
    kept = ocr.distinct(many)
    assert len(kept) == ocr.FRAMES and (kept[0].seconds, kept[-1].seconds) == (0.0, 19.0)


def test_more_text_than_is_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "MOST", 20)
    read = ocr.read([frame(written([SCAM, CLEAN]))])
    assert (read.text, read.truncated) == (SCAM, True)


def test_reading_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "SECONDS", -1.0)
    with pytest.raises(ocr.OutOfTime):
        ocr.read([frame(written([SCAM]))])


@pytest.mark.parametrize("part", ["Det", "Cls", "Rec"])
def test_a_model_that_is_not_the_shipped_one_is_refused_before_it_is_loaded(
    tmp_path: Any, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ocr._shipped(), tmp_path / "models")
    name = ocr.MODELS[part][0]
    model = tmp_path / "models" / name
    # One byte more: an unknown field at the end is a valid model to onnxruntime.
    model.write_bytes(model.read_bytes() + b"\xf8\x07\x01")
    monkeypatch.setitem(sys.modules, "rapidocr", None)  # an import of it would raise
    with pytest.raises(ocr.ModelChanged, match=name):
        ocr.Reader(tmp_path / "models")


def test_a_model_with_data_outside_of_itself_is_refused(tmp_path: Any) -> None:
    for name, _digest in ocr.MODELS.values():
        shutil.copy(ocr._shipped() / name, tmp_path / name)
    name = ocr.MODELS["Rec"][0]
    (tmp_path / name).write_bytes(b"\x08\x08" + b"location\x12\x12../../etc/passwd\x00")
    with pytest.raises(ocr.ModelChanged, match=name):
        ocr.verified(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ocr.ModelChanged, match=name):
        ocr.verified(tmp_path)


def test_reading_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(ocr, "_reader", None)
    assert SCAM in ocr.read([frame(written([SCAM]))]).text


def test_the_models_are_loaded_by_the_first_look_and_with_one_thread() -> None:
    code = (
        "import django, sys; django.setup();"
        "from moderation import ocr; import moderation.checks.shipped;"
        "assert not ocr.loaded() and not {'rapidocr', 'onnxruntime'} & set(sys.modules);"
        "reader = ocr.reader(); assert ocr.loaded();"
        "import threading; parts = reader._engine.text_det, reader._engine.text_cls, reader._engine.text_rec;"
        "print([p.session.session.get_session_options().intra_op_num_threads for p in parts])"
    )
    root = settings.BASE_DIR
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**__import__("os").environ, "PYTHONPATH": f"{root}:{root}/platform"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[1, 1, 1]"
