"""Files of submissions: the original is a download that nothing opens, the eye gets re-encoded previews only (M11)."""

from __future__ import annotations

import io

import pytest
from django.core.files.storage import storages
from django.urls import reverse

from bench import mediabox_samples as samples
from core import audit, evidence, mediabox
from core.ids import uuid7
from moderation.models import Content, Medium

HOSTILE = samples.with_segment(samples.whole("jpeg"), 0xFE, b"<html><script>alert(1)</script></html>")


@pytest.fixture
def item(world):
    """An item whose output is a polyglot, looked at by the box; its input is a file that nobody looked at."""
    stored = evidence.store([HOSTILE], media_type="text/html")
    unseen = evidence.store([samples.whole("png")], media_type="image/png")
    item = world.take()
    Content.objects.filter(pk=item.pk).update(output_file=stored, input_file=unseen)
    with evidence.open_file(stored.pk) as opened:
        boxed = mediabox.open_up(opened.name)
    shown = evidence.store([boxed.preview], media_type="image/jpeg")
    Medium.objects.create(evidence=stored, state="decoded", kind="image", preview=shown)
    return item


@pytest.fixture
def lin(login):
    return login("lin")


def address(name, item, side="output"):
    return reverse(name, args=[item.pk, side])


def test_the_original_is_a_download_that_no_browser_opens(item, lin):
    answer = lin.get(address("submission_file", item))
    assert answer.content == HOSTILE
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == f'attachment; filename="output-{item.pk}.bin"'
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in answer["Cache-Control"]


def test_who_fetched_an_original_is_in_the_ledger(item, lin):
    lin.get(address("submission_file", item))
    lin.get(address("submission_preview", item))
    events = [event for event in audit.of(f"submission:{item.pk}") if event.action == "submission.file_fetched"]
    assert [(event.actor, event.data["side"]) for event in events] == [("staff:lin", "output")]


def test_the_preview_is_made_of_pixels(item, lin):
    from PIL import Image

    answer = lin.get(address("submission_preview", item))
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("image/jpeg", "nosniff")
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert b"script" not in answer.content and b"Exif" not in answer.content
    shown = Image.open(io.BytesIO(answer.content), formats=["JPEG"])
    assert (shown.size, dict(shown.getexif())) == ((160, 120), {})


def test_what_the_box_did_not_look_at_is_not_shown(item, lin):
    assert lin.get(address("submission_preview", item, "input")).status_code == 404
    assert lin.get(address("submission_file", item, "input")).status_code == 200


def test_an_original_never_passes_for_its_preview(item, lin):
    medium = Medium.objects.get()
    medium.preview = medium.evidence
    medium.save(update_fields=["preview"])
    assert lin.get(address("submission_preview", item)).status_code == 404


def test_a_preview_that_is_no_picture_is_not_shown(item, lin):
    Medium.objects.update(preview=evidence.store([b"<html>"], media_type="image/jpeg"))
    assert lin.get(address("submission_preview", item)).status_code == 404


def test_damaged_bytes_are_not_served(item, lin):
    name = evidence.path_of(Content.objects.get(pk=item.pk).output_file_id)
    storage = storages["evidence"]
    whole = storage.open(name).read()
    storage.delete(name)
    storage.save(name, io.BytesIO(whole[:-1] + b"!"))
    try:
        answer = lin.get(address("submission_file", item))
        assert (answer.status_code, whole[:20] in answer.content) == (409, False)
    finally:
        storage.delete(name)


@pytest.mark.parametrize("name", ["submission_file", "submission_preview"])
def test_nothing_there_is_not_found(world, lin, name):
    item = world.take()
    assert lin.get(address(name, item)).status_code == 404
    assert lin.get(address(name, item, "sideways")).status_code == 404
    assert lin.get(reverse(name, args=[uuid7(), "output"])).status_code == 404


@pytest.mark.parametrize("name", ["submission_file", "submission_preview"])
def test_only_with_the_grant(item, login, client, name):
    assert login("zhou").get(address(name, item)).status_code == 403
    assert client.get(address(name, item)).status_code in (302, 401, 403)
    assert login("lin").post(address(name, item)).status_code == 405
