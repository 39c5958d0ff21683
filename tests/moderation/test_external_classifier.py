"""A classifier of somebody else: asked once a batch, never trusted to let anything through."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from core import breaker
from moderation import checks
from moderation.checks.external_classifier import ExternalClassifier, Meaning
from moderation.models import Finding
from moderation.outside import Away, Service
from tests.moderation.outside_service import Outside, elapsed, running
from tests.world import CLEAN, World, work

pytestmark = pytest.mark.django_db
LABELS = {"scam": Meaning("fraud.part_time", 3, 0.6)}


def says(body: bytes) -> dict[str, Any]:
    items = json.loads(body)["items"]
    return {
        "version": "m-7",
        "items": [
            {
                "id": item["id"],
                "labels": [
                    {"label": "scam", "score": 0.9 if "转账" in item["text"] else 0.1, "spans": [[0, 2], [5, 99999]]},
                    {"label": "weather", "score": 1.0},
                ],
            }
            for item in items
        ],
    }


@pytest.fixture
def outside() -> Iterator[Outside]:
    cache.clear()
    with running(says) as outside:
        yield outside
    cache.clear()


@pytest.fixture
def check(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> ExternalClassifier:
    made = ExternalClassifier(Service("external_classifier", outside.url, "secret-key", seconds=0.6), LABELS)
    monkeypatch.setitem(checks.CHECKS, made.name, made)
    return made


def test_a_label_over_its_threshold_becomes_a_finding_with_the_spans_that_can_be(
    world: World, check: ExternalClassifier, outside: Outside
) -> None:
    item = world.submit("转账到安全账户")
    found = Finding.objects.get(submission=item, check_name="external_classifier")
    assert (found.category_id, found.severity, found.score) == ("fraud.part_time", 3, 0.9)
    assert found.spans == [[0, 2]] and found.detail == "scam m-7"
    assert set(outside.keys) == {"Bearer secret-key"}


def test_a_batch_is_one_question(world: World, check: ExternalClassifier, outside: Outside) -> None:
    for number in range(5):
        world.take(f"{CLEAN}{number}")
    work()
    assert len(outside.asked) == 1 and len(json.loads(outside.asked[0])["items"]) == 10


@pytest.mark.parametrize("mode", ["slow", "dripping", "error", "refused", "garbage", "list", "huge", "redirect"])
def test_without_a_usable_answer_a_person_looks_and_soon(
    world: World, check: ExternalClassifier, outside: Outside, mode: str
) -> None:
    outside.mode = mode
    begun = time.monotonic()
    item = world.submit(CLEAN)
    assert (item.state, item.rule) == ("in_review", "R-01")
    assert elapsed(begun) < 10
    assert item.screened["output"]["checks"]["external_classifier"].startswith("failed@")


def test_an_answer_that_leaves_a_text_out_is_none(world: World, check: ExternalClassifier, outside: Outside) -> None:
    outside.answer = lambda body: {"items": []}
    assert world.submit(CLEAN).rule == "R-01"


def test_a_service_that_fails_is_left_alone_for_a_while(
    world: World, check: ExternalClassifier, outside: Outside
) -> None:
    outside.mode = "error"
    for number in range(breaker.FAILURES):
        world.submit(f"{CLEAN}{number}")
    asked = len(outside.asked)
    outside.mode = "ok"
    assert world.submit(CLEAN).rule == "R-01"
    assert len(outside.asked) == asked


def test_a_spent_budget_asks_nothing_more_today(outside: Outside) -> None:
    service = Service("budgeted", outside.url, seconds=1, per_day=3)
    body = json.dumps({"items": [{"id": "0", "text": ""}]}).encode()
    service.ask(body, questions=3)
    with pytest.raises(Away, match="budget_spent"):
        service.ask(body)
    assert len(outside.asked) == 1


def test_the_question_names_no_person(world: World, check: ExternalClassifier, outside: Outside) -> None:
    item = world.submit(CLEAN)
    sent = b"".join(outside.asked).decode()
    assert item.external_id not in sent and str(item.pk) not in sent and world.wen.external_id not in sent
