"""Logs: one JSON object a line, a request id that is followed, nothing personal."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from core import logs
from core.requests import request_id
from tests.world import ID_NUMBER, USCC


@pytest.fixture
def lines():
    """What is written, through the formatter of the product."""
    stream = io.StringIO()
    logger = logging.getLogger("test.lines")
    handler = logging.StreamHandler(stream)
    given = logs.LOGGING["formatters"]["json"]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=given["processors"], foreign_pre_chain=given["foreign_pre_chain"]
        )
    )
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    "personal",
    [ID_NUMBER, ID_NUMBER[:-1] + "x", USCC, "13800138000", "mj_a1b2c3d4e5_" + "x" * 43, "whsec_" + "QUJD" * 8 + "="],
)
def test_identifiers_and_keys_that_slip_into_a_line_are_taken_out(lines, personal):
    structlog.get_logger("test.lines").warning("seen", text=f"before {personal} after", event_also=personal)
    logging.getLogger("test.lines").warning("plain %s end", personal)
    try:
        raise ValueError(f"DETAIL: Key (number)=({personal})")
    except ValueError as exc:
        structlog.get_logger("test.lines").error("failed", exc_info=exc)
    written = lines()
    assert len(written) == 3
    assert personal not in json.dumps(written, ensure_ascii=False)
    assert written[0]["text"] == "before [removed] after"
    assert "ValueError" in written[2]["exception"]


@pytest.mark.parametrize("harmless", ["2026-11-22T13:10:55.956160Z", "1234567890", "12345678901234567890", "20.5"])
def test_other_numbers_stay(lines, harmless):
    structlog.get_logger("test.lines").info("seen", text=harmless)
    assert lines()[0]["text"] == harmless


def test_every_line_has_its_time_level_and_name(lines):
    structlog.get_logger("test.lines").info("seen", number=7)
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"], line["number"]) == ("seen", "info", "test.lines", 7)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("given_", "kept"),
    [("abcdefgh", True), ("a" * 65, False), ("short", False), ("with space1", False), ("a\nforged-line", False)],
)
def test_a_callers_request_id_is_kept_when_it_is_harmless(client, given_, kept):
    answer = client.get("/healthz", HTTP_X_REQUEST_ID=given_)
    assert (answer["X-Request-ID"] == given_) is kept
    assert len(answer["X-Request-ID"]) >= 8
    assert request_id() == ""


def test_one_id_follows_an_item_from_the_request_into_its_job(world, api):
    from core.models import AuditEvent, Job

    told = api.post("submissions", world.body(), HTTP_X_REQUEST_ID="follow-me-01").json()
    assert Job.objects.get(subject=told["id"]).request_id == "follow-me-01"
    assert AuditEvent.objects.get(subject=f"submission:{told['id']}").request_id == "follow-me-01"
