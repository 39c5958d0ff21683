"""The library in real browsers: an entry proposed by one person and approved by another, a list taken in, a hit shown at
the desk with its entry, tried on the past, and stopped by the brake when it matches too much."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_appeal import problems
from tests.e2e.test_policies import submit, until, who
from tests.installation import BRAKE_LEAST, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
TERM = "蓝鲸九号内部渠道"  # stands in no other test
LISTED = "赤狐十一号推广码"
WIDE = "今日天气播报栏目"


def propose(page: Page, value: str, severity: str = "3") -> None:
    page.fill("[name=value]", value)
    page.select_option("[name=category]", "fraud.part_time")
    page.select_option("[name=severity]", severity)
    page.locator("[data-action=send-proposal]").click()
    expect(page.locator(f"text={value}").first).to_be_visible()


def approve(page: Page, value: str) -> None:
    row = page.locator("tr", has_text=value)
    row.locator("[data-action=approve-feature]").click()
    expect(page.locator("tr", has_text=value).locator("[data-state=active]")).to_be_visible()


def held_by(stack: Stack, text: str, check: str = "terms") -> bool:
    item = submit(stack, text)
    return item["state"] == "in_review" and check in {found["check"] for found in item["findings"]}


def test_an_entry_goes_from_a_proposal_to_a_mark_at_the_desk(stack: Stack, visitor: Callable[..., Any]) -> None:
    first = visitor()
    page = first.login(who(stack, "moderator"))
    first.visit("/features/new?kind=term")
    assert problems(page) == []
    propose(page, TERM)
    first.visit(f"/features/?q={TERM}")
    expect(page.locator("tr", has_text=TERM).locator("[data-action=approve-feature]")).to_have_count(0)  # one's own

    second = visitor((390, 844), "dark")
    other = second.login(who(stack, "senior_moderator"))
    second.visit(f"/features/?q={TERM}")
    assert problems(other) == []
    approve(other, TERM)
    # Disguised, and every worker has the new version within five seconds.
    until(lambda: held_by(stack, "想赚钱请走 蓝-鲸 九号\u200b内部渠道 联系"))

    with stack.database() as db:
        # Whatever else waits, and whatever she still holds: this item is the next one.
        db.execute("UPDATE moderation_lease SET until = statement_timestamp()")
        db.execute(
            "UPDATE moderation_task SET priority = 99 WHERE submission_id IN (SELECT submission_id FROM moderation_finding"
            " WHERE feature_id = (SELECT id FROM moderation_feature WHERE value = %s AND state = 'active'))",
            [TERM],
        )
    first.visit("/review/")
    if page.locator("[data-action=next]").count():
        page.locator("[data-action=next]").first.click()
    expect(page.locator("mark", has_text="鲸").first).to_be_visible()
    expect(page.locator("body")).to_contain_text(TERM)
    first.picture("desk-hit")


def test_a_list_is_tried_out_proposed_and_approved_as_a_whole(
    stack: Stack, visitor: Callable[..., Any], tmp_path: Path
) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text(
        f"value,category,severity\n{LISTED},fraud.part_time,3\n赤,fraud.part_time,3\n", encoding="utf-8-sig"
    )
    first = visitor()
    page = first.login(who(stack, "moderator"))
    first.visit("/features/imports/")
    assert problems(page) == []
    page.set_input_files("[type=file]", str(listing))
    page.fill("[name=source]", "端到端清单")
    page.locator("[data-action=send-list]").click()
    page.locator("[data-action=carry-out-list]").wait_for()
    expect(page.locator("#feature-import table")).to_contain_text("赤")
    assert problems(page) == []
    page.locator("[data-action=carry-out-list]").click()
    expect(page.locator("#feature-import [data-state=done]")).to_be_visible()

    second = visitor()
    other = second.login(who(stack, "senior_moderator"))
    second.visit(f"/features/?q={LISTED}")
    approve(other, LISTED)
    until(lambda: held_by(stack, f"扫描{LISTED}领取"))


def test_a_proposal_is_tried_on_the_past(stack: Stack, visitor: Callable[..., Any]) -> None:
    for number in range(3):
        submit(stack, f"绿松石八号试跑句第{number}")
    first = visitor()
    page = first.login(who(stack, "senior_moderator"))
    first.visit("/features/new?kind=term")
    propose(page, "绿松石八号试跑句")
    first.visit("/features/?q=绿松石八号试跑句")
    page.locator("tr", has_text="绿松石八号试跑句").locator("a[href^='/features/']").first.click()
    page.locator("[data-action=backtest-feature]").click()
    assert problems(page) == []
    page.fill("[name=last]", "500")
    page.locator("[data-action=start]").click()
    expect(page).to_have_url(re.compile(r"/backtests/[0-9a-f-]{36}/"))
    expect(page.locator("[data-state=done]").first).to_be_visible(timeout=60_000)
    page.reload()
    assert problems(page) == []
    expect(page.locator("main")).to_contain_text("3")
    assert page.locator("a[href^='/submissions/']").count() >= 3
    first.picture("backtest")


def test_the_brake_stops_a_new_entry_that_matches_too_much(stack: Stack, visitor: Callable[..., Any]) -> None:
    first = visitor()
    page = first.login(who(stack, "moderator"))
    first.visit("/features/new?kind=term")
    propose(page, WIDE, severity="2")
    second = visitor()
    other = second.login(who(stack, "senior_moderator"))
    second.visit(f"/features/?q={WIDE}")
    approve(other, WIDE)
    until(lambda: held_by(stack, f"{WIDE}：明天有雨"))
    for number in range(BRAKE_LEAST + 5):
        submit(stack, f"{WIDE}：第{number}天多云")

    def braked() -> bool:
        second.visit(f"/features/?q={WIDE}")
        return other.locator("tr", has_text=WIDE).locator("[data-state=braked]").count() == 1

    until(braked, seconds=30)
    until(lambda: not held_by(stack, f"{WIDE}：后天转晴"))
    other.locator("tr", has_text=WIDE).locator("a[href^='/features/']").first.click()
    expect(other.locator("[action$='/let-go']")).to_have_count(1)
    assert problems(other) == []
    second.picture("braked")
