"""A policy from a draft to live in real browsers: edited in the table, tried in shadow on real items, approved by a second
person; with a keyboard, on a phone, and axe on the way."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_appeal import problems
from tests.installation import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
MARK = "灰隼七号测试句"  # stands in no other test: the new rule acts on nothing else


def submit(stack: Stack, text: str) -> dict[str, Any]:
    """Hand an item in and wait for its verdict."""
    with stack.database() as db:
        row = db.execute(
            "SELECT u.external_id, f.code FROM accounts_user u JOIN governance_function f ON f.service_id = u.service_id"
            " WHERE u.service_id = (SELECT service_id FROM accounts_apiclient ORDER BY created_at LIMIT 1) AND f.live"
            " AND u.identity_status = 'verified' AND u.account_status = 'active' AND f.kind = 'dialogue'"
            " ORDER BY u.id LIMIT 1"
        ).fetchone()
    assert row
    body = {
        "external_id": f"policy-{uuid.uuid4()}",
        "user": row[0],
        "function": row[1],
        "technology": "text",
        "input": {"text": "写一段话"},
        "output": {"text": text},
    }
    status, answer, _took = stack.call("/api/v1/submissions", json.dumps(body).encode(), Prefer="wait=10")
    assert status == 200, answer
    read: dict[str, Any] = json.loads(answer)
    return read


def until(true: Callable[[], bool], *, seconds: float = 10) -> None:
    """Try again until it is so: processes look for the versions in force once a second."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def shadowed(stack: Stack, number: int) -> bool:
    item = submit(stack, f"{MARK}，联系 mei@example.org")
    with stack.database() as db:
        row = db.execute(
            "SELECT count(*) FROM moderation_shadowverdict WHERE policy_version = %s AND submission_id = %s",
            [number, item["id"]],
        ).fetchone()
    return bool(row and row[0])


def who(stack: Stack, role: str) -> str:
    return next(s["username"] for s in stack.ready["staff"] if s["role"] == role)


def saved(page: Page) -> None:
    page.locator("[data-action=save]").click()
    expect(page).to_have_url(re.compile(r"/policies/\d+/$"))


def test_a_policy_goes_from_a_draft_over_the_shadow_to_live(stack: Stack, visitor: Callable[..., Any]) -> None:
    author = visitor()
    page = author.login(who(stack, "compliance_officer"))
    author.visit("/policies/")
    assert problems(page) == []
    page.locator("[data-action=draft]").first.click()
    rows = page.locator(".policy-row")
    before = rows.count()
    page.locator("#add-rule").focus()
    page.keyboard.press("Enter")
    expect(rows).to_have_count(before + 1)
    expect(page.locator(f"[id='{before}-name']")).to_be_focused()
    page.keyboard.type("端到端：个人信息一律交人")
    page.locator(f"[id='{before}-add']").select_option("check")
    page.locator(f"button[value='condition:{before}']").click()
    page.locator(f"[name='{before}-when-check'][value=personal_information]").check()
    page.locator(f"[id='{before}-add']").select_option("min_score")
    page.locator(f"button[value='condition:{before}']").click()
    score = page.locator(f"[id='{before}-when-min_score']")
    expect(score).to_be_focused()
    score.fill("7")
    page.locator("[data-action=save]").click()
    expect(page.locator(f"[id='{before}-when-min_score-error']")).to_be_visible()
    assert problems(page) == []
    score.fill("0.1")
    saved(page)
    number = int(page.url.rstrip("/").rsplit("/", 1)[1])

    page.locator("[data-action=shadow]").click()
    page.locator("#confirm button[value=yes]").click()
    expect(page.locator("[data-state=shadow]").first).to_be_visible()
    until(lambda: shadowed(stack, number))
    author.visit(f"/policies/{number}/")
    expect(page.locator("#shadow table").first).to_be_visible()
    expect(page.locator("[data-action=go-live]")).to_have_count(0)
    assert problems(page) == []

    second = visitor((390, 844), "dark")
    page = second.login(who(stack, "senior_moderator"))
    second.visit(f"/policies/{number}/")
    page.locator("[data-action=compare]").click()
    expect(page.locator(".rule-added")).to_have_count(1)
    assert problems(page) == []
    page.go_back()
    assert problems(page) == []
    page.locator("[data-action=go-live]").click()
    page.locator("#confirm button[value=yes]").click()
    expect(page.locator("#go-live-error")).to_be_visible()
    page.locator("#go-live-reason").fill("端到端试验")
    page.locator("[data-action=go-live]").click()
    page.locator("#confirm button[value=yes]").click()
    expect(page.locator("[data-state=live]").first).to_be_visible()
    second.visit("/policies/")
    expect(page.locator("#policy-live")).to_contain_text(str(number))
    until(lambda: submit(stack, f"{MARK}，没有别的")["policy_version"] == number)
    item = submit(stack, f"{MARK}，没有别的")
    assert (item["state"], item["policy_version"]) == ("released", number)
