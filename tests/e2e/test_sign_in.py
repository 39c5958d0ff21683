"""The door in a real browser: an app, a security key (Chromium's virtual one), recovery codes, the confirmation, the
password; and axe on each of these pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Page, expect

from tests.e2e.test_the_whole_road import serious
from tests.installation import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
STEP = 30


@pytest.fixture(autouse=True)
def no_factor_left(stack: Stack) -> Iterator[None]:
    """The other tests sign in by password alone."""
    yield
    with stack.database() as db:
        db.execute("DELETE FROM mfa_authenticator")


class Door:
    """Somebody at the door. Security keys need a host name, so it is localhost and not 127.0.0.1."""

    def __init__(self, visitor: Any, stack: Stack, role: str):
        self.visitor, self.stack, self.page = visitor, stack, visitor.page
        self.person = next(s for s in stack.ready["staff"] if s["role"] == role)
        self.url = stack.url.replace("127.0.0.1", "localhost")

    def visit(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def give_password(self) -> Page:
        self.visit("/login/")
        self.page.fill("[name=username]", self.person["username"])
        self.page.fill("[name=password]", self.person["password"])
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: not url.endswith("/login/"))
        return self.page

    def leave(self) -> None:
        self.page.context.clear_cookies()

    def is_in(self) -> None:
        expect(self.page.locator("nav.rail")).to_be_visible()


@pytest.fixture
def door(visitor: Callable[..., Any], stack: Stack) -> Callable[..., Door]:
    return lambda role="auditor", **given: Door(visitor(**given), stack, role)


def code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // STEP))


def half_a_minute_passes(stack: Stack) -> None:
    """As if the code of the enrolment were of an earlier step."""
    with stack.database() as db:
        db.execute(
            "UPDATE mfa_authenticator SET data = jsonb_set(data, '{last_counter}',"
            " to_jsonb((data->>'last_counter')::bigint - 2)) WHERE type = 'totp'"
        )


def test_an_app_is_enrolled_asked_for_and_its_code_counts_once(door: Callable[..., Door], stack: Stack) -> None:
    he = door()
    page = he.give_password()
    he.visit("/staff/me/security/")
    problems = serious(page)
    page.click("a[href='/staff/me/security/app/']")
    secret = page.locator("[data-secret]").inner_text().replace(" ", "")
    assert page.locator(".qr svg path").count() == 1
    problems += serious(page)
    he.visitor.picture("second_factor_app")
    page.fill("[name=code]", "000000")
    page.locator("main form button").click()
    expect(page.locator("main [role=alert]")).to_be_visible()
    page.fill("[name=code]", code(secret))
    page.locator("main form button").click()
    expect(page.locator("[data-codes] code")).to_have_count(10)
    codes = page.locator("[data-codes] code").all_inner_texts()
    problems += serious(page)
    with page.expect_download() as saving:
        page.click("[data-save-codes]")
    assert saving.value.path().read_text().split() == codes
    half_a_minute_passes(stack)

    he.leave()
    he.give_password()
    assert page.url.endswith("/login/second-factor/")
    problems += serious(page)
    he.visitor.picture("second_factor_login")
    used = code(secret)
    page.fill("[name=code]", used)
    page.keyboard.press("Enter")
    he.is_in()

    he.leave()
    he.give_password()
    page.fill("[name=code]", used)
    page.keyboard.press("Enter")
    expect(page.locator("main [role=alert]")).to_be_visible()
    page.click("a[href='?by=codes']")
    problems += serious(page)
    page.fill("[name=code]", codes[3])
    page.keyboard.press("Enter")
    he.is_in()

    he.leave()
    he.give_password()
    page.click("a[href='?by=codes']")
    page.fill("[name=code]", codes[3])
    page.keyboard.press("Enter")
    expect(page.locator("main [role=alert]")).to_be_visible()
    page.fill("[name=code]", codes[4])
    page.keyboard.press("Enter")
    he.is_in()
    assert problems == []


def with_key(page: Page) -> None:
    """Plug Chromium's virtual authenticator in; it is touched whenever it is asked."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "usb",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )


def test_a_security_key_is_enrolled_signs_in_and_confirms(door: Callable[..., Door]) -> None:
    he = door()
    page = he.give_password()
    with_key(page)
    he.visit("/staff/me/security/key/")
    problems = serious(page)
    page.fill("[name=name]", "抽屉里的钥匙")
    page.locator("form[data-webauthn] button").click()
    expect(page.locator("[data-codes] code")).to_have_count(10)
    he.visit("/staff/me/security/")
    expect(page.locator("main")).to_contain_text("抽屉里的钥匙")

    # The same key once more: the browser knows it and says so.
    he.visit("/staff/me/security/key/")
    page.fill("[name=name]", "noch einmal")
    page.locator("form[data-webauthn] button").click()
    expect(page.locator("[data-webauthn-said]")).to_be_visible()

    he.leave()
    he.give_password()
    assert page.url.endswith("/login/second-factor/")
    problems += serious(page)
    page.locator("form[data-webauthn] button").click()
    he.is_in()

    he.visit("/staff/me/confirm/?next=/staff/me/security/")
    problems += serious(page)
    page.locator("form[data-webauthn] button").click()
    page.wait_for_url("**/staff/me/security/")
    expect(page.locator(".notice-success")).to_be_visible()

    page.locator("form[action$='/remove/'] button").click()
    page.locator("dialog[open] button[value=yes]").click()
    expect(page.locator("form[action$='/remove/']")).to_have_count(0)
    assert problems == []


def test_without_a_host_name_the_page_says_why_no_key_works(visitor: Callable[..., Any]) -> None:
    admin = visitor()
    page = admin.login("fangzhi")
    admin.visit("/staff/me/security/key/")
    page.fill("[name=name]", "x")
    page.locator("form[data-webauthn] button").click()
    expect(page.locator("[data-webauthn-said]")).to_be_visible()
    assert page.url.endswith("/staff/me/security/key/")


@pytest.mark.parametrize(("size", "scheme"), [((1366, 768), "light"), ((390, 844), "dark")], ids=["desk", "phone"])
def test_these_pages_fit_and_axe_finds_nothing_serious(
    door: Callable[..., Door], size: tuple[int, int], scheme: str
) -> None:
    he = door(size=size, scheme=scheme)
    page = he.give_password()
    problems: list[str] = []
    for path in (
        "/staff/me/security/",
        "/staff/me/security/app/",
        "/staff/me/security/key/",
        "/staff/me/password/",
        "/staff/me/confirm/?next=/",
    ):
        he.visit(path)
        page.wait_for_load_state("networkidle")
        problems += serious(page)
        wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            problems.append(f"{path}: {wide} px wider than the window")
        he.visitor.picture(f"security{path.rstrip('/').rpartition('/')[2][:8].replace('?', '_')}_{scheme}")
    he.visit("/staff/me/confirm/?next=/staff/me/password/")
    page.fill("[name=password]", he.person["password"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/staff/me/password/")
    assert problems == []
