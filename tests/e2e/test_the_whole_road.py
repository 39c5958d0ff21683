"""A working day in a real browser: verify a user, decide by keyboard alone, refute a rumor, make an export, switch the
language; and axe on every page of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.installation import ROOT, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
PAGES = {
    "linxi": ["/", "/review/", "/submissions/", "/features/", "/policies/", "/rumors/", "/rumors/new/"],
    "zhouyu": ["/users/", "/users/verification/"],
    "chenmo": ["/", "/reports/", "/governance/gates/", "/governance/settings/"],
    "fangzhi": ["/staff/", "/staff/clients/", "/staff/webhooks/", "/staff/jobs/"],
}


def serious(page: Page) -> list[str]:
    """What axe finds serious or worse, in words."""
    found = Axe().run(page).response["violations"]
    return [
        f"{page.url} {v['id']}: {v['help']} {[n['target'] for n in v['nodes']][:3]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


def verified(stack: Stack) -> int:
    """How many identities were verified by this admin, as the ledger has it."""
    with stack.database() as db:
        row = db.execute(
            "SELECT count(*) FROM core_auditevent WHERE action = 'identity.verify' AND actor = 'staff:zhouyu'"
        ).fetchone()
    assert row
    return int(row[0])


def test_an_identity_admin_verifies_a_user_by_keyboard(visitor: Callable[..., Any], stack: Stack) -> None:
    admin = visitor()
    page = admin.login("zhouyu")
    admin.visit("/users/verification/")
    admin.picture("verification")
    waiting, before = page.locator(".queue-list li").count(), verified(stack)
    assert waiting >= 1
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator(".queue-list li")).to_have_count(waiting - 1)
    assert verified(stack) == before + 1


def test_a_moderator_decides_three_items_by_keyboard_alone(visitor: Callable[..., Any], stack: Stack) -> None:
    moderator = visitor()
    page = moderator.login("linxi")
    moderator.visit("/review/")
    page.keyboard.press("Enter")  # take the next item
    for number, key in enumerate(("1", "2", "1"), 1):
        page.wait_for_selector("[data-action=submit]")
        if number == 1:
            moderator.picture("desk")
        held = page.locator("input[name=token]").first.get_attribute("value")
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.wait_for_function(
            "held => { const t = document.querySelector('input[name=token]'); return !t || t.value !== held }", arg=held
        )
    with stack.database() as db:
        rows = db.execute(
            "SELECT outcome FROM moderation_decision WHERE by_kind = 'staff' AND decided_at > now() - interval '2 minutes'"
            " ORDER BY decided_at"
        ).fetchall()
    assert [row[0] for row in rows] == ["block", "release", "block"]
    # Skipping needs a reason, and gives the item back.
    page.keyboard.press("x")
    page.keyboard.type("换人看")
    page.keyboard.press("Enter")
    page.wait_for_load_state()


def test_keys_rest_while_somebody_types(visitor: Callable[..., Any]) -> None:
    moderator = visitor()
    page = moderator.login("baiwei")
    moderator.visit("/review/")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-action=submit]")
    token = page.locator("input[name=token]").first.get_attribute("value")
    page.keyboard.press("2")
    reason = page.locator("textarea[name=reason]")
    reason.fill("")
    reason.type("1234 x e p r j k")
    assert page.locator("input[name=outcome]:checked").get_attribute("value") == "release"
    # An input method composes: keyCode 229, and isComposing; neither may choose anything.
    page.evaluate(
        "() => { document.activeElement.blur();"
        " for (const init of [{key:'1', keyCode:229}, {key:'1', isComposing:true}, {key:'1', repeat:true}, {key:'1', ctrlKey:true}])"
        " document.body.dispatchEvent(new KeyboardEvent('keydown', {bubbles:true, cancelable:true, ...init})) }"
    )
    assert page.locator("input[name=outcome]:checked").get_attribute("value") == "release"
    assert page.locator("input[name=token]").first.get_attribute("value") == token


def step(page: Page, action: str, **values: str) -> None:
    """Fill the form of an action and send it, confirming where it asks."""
    form = page.locator(f"form:has([data-action={action}])").first
    for name, value in values.items():
        field = form.locator(f"[name={name}]").first
        if field.evaluate("e => e.tagName") == "SELECT":
            field.select_option(value)
        elif field.get_attribute("type") == "radio":
            form.locator(f"[name={name}][value={value}]").check()
        else:
            field.fill(value)
    before = page.url
    form.locator(f"[data-action={action}]").click()
    dialog = page.locator("dialog[open]")
    page.wait_for_timeout(150)
    if dialog.count():
        dialog.locator("button.btn-primary, button.btn-danger, button[value=yes]").first.click()
    page.wait_for_load_state("networkidle")
    assert page.locator("[data-refusal]").count() == 0, (before, page.locator("[data-refusal]").inner_text())


def test_a_rumor_is_refuted_published_reported_and_closed(visitor: Callable[..., Any]) -> None:
    officer = visitor()
    page = officer.login("chenmo")
    officer.visit("/rumors/new/")
    step(page, "open", claim="网传青禾市自来水停供十日")
    case = page.url
    step(page, "evidence", text="自来水公司公告：当日供水正常", source="青禾市自来水公司")
    step(page, "conclude", verdict="false", summary="公司公告与现场核实均表明供水正常")
    step(
        page,
        "draft",
        claim="网传青禾市自来水停供十日",
        title="青禾市自来水没有停供",
        text="经核实，供水正常，请勿转发。",
    )
    step(page, "publish")
    officer.picture("rumor_case")
    step(page, "report", recipient="cac", authority="某省互联网信息办公室", reference="网信收2026-11")
    step(page, "report", recipient="public_security", authority="某市公安局", reference="公收2026-22")
    step(page, "close")
    assert page.locator("[data-action=close]").count() == 0, case
    reader = visitor()
    public = reader.visit("/public/refutations/")
    public.click("text=青禾市自来水没有停供")
    expect(public.locator("main")).to_contain_text("请勿转发")
    assert public.locator('script[type="application/ld+json"]').count() == 1
    reader.picture("refutation")
    assert serious(public) == []


def test_an_export_is_made_downloaded_and_verified(visitor: Callable[..., Any], stack: Stack, tmp_path: Path) -> None:
    officer = visitor()
    page = officer.login("chenmo")
    officer.visit("/reports/")
    page.locator("form[data-action=make] button").click()
    page.wait_for_load_state()
    if "/reports/" in page.url and page.url.endswith("/reports/"):
        page.locator("table a[href*='/reports/']").first.click()
    with page.expect_download(timeout=60_000) as downloading:
        page.locator("[data-action=download]").click(timeout=60_000)
    officer.picture("export")
    bundle = tmp_path / downloading.value.suggested_filename
    downloading.value.save_as(bundle)

    def verify() -> int:
        return subprocess.run(
            [sys.executable, "manage.py", "verify", str(bundle)], cwd=ROOT, capture_output=True
        ).returncode

    assert verify() == 0
    raw = bytearray(bundle.read_bytes())
    raw[len(raw) // 2] ^= 1
    bundle.write_bytes(raw)
    assert verify() == 1


def test_the_language_is_switched(visitor: Callable[..., Any]) -> None:
    officer = visitor()
    page = officer.login("chenmo")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    expect(page.locator("h1")).to_have_text("总览")
    officer.picture("overview")
    if not page.locator("button[name=language][value=en]").first.is_visible():
        page.locator(
            "summary:has(~ * button[name=language]), details:has(button[name=language]) > summary"
        ).first.click()
    page.locator("button[name=language][value=en]").first.click()
    expect(page.locator("h1")).to_have_text("Overview")
    assert page.locator("html").get_attribute("lang") == "en"
    officer.picture("overview_en")


@pytest.mark.parametrize(("size", "scheme"), [((1366, 768), "light"), ((390, 844), "dark")], ids=["desk", "phone"])
def test_axe_finds_nothing_serious_and_nothing_scrolls_sideways(
    visitor: Callable[..., Any], size: tuple[int, int], scheme: str
) -> None:
    problems: list[str] = []
    for username, paths in PAGES.items():
        person = visitor(size, scheme)
        page = person.login(username)
        for path in paths:
            person.visit(path)
            page.wait_for_load_state("networkidle")
            if path == "/review/" and page.locator("[data-action=next]").count():
                page.locator("[data-action=next]").click()
                page.wait_for_selector("[data-action=submit]")
                person.picture("desk_phone" if size[0] < 500 else "desk_again")
            problems += serious(page)
            wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wide > 0:
                problems.append(f"{path}: {wide} px wider than the window")
    stranger = visitor(size, scheme)
    for path in ("/login/", "/public/refutations/"):
        problems += serious(stranger.visit(path))
    assert problems == []


def test_a_stranger_sees_the_login_and_a_wrong_role_is_told(visitor: Callable[..., Any]) -> None:
    stranger = visitor()
    page = stranger.visit("/review/")
    assert "/login/" in page.url
    moderator = visitor()
    page = moderator.login("linxi")
    answer = page.goto(moderator.stack.url + "/reports/")
    assert answer is not None and answer.status == 403
