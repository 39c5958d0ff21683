"""Files are looked at: opened once in the box, read, kept with what was seen; what can't be opened goes to a person."""

from __future__ import annotations

import hashlib
import io
import json
import wave
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection
from django.test.client import BOUNDARY, encode_multipart
from PIL import Image

from core import evidence, jobs, jsonbody, mediabox, tasks
from core.errors import Refusal
from core.mediabox import Undecodable
from core.models import Evidence, Job, QuarantinedJob
from core.options import option
from governance.models import Function
from moderation import checks, intake, library, media, policy, reevaluation, screening
from moderation.models import ExtractedText, Finding, Medium, PolicyVersion, Submission, Task
from moderation.policy import Policy
from tests.moderation.writing import picture_boxed, png, written
from tests.world import BLOCKED, CLEAN, SCAM, World, work

TIFF = b"II*\x00\x08\x00\x00\x00\x00\x00"


def handed_in(world: World, data: bytes, *, side: str = "output", text: str = "", media_type: str = "image/png") -> Any:
    """An item with a file, in screening."""
    stored = evidence.store([data], media_type=media_type)
    body = world.body(text) if side == "output" else world.body(text or CLEAN)
    answer = intake.take(
        service=world.service,
        lines=[intake.read_line(jsonbody.encode(body), files={f"{side}_file": stored.pk})],
        by="client:test",
    )[0]
    if isinstance(answer, Refusal):
        raise answer
    return Submission.objects.get(pk=answer.id)


def looked_at(world: World, data: bytes, **given: Any) -> Submission:
    item = handed_in(world, data, **given)
    work()
    item.refresh_from_db()
    return item


def side_of(data: bytes) -> checks.Side:
    stored = evidence.store([data], media_type="image/png")
    return checks.Side("output", "", stored.pk, "image_video", library.current())


def failures(item: Submission) -> set[str]:
    return set(Finding.objects.filter(submission=item, check_name="check_failed").values_list("detail", flat=True))


def test_a_term_written_in_a_picture_is_found_with_its_place(world: World) -> None:
    item = looked_at(world, png(written([CLEAN, SCAM])))
    assert (item.state, item.disposition) == ("in_review", "review")
    text = ExtractedText.objects.get(submission=item)
    assert (text.side, text.field, text.check_name) == ("output", "ocr", "ocr")
    assert "刷单返佣" in text.text and text.check_version.startswith("rapidocr ")
    found = Finding.objects.get(submission=item, check_name="terms")
    assert (found.field, found.side, found.category_id) == ("ocr", "output", "fraud.part_time")
    assert [text.text[a:b] for a, b in found.spans] == ["刷单返佣"]
    [[x, y, w, h]] = found.boxes
    # The second line, its characters 4 to 7, each 40 pixels wide, from x = 60 and y = 140 on.
    assert abs(x - 220) <= 14 and abs(x + w - 380) <= 14 and 125 <= y <= 160 and 30 <= h <= 80, found.boxes
    assert item.screened["output"]["checks"]["ocr"].startswith("clear@rapidocr")
    assert item.screened["output"]["checks"]["terms"].startswith("hit@")


def test_what_may_not_go_out_as_text_is_blocked_as_a_picture_too(world: World) -> None:
    item = looked_at(world, png(written([f"扫码领取{BLOCKED}"])))
    assert (item.state, item.rule) == ("blocked", "R-03")


def test_the_input_is_looked_at_as_the_output_is(world: World) -> None:
    item = looked_at(world, png(written([SCAM])), side="input")
    assert Finding.objects.get(submission=item, check_name="terms").side == "input"
    assert item.state == "in_review"


def test_a_picture_comes_in_as_multipart_and_the_answer_names_the_box(world: World, api: Any) -> None:
    meta = json.dumps(world.body("", technology="text"))
    file = io.BytesIO(png(written([SCAM])))
    file.name = "a.png"
    body = encode_multipart(BOUNDARY, {"meta": meta, "output_file": file})
    answer = api.post("submissions", raw=body, content_type=f"multipart/form-data; boundary={BOUNDARY}")
    assert answer.status_code == 202, answer.content
    work()
    told = api.get(f"submissions/{answer.json()['id']}").json()
    [found] = [f for f in told["findings"] if f["check"] == "terms"]
    assert (found["field"], found["side"], len(found["box"])) == ("ocr", "output", 4)
    assert found["boxes"] == [found["box"]] and found["spans"]


def test_a_file_is_opened_once_for_all_its_checks_and_what_was_seen_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = mediabox.open_up
    monkeypatch.setattr(mediabox, "open_up", lambda path, **given: opened.append(path) or real(path, **given))
    data = png(written([CLEAN]))
    looked_at(world, data)
    assert len(opened) == 1
    medium = Medium.objects.get(pk=hashlib.sha256(data).hexdigest())
    assert (medium.state, medium.kind, medium.crashes) == ("decoded", "image", 0)
    assert (medium.facts["width"], medium.facts["height"]) == (900, 500)
    assert medium.box_version == mediabox.BOX_VERSION
    assert medium.preview_id and medium.preview_id != medium.pk
    shown = b"".join(evidence.stream(medium.preview_id))
    assert Image.open(io.BytesIO(shown), formats=["JPEG"]).size == (900, 500)
    assert medium.preview.media_type == "image/jpeg"


def test_of_what_moves_a_sheet_with_the_times_is_kept(world: World) -> None:
    moving = io.BytesIO()
    first, *others = [written([f"{n}{CLEAN}"], size=(640, 360)) for n in range(6)]
    first.save(moving, "GIF", save_all=True, append_images=others, duration=500)
    item = looked_at(world, moving.getvalue(), media_type="image/gif")
    medium = Medium.objects.get(pk=item.content.output_file_id)
    assert medium.facts["sheet"] == [1600, 450] and "animated" in medium.flags
    assert [cell["seconds"] for cell in medium.facts["cells"]] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    shown = Image.open(io.BytesIO(b"".join(evidence.stream(medium.preview_id))), formats=["JPEG"])
    assert shown.size == (1600, 450)


@pytest.mark.parametrize(
    ("data", "state", "reason"),
    [
        (png(written([CLEAN]))[:3000], "undecodable", "broken png"),
        (TIFF, "refused", "format tiff"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "refused", "format svg"),
        (b"\x00" * 500, "refused", "format"),
    ],
    ids=["cut", "tiff", "svg", "nonsense"],
)
def test_what_can_not_be_opened_goes_to_a_person_and_says_why(
    world: World, data: bytes, state: str, reason: str
) -> None:
    item = looked_at(world, data)
    assert (item.state, item.rule) == ("in_review", "R-01")
    assert Task.objects.filter(pk=item.pk).exists()
    medium = Medium.objects.get(pk=item.content.output_file_id)
    assert medium.state == state and medium.reason.startswith(reason) and medium.preview_id is None
    assert failures(item) == {f"media: {state}: {medium.reason}"}
    for name in ("media", "ocr"):  # no check of files says that it found nothing
        assert item.screened["output"]["checks"][name].startswith("failed@"), name


def test_something_behind_the_end_of_a_file_goes_to_a_person(world: World) -> None:
    item = looked_at(world, png(written([CLEAN])) + b"PK\x03\x04" + b"hidden" * 50)
    assert (item.state, item.rule) == ("in_review", "R-01")
    [detail] = failures(item)
    assert "trailing_data" in detail
    assert Medium.objects.get(pk=item.content.output_file_id).state == "decoded"


class Box:
    """A box that answers as told, and counts how often it was asked."""

    def __init__(self, answer: Any):
        self.answer, self.asked = answer, 0

    def __call__(self, path: Any, **given: Any) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_file_on_which_the_box_crashed_twice_is_not_opened_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box(Undecodable("crashed: SIGSEGV"))
    monkeypatch.setattr(mediabox, "open_up", box)
    data = png(written([CLEAN]))
    items = [looked_at(world, data) for _n in range(4)]
    assert box.asked == 2
    assert {item.state for item in items} == {"in_review"}
    medium = Medium.objects.get(pk=items[0].content.output_file_id)
    assert (medium.state, medium.crashes) == ("crashed", 2)
    assert failures(items[3]) == {"media: crashed: crashed: 2 times, not opened again"}


@pytest.mark.parametrize("answer", [mediabox.Refused("codec vvc"), Undecodable("broken mp4: InvalidDataError")])
def test_what_one_box_could_not_open_is_left_to_the_next_version_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    box = Box(answer)
    monkeypatch.setattr(mediabox, "open_up", box)
    data = png(written([CLEAN]))
    side = side_of(data)
    for _n in range(3):
        assert media.boxed(side_of(data)) is None
    assert media.boxed(side) is None and media.boxed(side) is None
    assert box.asked == 1
    monkeypatch.setattr(mediabox, "BOX_VERSION", "box 2")
    box.answer = picture_boxed(written([CLEAN]))
    seen = media.boxed(side_of(data))
    assert seen is box.answer and box.asked == 2
    medium = Medium.objects.get(pk=side.file)
    assert (medium.state, medium.reason, medium.box_version) == ("decoded", "", "box 2")


def test_an_opening_that_is_interrupted_is_not_begun_again_by_the_next_check(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box(checks.OutOfTime())
    monkeypatch.setattr(mediabox, "open_up", box)
    item = looked_at(world, png(written([CLEAN])))
    assert box.asked == 1
    assert (item.state, item.rule) == ("in_review", "R-01")
    assert any("OutOfTime" in detail for detail in failures(item))
    assert item.screened["output"]["checks"]["ocr"].startswith("failed@")


def test_bytes_that_changed_in_the_store_are_not_opened_until_they_are_put_right(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = png(written(["1234567890"]))
    box = Box(picture_boxed(written([CLEAN])))
    monkeypatch.setattr(mediabox, "open_up", box)
    item = handed_in(world, data)
    sha256 = item.content.output_file_id
    path = storages["evidence"].path(evidence.path_of(sha256))
    try:
        Path(path).write_bytes(data[:-1] + b"!")
        work()
    finally:
        Path(path).write_bytes(data)
    item.refresh_from_db()
    assert (item.state, item.rule, box.asked) == ("in_review", "R-01", 0)
    assert Medium.objects.get(pk=sha256).reason == media.DAMAGED
    assert media.boxed(side_of(data)) is box.answer
    assert Medium.objects.get(pk=sha256).state == "decoded"


def test_a_store_without_files_of_its_own_works_too(world: World, settings: Any) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    item = looked_at(world, png(written([SCAM])))
    assert Finding.objects.filter(submission=item, check_name="terms", field="ocr").exists()


class Lenient:
    """Every version of the policy has these rules."""

    def __init__(self, rules: list[Any]):
        self.rules = rules

    def __call__(self, number: int) -> Policy:
        return Policy(number, self.rules)

    def cache_clear(self) -> None:
        """There is nothing to forget."""


def test_a_file_is_never_released_by_the_policy_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lenient = [row for row in PolicyVersion.objects.get(pk=1).rules if row["id"] == "R-06"]
    monkeypatch.setattr(policy, "version", Lenient(lenient))
    item = looked_at(world, png(written([CLEAN])))
    assert (item.state, item.rule, item.label) == ("in_review", "medium_unlabelled", None)


def test_items_with_files_have_their_own_queue_and_texts_never_wait_for_them(world: World) -> None:
    file, text = handed_in(world, png(written([CLEAN]))), world.take(CLEAN)
    kinds = dict(Job.objects.values_list("subject", "kind"))
    assert kinds[str(file.pk)] == "moderation.screen_media"
    assert kinds[str(text.pk)] == "moderation.screen"
    assert screening.MEDIA_KIND.queue == "media" and screening.MEDIA_KIND.batch == 1
    jobs.work("work")
    file.refresh_from_db()
    text.refresh_from_db()
    assert (file.state, text.state) == ("screening", "released")
    assert set(text.screened["output"]["checks"]).isdisjoint({"media", "ocr"})
    jobs.work("media")
    file.refresh_from_db()
    assert file.state == "in_review"


def test_the_sweeper_wakes_the_media_worker_and_does_not_look_into_files_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr(tasks.work, "apply_async", lambda **given: sent.append(given["queue"]))
    item = handed_in(world, png(written([CLEAN])))
    tasks.sweep()
    item.refresh_from_db()
    assert item.state == "screening" and sent == ["media"]


def test_the_lease_covers_all_that_one_side_may_take_and_is_renewed_for_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_files = [check for check in checks.CHECKS.values() if check.modality == "file"]
    # Speech to text is registered only where it is set.
    assert sum(check.limit for check in of_files if check.name != "speech") + 120 <= option("media_lease")
    item = handed_in(world, png(written([CLEAN])))
    ends = []

    def look(side: checks.Side) -> Any:
        ends.append(Job.objects.get(subject=str(item.pk)).due_at)
        with connection.cursor() as cursor:  # as if this side had taken long
            cursor.execute("UPDATE core_job SET due_at = due_at - interval '100 seconds'")
        return [], {}

    monkeypatch.setattr(checks, "look", look)
    jobs.work("media")
    assert len(ends) == 2 and abs((ends[1] - ends[0]).total_seconds()) < 10


def test_a_file_that_can_not_be_screened_goes_to_a_person_after_three_tries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*args: Any, **given: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(screening, "look", look)
    item = handed_in(world, png(written([CLEAN])))
    for _try in range(4):
        work()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE core_job SET due_at = statement_timestamp() - interval '1 second'")
    item.refresh_from_db()
    assert (item.state, item.rule) == ("in_review", "screening_failed")
    assert QuarantinedJob.objects.filter(kind="moderation.screen_media").count() == 1


def test_a_held_item_with_a_file_is_evaluated_again_in_the_queue_of_files(world: World) -> None:
    file, text = looked_at(world, png(written([CLEAN]))), world.submit(SCAM)
    Submission.objects.filter(pk__in=[file.pk, text.pk]).update(held_for="gate_closed")
    reevaluation.reevaluate(jobs.Claimed(0, "", {"topic": "gate.opened"}, 1, "", None))  # type: ignore[arg-type]
    assert dict(Job.objects.values_list("subject", "kind")) == {
        str(file.pk): "moderation.screen_media",
        str(text.pk): "moderation.screen",
    }


def test_a_sound_has_no_picture_and_is_kept_with_its_length(world: World) -> None:
    target = io.BytesIO()
    with wave.open(target, "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(b"\x00\x10" * 24_000)
    item = looked_at(world, target.getvalue(), media_type="audio/wav")
    medium = Medium.objects.get(pk=item.content.output_file_id)
    assert (medium.state, medium.kind, medium.preview_id) == ("decoded", "audio", None)
    assert medium.facts["seconds"] == 1.5
    assert item.state == "in_review"


def test_ingest_feeds_files_through_the_same_road(world: World, tmp_path: Any) -> None:
    Function.objects.filter(pk=world.writing.pk).update(technologies=["text", "image_video"])
    (tmp_path / "a.png").write_bytes(png(written([SCAM])))
    lines = [{"external_id": "f-1", "file": "a.png", "prompt": CLEAN}, {"external_id": "t-1", "text": CLEAN}]
    (tmp_path / "items.jsonl").write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    told = StringIO()
    call_command(
        "ingest", str(tmp_path / "items.jsonl"), "--service", "tuyan", "--user", "wen", stdout=told, stderr=told
    )
    assert dict(Submission.objects.values_list("external_id", "state")) == {"f-1": "in_review", "t-1": "released"}
    found = Finding.objects.get(check_name="terms")
    assert (found.submission.external_id, found.field) == ("f-1", "ocr")
    assert Evidence.objects.filter(medium__state="decoded").count() == 1
