"""The submissions API: waiting, reading, listing, content, files (contract.md)."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from core import jobs
from core.models import Evidence
from moderation import api as submissions_api
from moderation.models import Submission
from tests.accounts.pictures import png
from tests.conftest import Api
from tests.world import BLOCKED, CLEAN, SCAM, World, work


def test_prefer_wait_answers_200_with_the_verdict(open_world: World) -> None:
    api = Api(open_world.key)
    stop = threading.Event()

    def labour() -> None:
        while not stop.is_set():
            jobs.work("work", seconds=0.2)
            time.sleep(0.01)
        connection.close()

    worker = threading.Thread(target=labour)
    worker.start()
    try:
        answer = api.post("submissions", open_world.body(SCAM), HTTP_PREFER="wait=8")
    finally:
        stop.set()
        worker.join()
    assert answer.status_code == 200
    told = answer.json()
    assert (told["state"], told["disposition"]) == ("in_review", "review")
    assert told["findings"][0]["spans"] == [[SCAM.index("刷单返佣"), SCAM.index("刷单返佣") + 4]]


def test_without_a_worker_waiting_ends_with_202(world: World, api: Api) -> None:
    started = time.monotonic()
    answer = api.post("submissions", world.body(), HTTP_PREFER="respond-async, wait=1")
    assert answer.status_code == 202
    assert 0.9 < time.monotonic() - started < 4


def test_past_the_limit_of_waiting_callers_the_answer_is_202_at_once(world: World, api: Api) -> None:
    taken = [submissions_api._waiting.acquire(blocking=False) for _ in range(4)]
    try:
        started = time.monotonic()
        assert api.post("submissions", world.body(), HTTP_PREFER="wait=10").status_code == 202
        assert time.monotonic() - started < 3
    finally:
        for _ in filter(None, taken):
            submissions_api._waiting.release()


def test_one_item_is_told_with_its_decision(world: World, api: Api) -> None:
    blocked = api.get(f"submissions/{world.submit(BLOCKED).pk}").json()
    assert (blocked["state"], blocked["decided_by"], blocked["policy_version"]) == ("blocked", "policy", 1)
    assert blocked["reasons"][0]["category"] == "drugs.sale"
    assert blocked["reasons"][0]["detail"] and blocked["reasons"][0]["clause"]
    assert blocked["decided_at"].endswith("Z")


def test_another_services_item_does_not_exist_for_this_key(world: World, api: Api) -> None:
    item = world.submit()
    Submission.objects.filter(pk=item.pk).update(service=world.other_service)
    for path in (f"submissions/{item.pk}", f"submissions/{item.pk}/content", "submissions/nonsense"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_content_is_the_labelled_output_and_only_of_released_items(world: World, api: Api) -> None:
    """DS-16a, DS-17a: the seven fields in their order, the notice at the start."""
    told = api.get(f"submissions/{world.submit(CLEAN).pk}/content").json()
    assert told["text"] == f"本内容由人工智能生成\n{CLEAN}"
    assert list(told["AIGC"]) == [
        "Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2",
    ]  # fmt: skip
    refused = api.get(f"submissions/{world.submit(SCAM).pk}/content")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_released")


def test_the_list_pages_and_filters(world: World, api: Api) -> None:
    for n in range(52):
        world.take(f"{CLEAN}{n}")
    work()
    waiting = world.submit(SCAM)
    first = api.get("submissions").json()
    assert len(first["results"]) == 50
    assert first["results"][0]["id"] == str(waiting.pk)
    second = api.get("submissions", cursor=first["next"]).json()
    assert (len(second["results"]), second["next"]) == (3, None)
    assert [r["id"] for r in api.get("submissions", state="in_review").json()["results"]] == [str(waiting.pk)]
    assert api.get("submissions", since="2999-01-01T00:00:00Z").json()["results"] == []
    for bad in ({"state": "lost"}, {"since": "yesterday"}, {"cursor": "x"}, {"since": "2026-13-01T00:00:00Z"}):
        assert api.get("submissions", **bad).status_code == 400


def multipart(api: Api, meta: Any, **files: Any) -> Any:
    return api.client.post("/api/v1/submissions", {"meta": meta, **files})


@pytest.fixture
def evidence_folder(settings: Any, tmp_path: Any) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}},
    }


def test_a_file_is_stored_by_its_content_and_goes_to_a_person(world: World, api: Api, evidence_folder: None) -> None:
    import json

    body = world.body(function="portrait", technology="biometric_image_video", consent_prompt_acknowledged=True)
    body["output"] = {}

    def send(content: bytes) -> Any:
        return multipart(api, json.dumps(body), output_file=SimpleUploadedFile("x.png", content, "image/png"))

    first = send(png(64, 48))
    assert first.status_code == 202
    assert send(png(64, 48)).status_code == 200
    assert send(png(64, 50)).status_code == 409
    work()
    item = Submission.objects.get(pk=first.json()["id"])
    assert (item.state, item.rule) == ("in_review", "R-02")
    assert item.content.output_file_id in set(Evidence.objects.values_list("pk", flat=True))


def test_multipart_refuses_what_it_must(world: World, api: Api, evidence_folder: None) -> None:
    import json

    meta = json.dumps(world.body())
    svg = SimpleUploadedFile("x.svg", b"<svg/>", "image/svg+xml")
    assert multipart(api, meta, output_file=svg).status_code == 415
    for disguised in (b"<svg/>", b"II*\x00" + b"\x00" * 64, b"#EXTM3U\n", b"%!PS-Adobe", b"%PDF-1.7", b"", b"MZ\x90"):
        named = SimpleUploadedFile("x.jpg", disguised, "image/jpeg")
        assert multipart(api, meta, output_file=named).status_code == 415, disguised
    png = SimpleUploadedFile("x.png", b"\x89PNG\r\n\x1a\n", "image/png")
    assert multipart(api, "{", output_file=png).status_code == 400
    raw = api.client.post(
        "/api/v1/submissions", data=io.BytesIO(b"garbage").read(), content_type="multipart/form-data; boundary=x"
    )
    assert raw.status_code == 400


def test_methods_that_are_not_offered_are_405(world: World, api: Api) -> None:
    for path in ("submissions/batch", "users"):
        assert api.get(path).status_code == 405
    assert api.client.put("/api/v1/submissions", data="{}", content_type="application/json").status_code == 405


def test_the_description_is_openapi_31_and_names_every_address(client: Any, world: World) -> None:
    import yaml

    told = yaml.safe_load(client.get("/api/schema/").content)
    assert told["openapi"].startswith("3.1")
    assert {"/api/v1/submissions", "/api/v1/submissions/batch", "/api/v1/users", "/api/v1/gates"} <= set(told["paths"])


def test_the_language_of_a_refusal_follows_the_caller_and_not_the_thread(world: World, api: Api) -> None:
    english = api.post("submissions", raw=b"{", HTTP_ACCEPT_LANGUAGE="en").json()["detail"]
    default = api.post("submissions", raw=b"{").json()["detail"]
    assert english == "The body isn't JSON."
    assert default != english
