"""The verification desk in a real browser: an identity with pictures, decided by keyboard alone; axe on what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect
from stdnum.cn import ric

from tests.accounts.pictures import png
from tests.e2e.test_the_whole_road import serious
from tests.installation import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
DESK = "/users/verification/"


def handed_in(stack: Stack, name: str, day: int) -> str:
    """A user whose identity waits with two pictures, through the API as a service would; answers the number."""
    body = f"110101190001{day}998"  # birth in January 1900: nobody living
    number = body + ric.calc_check_digit(body + "0")
    ids = []
    for kind in ("front", "back"):
        status, answer, _took = stack.call(
            f"/api/v1/uploads?kind={kind}", png(600, 400), **{"Content-Type": "image/png"}
        )
        assert status == 201, answer
        ids.append(json.loads(answer)["id"])
    user = {"external_id": name, "kind": "person", "display_name": name}
    assert stack.call("/api/v1/users", json.dumps(user).encode())[0] == 201
    proof = {"method": "id_number", "name": "样本", "number": number, "documents": ids}
    status, answer, _took = stack.call(f"/api/v1/users/{name}/identity", json.dumps(proof).encode())
    assert status == 202, answer
    return number


def walk_to(page: Page, name: str) -> None:
    """Press J until this user's identity is open."""
    for _step in range(60):
        title = page.locator("#who-title")
        if name in title.inner_text():
            return
        address = page.url
        page.keyboard.press("j")
        page.wait_for_url(lambda url, before=address: url != before)
        page.wait_for_load_state()
    raise AssertionError(f"{name} is not in the queue")


def reveal(page: Page) -> None:
    """Open the form, say why, send it: all by keys."""
    page.keyboard.press("s")
    expect(page.locator("#reveal-reason")).to_be_focused()
    page.keyboard.type("核对照片与号码")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-hides]")
    page.wait_for_load_state("networkidle")


def look_of(page: Page, place: int) -> str:
    return page.locator(".picture img").nth(place).evaluate("e => getComputedStyle(e).filter")


def test_an_identity_with_pictures_is_verified_by_keyboard_alone(visitor: Callable[..., Any], stack: Stack) -> None:
    name = f"pictured-{uuid4().hex[:8]}"
    number = handed_in(stack, name, 11)
    admin = visitor()
    page = admin.login("zhouyu")
    admin.visit(DESK)
    waiting = page.locator(".queue-list li").count()
    walk_to(page, name)
    assert page.locator(".picture").count() == 2 and page.locator(".picture img").count() == 0
    assert number not in page.content()

    reveal(page)
    expect(page.locator("[data-shown]").first).to_have_text(number)
    assert page.locator(".picture img").evaluate_all("all => all.map(e => e.naturalWidth)") == [600, 600]
    assert "blur" in look_of(page, 0) and "blur" in look_of(page, 1)
    page.keyboard.press("p")
    assert look_of(page, 0) == "none" and "blur" in look_of(page, 1)
    page.keyboard.down("v")
    assert look_of(page, 1) == "none"
    page.keyboard.up("v")
    assert "blur" in look_of(page, 1)
    first = page.locator(".picture").first
    for key, turn, zoom in (
        ("e", "90", "1"),
        ("e", "180", "1"),
        ("q", "90", "1"),
        ("+", "90", "1.5"),
        ("-", "90", "1"),
    ):
        page.keyboard.press(key)
        assert (first.get_attribute("data-turn"), first.get_attribute("data-zoom")) == (turn, zoom)
    box = page.locator(".picture img").first.bounding_box()
    frame = page.locator(".picture-frame").first.bounding_box()
    assert box and frame and box["height"] <= frame["height"] + 1, (box, frame)  # on its side it still fits
    page.keyboard.press("0")
    admin.picture("verification_pictures")

    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator(".queue-list li")).to_have_count(waiting - 1)
    assert name not in page.locator("#who-title").inner_text()  # on to the next
    user = json.loads(stack.call(f"/api/v1/users/{name}")[1])
    assert (user["identity_status"], user["may_publish"]) == ("verified", True)
    with stack.database() as db:
        rows = db.execute(
            "SELECT action, actor, reason FROM core_auditevent WHERE action IN ('identity.revealed', 'identity.verify')"
            " ORDER BY id DESC LIMIT 2"
        ).fetchall()
    assert rows == [("identity.verify", "staff:zhouyu", ""), ("identity.revealed", "staff:zhouyu", "核对照片与号码")]


def test_the_lease_is_renewed_while_somebody_is_there_and_given_back(visitor: Callable[..., Any], stack: Stack) -> None:
    name = f"held-{uuid4().hex[:8]}"
    handed_in(stack, name, 12)
    admin = visitor()
    page = admin.login("zhouyu")
    admin.visit(DESK)

    def until() -> Any:
        with stack.database() as db:
            row = db.execute("SELECT until FROM accounts_verificationlease").fetchone()
        return row and row[0]

    before = until()
    page.mouse.move(300, 300)
    with page.expect_response(lambda answer: "/heartbeat/" in answer.url, timeout=15_000) as beaten:
        page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    assert beaten.value.status == 200 and 290 <= beaten.value.json()["seconds"] <= 300
    assert until() > before
    # Somebody else's at the next sign of life: the form is locked and the page says so.
    with stack.database() as db:
        db.execute("UPDATE accounts_verificationlease SET token = gen_random_uuid()")
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#decide.locked")).to_have_count(1)
    expect(page.locator("#alerts [role=alert]")).to_be_visible()
    page.keyboard.press("n")  # go on
    page.wait_for_selector("#decide:not(.locked)")
    page.keyboard.press("x")
    page.wait_for_url(f"{stack.url}/users/")
    assert until() is None


@pytest.mark.parametrize(("size", "scheme"), [((1366, 768), "light"), ((390, 844), "dark")], ids=["desk", "phone"])
def test_axe_finds_nothing_serious_with_pictures_on_screen(
    visitor: Callable[..., Any], stack: Stack, size: tuple[int, int], scheme: str
) -> None:
    name = f"axe-{uuid4().hex[:8]}"
    handed_in(stack, name, 13 if scheme == "light" else 14)
    admin = visitor(size, scheme)
    page = admin.login("zhouyu")
    admin.visit(DESK)
    walk_to(page, name)
    problems = serious(page)
    reveal(page)
    problems += serious(page)
    admin.visit("/users/verification/second-look/")
    problems += serious(page)
    page.locator("summary", has=page.locator("svg")).last.click()
    page.locator(".confirm[open] textarea").fill("照片其实清楚")
    page.locator(".confirm[open] button").click()
    page.wait_for_load_state()
    assert page.locator("#opened-title").count() == 1
    problems += serious(page)
    wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert problems == [] and wide <= 0
