"""Intake: what is taken, what is refused and in which order (contract.md, rulings 1 to 3)."""

from __future__ import annotations

import json

import pytest

from accounts import measures
from core import gates
from core.models import AuditEvent, Job
from moderation.models import Content, Submission
from tests.world import CLEAN, World


def nothing_was_written(external_id: str) -> bool:
    return not Submission.objects.filter(external_id=external_id).exists() and not Content.objects.exists()


def test_an_item_is_taken_with_its_job_and_its_ledger_line(world, api):
    answer = api.post("submissions", world.body())
    assert answer.status_code == 202
    told = answer.json()
    assert told["state"] == "screening"
    assert Job.objects.filter(kind="moderation.screen", subject=told["id"]).count() == 1
    assert AuditEvent.objects.filter(subject=f"submission:{told['id']}", action="submission.accepted").count() == 1
    assert Content.objects.get(pk=told["id"]).output_text == CLEAN


def test_the_same_body_again_is_the_same_record_whatever_its_spacing(world, api):
    body = world.body()
    first = api.post("submissions", body)
    again = api.post("submissions", raw=json.dumps(dict(reversed(body.items())), indent=3).encode())
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert Submission.objects.count() == 1


def test_another_body_under_the_same_external_id_is_a_conflict_that_names_the_first(world, api):
    body = world.body()
    first = api.post("submissions", body).json()["id"]
    answer = api.post("submissions", {**body, "output": {"text": "别的"}})
    assert (answer.status_code, answer.json()["code"], answer.json()["existing_id"]) == (
        409,
        "external_id_taken",
        first,
    )


def test_a_replay_is_answered_though_the_user_was_suspended_and_a_gate_closed_since(world, api):
    body = world.body()
    api.post("submissions", body)
    measures.apply(user=world.wen, kind="suspend", ground="测试", by=world.zhou)
    gates.close_gate(capability="release", by=world.chen, directive="令〔2026〕1号")
    assert api.post("submissions", body).status_code == 200


@pytest.mark.parametrize(("user", "code"), [("liu", "identity_not_verified"), ("qian", "account_suspended")])
def test_an_account_that_may_not_publish_is_refused_and_uses_up_nothing(world, api, user, code):
    body = world.body(user=user)
    answer = api.post("submissions", body)
    assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert nothing_was_written(body["external_id"])
    body["user"] = "wen"
    assert api.post("submissions", body).status_code == 202


def test_a_limited_function_is_refused_and_the_others_are_not(world, api):
    measures.apply(user=world.wen, kind="limit", ground="测试", functions=["writing"], by=world.zhou)
    answer = api.post("submissions", world.body())
    assert (answer.status_code, answer.json()["code"]) == (403, "function_limited")
    portrait = world.body(function="portrait", technology="biometric_image_video", consent_prompt_acknowledged=True)
    assert api.post("submissions", portrait).status_code == 202


@pytest.mark.parametrize("capability", ["release", "service"])
def test_a_closed_gate_refuses_with_503_and_the_directives_number_before_fields_are_looked_at(world, api, capability):
    gates.close_gate(capability=capability, by=world.chen, directive="令〔2026〕7号")
    for body in (world.body(), world.body(user="nobody"), {"external_id": "x1"}):
        answer = api.post("submissions", body)
        assert (answer.status_code, answer.json()["code"], answer.json()["directive"]) == (
            503,
            "gate_closed",
            "令〔2026〕7号",
        )
        assert "Retry-After" in answer
    assert Submission.objects.count() == 0


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "malformed_json"),
        (b"[1]", "not_an_object"),
        (b'"x"', "not_an_object"),
        (b'{"external_id": "\xff"}', "not_utf8"),
        (b'\xef\xbb\xbf{"external_id": "x"}', "malformed_json"),
        (b'{"external_id": "\x00"}', "malformed_json"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": NaN}', "malformed_json"),
        (b'{"a": 1e999}', "malformed_json"),
        (b'{"external_id": "\\ud800"}', "lone_surrogate"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
    ],
)
def test_what_is_not_one_json_object_is_refused_with_400_on_every_road(world, api, raw, code):
    single = api.post("submissions", raw=raw)
    assert (single.status_code, single.json()["code"]) == (400, code)
    if raw.strip():
        line = json.loads(api.post("submissions/batch", raw=raw, content_type="application/x-ndjson").content)
        assert (line["status"], line["problem"]["code"]) == (400, code)
    users = api.post("users", raw=raw)
    assert (users.status_code, users.json()["code"]) == (400, code)
    assert Submission.objects.count() == 0


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"user": "nobody"}, "user", "user_unknown"),
        ({"function": "painting"}, "function", "function_unknown"),
        ({"technology": "telepathy"}, "technology", "technology_unknown"),
        ({"technology": "voice"}, "technology", "technology_not_of_function"),
        ({"output": {}}, "output", "required"),
        ({"output": {"text": "a\x00b"}}, "output.text", "nul_character"),
        ({"external_id": ""}, "external_id", "length"),
        ({"external_id": "x" * 129}, "external_id", "length"),
        ({"external_id": 5}, "external_id", "invalid"),
        ({"output": {"text": "x" * 100_001}}, "output.text", "length"),
        ({"consent_prompt_acknowledged": "yes"}, "consent_prompt_acknowledged", "invalid"),
        ({"colour": "red"}, "colour", "unknown_field"),
        ({"user": "ma"}, "user", "user_unknown"),
    ],
)
def test_a_field_that_does_not_fit_is_named(world, api, changes, field, code):
    answer = api.post("submissions", world.body(**changes))
    assert answer.status_code == 422
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, code)]
    assert Submission.objects.count() == 0


def test_editing_faces_needs_the_acknowledged_consent_prompt(world, api):
    """DS-14b."""
    body = world.body(function="portrait", technology="biometric_image_video")
    assert api.post("submissions", body).json()["code"] == "consent_prompt_required"
    assert api.post("submissions", {**body, "consent_prompt_acknowledged": True}).status_code == 202


def test_news_needs_its_source(world, api):
    """DS-06b."""
    answer = api.post("submissions", world.body(news={"source_unit": "", "url": "https://example.cn/1"}))
    assert (answer.status_code, answer.json()["code"]) == (422, "news_source_required")
    named = world.body(news={"source_unit": "某某新闻社", "url": "https://example.cn/1"})
    assert api.post("submissions", named).status_code == 202


def test_a_body_over_the_limit_is_413_with_and_without_a_declared_length(world, api):
    answer = api.post("submissions", raw=b"x" * (2 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_wrong_content_type_is_415_before_anything_else(world, api):
    assert api.post("submissions", raw=b"{}", content_type="text/plain").status_code == 415
    assert api.post("submissions/batch", raw=b"{}", content_type="application/json").status_code == 415


def test_without_a_key_401_and_without_the_scope_403_but_only_after_the_body_was_read(world):
    from accounts import keys
    from tests.conftest import Api

    assert Api("mj_nobody_secret").post("submissions", world.body()).status_code == 401
    _key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    weak = Api(secret)
    assert weak.post("submissions", raw=b"{").status_code == 400
    answer = weak.post("submissions", world.body())
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


class TestBatch:
    def lines(self, api, rows):
        raw = b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
        answer = api.post("submissions/batch", raw=raw, content_type="application/x-ndjson")
        assert answer.status_code == 200, answer.content
        return [json.loads(line) for line in answer.content.splitlines()]

    def test_each_line_gets_its_own_answer_in_order_and_blank_lines_count(self, world: World, api):
        good, other = world.body(), world.body()
        got = self.lines(api, [good, b"", b"{", {**other, "user": "liu"}, other])
        assert [(g["line"], g["status"]) for g in got] == [(1, 202), (3, 400), (4, 403), (5, 202)]
        assert got[0]["external_id"] == good["external_id"]
        assert got[2]["problem"]["code"] == "identity_not_verified"
        assert Submission.objects.count() == 2

    def test_the_same_external_id_twice_in_one_batch_the_first_wins(self, world, api):
        body = world.body()
        got = self.lines(api, [body, body, {**body, "output": {"text": "别的"}}])
        assert [g["status"] for g in got] == [202, 200, 409]
        assert got[1]["id"] == got[0]["id"] == got[2]["problem"]["existing_id"]

    def test_over_a_thousand_lines_nothing_is_taken(self, world, api):
        raw = b"\n".join(json.dumps(world.body()).encode() for _ in range(1001))
        answer = api.post("submissions/batch", raw=raw, content_type="application/x-ndjson")
        assert answer.status_code == 413
        assert Submission.objects.count() == 0
