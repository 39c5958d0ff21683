"""The door: login, lockout, cookies, redirects, headers, and no inline code on any page."""

from __future__ import annotations

import re
import runpy
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts import identities
from core.context import ENTRIES
from tests.accounts.test_outsiders import PAGES, POSTS, addresses  # noqa: F401  (a fixture)
from tests.world import PASSWORD

ROOT = Path(__file__).resolve().parents[2]


def sign_in(client, username="lin", password=PASSWORD, **given):
    return client.post("/login/", {"username": username, "password": password, **given})


def test_signing_in_gives_a_new_session_and_signing_out_ends_it(world):
    client = Client()
    client.get("/login/")
    answer = sign_in(client)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    cookie = answer.cookies["sid"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie["max-age"] == 12 * 3600
    assert client.get("/users/").status_code == 200
    stolen = Client()
    stolen.cookies["sid"] = cookie.value
    assert stolen.get("/users/").status_code == 200
    assert client.post("/logout/").status_code == 302
    assert client.get("/users/").status_code == 302
    assert stolen.get("/users/").status_code == 302


def test_a_session_id_from_before_is_worth_nothing(world):
    client = Client()
    client.cookies["sid"] = "fixedfixedfixedfixedfixedfixed12"
    answer = sign_in(client)
    assert answer.cookies["sid"].value != "fixedfixedfixedfixedfixedfixed12"


def test_signing_out_by_following_a_link_does_not_work(world, login):
    lin = login("lin")
    assert lin.get("/logout/").status_code == 405
    assert lin.get("/users/").status_code == 200


def test_over_https_cookies_are_bound_to_the_host(monkeypatch):
    monkeypatch.setenv("DEMO", "0")
    monkeypatch.setenv("HTTPS", "1")
    found = runpy.run_path(str(ROOT / "platform" / "config" / "settings.py"))
    assert found["SESSION_COOKIE_NAME"] == "__Host-sid" and found["CSRF_COOKIE_NAME"] == "__Host-csrf"
    assert found["SESSION_COOKIE_SECURE"] and found["CSRF_COOKIE_SECURE"] and found["LANGUAGE_COOKIE_SECURE"]
    assert found["SECURE_HSTS_SECONDS"] >= 31536000


@pytest.mark.parametrize(
    "away",
    [
        "https://evil.example/", "//evil.example/", "///evil.example", "\\\\evil.example", "/\\evil.example",
        "javascript:alert(1)", "https:evil.example", "http://testserver.evil.example/", " //evil.example",
    ],
)  # fmt: skip
def test_the_login_page_sends_nobody_elsewhere(world, away):
    for answer in (
        sign_in(Client(), next=away),
        Client().post(f"/login/?next={away}", {"username": "lin", "password": PASSWORD}),
    ):
        assert (answer.status_code, answer["Location"]) == (302, "/")


def test_the_login_page_sends_one_back_to_where_one_was(world):
    assert sign_in(Client(), next="/users/?identity=pending")["Location"] == "/users/?identity=pending"


def test_after_eight_wrong_passwords_even_the_right_one_is_refused_and_others_are_not(world):
    client = Client()
    for _attempt in range(7):
        assert sign_in(client, password="wrong").status_code == 200
    assert sign_in(client, password="wrong").status_code == 429
    locked = sign_in(client)
    assert locked.status_code == 429 and "sid" not in locked.cookies
    assert sign_in(Client(), "bai").status_code == 302
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7")).status_code == 302  # lin herself, at her own desk


def test_seven_wrong_ones_are_forgiven_by_the_right_one(world):
    client = Client()
    for _round in range(2):
        for _attempt in range(7):
            sign_in(client, password="wrong")
        assert sign_in(client).status_code == 302


def test_a_wrong_name_and_a_wrong_password_read_the_same(world):
    answers = [sign_in(Client(), name, "wrong") for name in ("lin", "nobody")]
    texts = [re.sub(r'value="[^"]*"', "", a.content.decode()).replace("nobody", "lin") for a in answers]
    strip = re.compile(r'[A-Za-z0-9]{64}|name="username"[^>]*>')
    assert strip.sub("", texts[0]) == strip.sub("", texts[1])


def test_a_closed_account_cannot_sign_in(world):
    world.lin.is_active = False
    world.lin.save(update_fields=["is_active"])
    assert sign_in(Client()).status_code == 200


@pytest.mark.parametrize("address", ["/login/", "/logout/", "/i18n/language/", "/appearance/theme/"])
def test_forms_without_their_token_are_refused(world, address):
    client = Client(enforce_csrf_checks=True)
    assert client.post(address, {"username": "lin", "password": PASSWORD}).status_code == 403


# Headers and markup


class Inline(HTMLParser):
    """Collects what the policy would have to allow: inline scripts, styles and handlers, code in addresses, foreign
    sources."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.data_block = False

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.data_block = tag == "script" and given.get("type") == "application/json"
        if tag == "style" or (tag == "script" and "src" not in given and not self.data_block):
            self.found.append(f"<{tag}>")
        for name, value in given.items():
            if name == "style" or name.startswith(("on", "hx-on")):
                self.found.append(f"{tag} {name}")
            if name in ("src", "href", "action", "formaction") and value:
                code = ("javascript:",) if tag == "img" else ("javascript:", "data:")
                if value.strip().lower().startswith(code):
                    self.found.append(f"{tag} {name}={value[:30]}")
                if name == "src" and re.match(r"(https?:)?//", value):
                    self.found.append(f"{tag} {name}={value[:30]}")


def pages(world, where):
    """Every page that is read: ours, those of the rail, the doors and the errors, with who may see it."""
    found = [(where[name], name) for name in set(PAGES) - POSTS]
    for entry in ENTRIES:
        try:
            found.append((reverse(entry.name), entry.name))
        except NoReverseMatch:
            continue
    return [*found, ("/login/", ""), ("/no/such/page/", ""), (f"/users/{world.client.pk}/", "")]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_has_its_policy_and_holds_nothing_inline(world, login, addresses, theme):  # noqa: F811
    identities.submit(user=world.liu, method="mobile", number="13800138000", by="client:test")
    looked = set()
    for who in ("zhou", "fang", "chen", "lin"):
        browser = login(who)
        browser.cookies["theme"] = theme
        for address, _name in pages(world, addresses):
            answer = browser.get(address)
            looked.add((answer.status_code, address))
            policy = answer["Content-Security-Policy"]
            assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert answer["X-Content-Type-Options"] == "nosniff" and answer["X-Frame-Options"] == "DENY"
            assert answer["Referrer-Policy"] == "same-origin"
            if answer["Content-Type"].startswith("text/html") and answer.content:
                parser = Inline()
                parser.feed(answer.content.decode())
                assert parser.found == [], address
            if address != "/login/":
                assert "no-store" in answer["Cache-Control"] or answer.status_code == 302, address
    assert {status for status, _address in looked} >= {200, 403, 404}
    ours = {reverse(name) for name in ("users", "verification", "staff", "clients", "webhooks", "gates", "settings")}
    assert ours <= {address for status, address in looked if status == 200}


def test_the_parser_of_this_test_sees_what_it_looks_for():
    parser = Inline()
    parser.feed('<p style="x" onclick="y"><script>1</script><style></style><a href="javascript:1"><img src="//e.cn/a">')
    assert len(parser.found) == 6
    fine = Inline()
    fine.feed('<script src="/static/a.js"></script><script type="application/json">{}</script><a href="https://e.cn/">')
    assert fine.found == []


def test_api_answers_need_no_page_policy_but_a_stricter_one(world, api):
    for answer in (api.get("users/wen"), api.get("users/nobody"), Client().get("/api/v1/users/wen")):
        assert answer["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer["Cache-Control"] == "no-store" and answer["X-Content-Type-Options"] == "nosniff"
        assert "sid" not in answer.cookies and "csrf" not in answer.cookies
