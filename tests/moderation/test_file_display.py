"""How people see a file: re-encoded and veiled, with the findings drawn over it; what was read out of it with its marks;
what the box said in words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from core import mediabox
from core.mediabox import Undecodable
from moderation import shown_files
from moderation.evidence_lines import evidence
from moderation.models import ExtractedText, Finding, Medium, Submission
from moderation.screening import categories
from tests.moderation.test_media import handed_in, looked_at
from tests.moderation.writing import picture_boxed, png, written
from tests.world import CLEAN, SCAM, World, work


@pytest.fixture(autouse=True)
def an_empty_cache() -> Any:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def lin(login: Any) -> Any:
    return login("lin")


def desk_page(client: Any, **headers: Any) -> str:
    answer = client.post("/review/next", follow=True, **headers)
    assert answer.status_code == 200
    return answer.content.decode()


def read(item: Submission) -> Submission:
    return Submission.objects.select_related(*shown_files.WITH).get(pk=item.pk)


def files_of(item: Submission) -> dict[str, shown_files.ShownFile]:
    item = read(item)
    return shown_files.of(item, evidence(item, categories()))


def test_a_finding_is_drawn_over_the_picture_and_marked_in_what_was_read_by_the_same_number(
    world: World, lin: Any
) -> None:
    item = looked_at(world, png(written([CLEAN, SCAM])))
    html = desk_page(lin)
    row = re.search(r'<tr data-number="(\d+)" data-finding>(?:(?!</tr>).)*?刷单返佣', html, re.S)
    assert row
    number = row[1]
    [[x, y, w, h]] = Finding.objects.get(submission=item, check_name="terms").boxes
    drawn = re.search(rf'<g class="drawn m\d" data-number="{number}".*?</g>', html, re.S)
    assert drawn
    assert f'<rect x="{x}" y="{y}" width="{w}" height="{h}">' in drawn[0]
    assert re.search(rf"<text [^>]*>{number}</text>", drawn[0])
    assert 'viewBox="0 0 900 500"' in html
    assert re.search(rf'<mark class="m\d"[^>]*data-number="{number}"[^>]*>刷单返佣</mark>', html)
    assert f'src="/submissions/{item.pk}/preview/output"' in html
    assert "900 × 500 px" in html


def test_the_picture_is_what_the_box_made_of_it_and_the_file_only_a_download(world: World, lin: Any) -> None:
    data = png(written([SCAM]))
    item = looked_at(world, data)
    desk_page(lin)
    seen = lin.get(f"/submissions/{item.pk}/preview/output")
    assert (seen.status_code, seen["Content-Type"]) == (200, "image/jpeg")
    assert seen.content != data and seen.content.startswith(b"\xff\xd8\xff")


def test_pictures_are_veiled_until_somebody_unveils_them_without_scripts_too(world: World, lin: Any) -> None:
    looked_at(world, png(written([SCAM])))
    html = desk_page(lin)
    [box] = re.findall(r"<input[^>]*data-unveil[^>]*>", html)
    assert 'type="checkbox"' in box and "checked" not in box
    name = re.search(r'id="([^"]+)"', box)
    assert name and f'for="{name[1]}"' in html
    assert not re.search(r"\sstyle=", html) and not re.search(r"<script(?![^>]*(src=|application/json))", html)


def test_the_page_of_the_item_shows_the_same(world: World, login: Any) -> None:
    item = looked_at(world, png(written([SCAM])))
    html = login("he").get(f"/submissions/{item.pk}/").content.decode()
    assert "data-unveil" in html and 'class="drawn' in html and "刷单返佣</mark>" in html


def test_a_file_that_could_not_be_opened_says_why_in_the_readers_language(world: World, lin: Any) -> None:
    looked_at(world, png(written([CLEAN]))[:3000])
    html = desk_page(lin, HTTP_ACCEPT_LANGUAGE="en")
    assert "The file could not be opened: it is broken (png)." in html
    assert "/preview/" not in html and "/file/output" in html


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("format tiff", "files of this kind are not opened (tiff)"),
        ("codec vvc", "its codec is not decoded (vvc)"),
        ("more than 50 million pixels", "it has more than 50 million pixels"),
        ("more than 8 streams", "it holds more than 8 streams"),
        ("longer than 30 minutes", "it is longer than 30 minutes"),
        ("crashed: SIGSEGV", "the decoder crashed on it"),
        ("crashed: 2 times, not opened again", "the decoder crashed 2 times, and does not try again"),
        ("out of time", "it took too long"),
        ("broken png: OSError", "it is broken (png)"),
        ("something new", "something new"),
    ],
)
def test_reasons_are_said_in_words(reason: str, words: str) -> None:
    with translation.override("en"):
        assert shown_files.reason_in_words(reason) == words


def test_every_flag_of_the_box_has_its_words() -> None:
    assert set(shown_files.FLAGS) == set(mediabox.FLAGS)


def test_flags_are_shown_and_those_that_hide_something_stand_out(world: World, lin: Any) -> None:
    looked_at(world, png(written([SCAM])) + b"behind the end")
    html = desk_page(lin, HTTP_ACCEPT_LANGUAGE="en")
    assert re.search(r'<li class="unseen">.*?Something follows after its end</li>', html, re.S)


def test_of_a_video_the_frames_have_their_times_and_a_finding_stands_in_its_frame(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [written([CLEAN]), written([CLEAN, SCAM]), written([])]
    monkeypatch.setattr(mediabox, "open_up", lambda path, **given: picture_boxed(*frames, kind="video"))
    item = looked_at(world, b"a video, the box says", media_type="video/mp4")
    shown = files_of(item)["output"]
    assert [moment.words for moment in shown.moments] == ["0:00.0", "0:01.0", "0:02.0"]
    assert (shown.width, shown.height) == (1200, 222)
    [one] = shown.drawn
    [[x, y, w, h]] = Finding.objects.get(submission=item, check_name="terms").boxes
    scale = 400 / 900
    assert abs(one.x - (400 + x * scale)) <= 1 and abs(one.y - y * scale) <= 1
    assert abs(one.w - w * scale) <= 1 and abs(one.h - h * scale) <= 1
    with translation.override("en"):
        facts = {str(name): value for name, value in files_of(item)["output"].facts}
    assert facts["Length"] == "0:03.0" and facts["Sound track"] == "no" and facts["Codec"] == "h264"


def test_what_was_found_in_the_picture_itself_is_drawn_too(world: World) -> None:
    item = looked_at(world, png(written([])))
    Finding.objects.create(
        submission=item, side="output", check_name="nudity", severity=3, boxes=[[10, 400, 50, 60]], score=0.8
    )
    [one] = files_of(item)["output"].drawn
    assert (one.x, one.y, one.w, one.h) == (10, 400, 50, 60) and one.text_y < one.y
    Finding.objects.create(submission=item, side="output", check_name="nudity", boxes=[[0, 0, 5, 5]], detail="again")
    assert [one.text_y > one.y for one in files_of(item)["output"].drawn] == [True, False]


def test_findings_in_one_place_share_a_box_with_both_numbers_and_the_gravest_is_on_top(world: World) -> None:
    item = looked_at(world, png(written([])))
    for severity, box in ((2, [50, 50, 9, 9]), (3, [50, 50, 9, 9]), (1, [55, 50, 9, 9])):
        Finding.objects.create(
            submission=item, side="output", check_name="nudity", severity=severity, boxes=[box], detail=str(severity)
        )
    drawn = files_of(item)["output"].drawn
    assert [(one.numbers, one.tone, one.x) for one in drawn] == [("3", "m4", 55), ("1 2", "m2", 50)]


def test_of_what_moves_a_finding_says_by_its_second_in_which_frame_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [written([]), written([CLEAN])]
    monkeypatch.setattr(mediabox, "open_up", lambda path, **given: picture_boxed(*frames, kind="video"))
    item = looked_at(world, b"another video", media_type="video/mp4")
    Finding.objects.create(
        submission=item, side="output", check_name="nudity", boxes=[[90, 90, 90, 90]], detail="1.0 s, anus exposed"
    )
    [one] = files_of(item)["output"].drawn
    assert (one.x, one.y, one.w, one.h) == (440, 40, 40, 40)


def test_what_a_picture_says_can_not_write_into_the_page(world: World, lin: Any) -> None:
    item = handed_in(world, png(written([])), text=SCAM)
    ExtractedText.objects.create(
        submission=item, side="output", field="ocr", text="<img src=x onerror=alert(1)>\"'{{ 7|add:7 }}"
    )
    work()
    html = desk_page(lin)
    assert "<img src=x" not in html and "&lt;img src=x onerror=alert(1)&gt;" in html and "{{ 7|add:7 }}" in html


def test_a_finding_shows_how_far_it_is_from_its_entry(world: World, lin: Any) -> None:
    item = looked_at(world, png(written([])))
    Finding.objects.create(
        submission=item, side="output", check_name="image_hash", severity=3, distance=14.0, score=0.9
    )
    html = desk_page(lin, HTTP_ACCEPT_LANGUAGE="en")
    assert "distance 14<" in html


def test_before_anybody_looked_the_page_says_so(world: World, login: Any) -> None:
    item = handed_in(world, png(written([])))
    html = login("he").get(f"/submissions/{item.pk}/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    assert "Nobody has looked into it yet." in html and "/preview/" not in html


def test_a_picture_full_of_findings_does_not_make_the_page_endless(world: World) -> None:
    item = looked_at(world, png(written([])))
    Finding.objects.create(
        submission=item, side="output", check_name="nudity", boxes=[[n, n, 5, 5] for n in range(2000)]
    )
    assert len(files_of(item)["output"].drawn) == shown_files.BOXES


def test_a_file_costs_the_desk_one_more_query(world: World, lin: Any) -> None:
    looked_at(world, png(written([SCAM])))
    desk_page(lin)
    lin.get("/review/")
    with CaptureQueriesContext(connection) as seen:
        lin.get("/review/")
    with_file = [q["sql"] for q in seen if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(with_file) <= 17, with_file
    assert sum("moderation_extractedtext" in sql for sql in with_file) == 1
    assert sum("moderation_medium" in sql for sql in with_file) == 1


def test_a_preview_that_an_earlier_box_made_is_not_shown_for_a_file_that_can_not_be_opened_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = looked_at(world, png(written([SCAM])))
    Medium.objects.update(state="undecodable", reason="out of memory")
    assert files_of(item)["output"].preview == ""


def test_an_unknown_kind_of_crash_is_shown_as_the_box_gave_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(path: Any, **given: Any) -> Any:
        raise Undecodable("<b>odd</b>")

    monkeypatch.setattr(mediabox, "open_up", crash)
    item = looked_at(world, png(written([])))
    assert files_of(item)["output"].problem == "<b>odd</b>"
