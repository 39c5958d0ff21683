"""The password: who is let in, how fast one may guess, and changing it (ASVS 6.1.1, 6.2, 6.3)."""

from __future__ import annotations

import re
import runpy
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.core import signing
from django.db.models.functions import Now
from django.test import Client
from django.urls import NoReverseMatch, get_resolver, reverse

from accounts import guesses, sign_in
from accounts.models import GuessCount, Staff, StaffSession
from core.errors import Refusal
from core.models import Alarm, AuditEvent
from tests.world import PASSWORD

ROOT = Path(__file__).resolve().parents[2]


def sign_in_as(username="lin", password=PASSWORD, *, browser=None, **headers):
    return (browser or Client()).post("/login/", {"username": username, "password": password}, **headers)


def from_everywhere(tries, username="lin", password="wrong", start=0):
    """Wrong passwords, each from another address: what locks by address and name never sees two of them together."""
    return [
        sign_in_as(username, password, REMOTE_ADDR=f"198.51.{n // 200}.{n % 200}").status_code
        for n in range(start, start + tries)
    ]


def waits_are_over():
    GuessCount.objects.update(wait_until=Now() - timedelta(seconds=1))


# Slow guessing from many addresses


def test_twenty_addresses_with_one_guess_each_make_the_account_wait(world):
    assert from_everywhere(20) == [200] * 20
    answer = sign_in_as(REMOTE_ADDR="203.0.113.9")
    assert answer.status_code == 429 and "sid" not in answer.cookies


def test_the_page_says_how_long_and_says_it_for_names_that_nobody_has(world):
    pages = []
    for name in ("lin", "nobody"):
        from_everywhere(20, name)
        answer = sign_in_as(name, REMOTE_ADDR="203.0.113.9", HTTP_ACCEPT_LANGUAGE="en")
        said = answer.content.decode().partition("<main")[2].partition("</main")[0]
        assert answer.status_code == 429 and re.search(r"Try again in (30|29|28) seconds", said)
        pages.append(re.sub(r"<code>.*?</code>|[0-9]+", "", said))
    assert pages[0] == pages[1]


def test_hammering_makes_no_wait_longer_and_a_right_password_ends_the_count(world):
    from_everywhere(20)
    first = GuessCount.objects.get(key__startswith="account:").wait_until
    assert set(from_everywhere(30, start=100)) == {429}
    row = GuessCount.objects.get(key__startswith="account:")
    assert (row.wait_until, row.failures) == (first, 20)
    waits_are_over()
    assert sign_in_as(REMOTE_ADDR="203.0.113.9").status_code == 302
    assert not GuessCount.objects.filter(key__startswith="account:").exists()


def test_each_wait_is_twice_the_one_before_up_to_a_longest(world, monkeypatch):
    from_everywhere(20)
    waits = []
    for n in range(7):
        row = GuessCount.objects.get(key__startswith="account:")
        waits.append(round((row.wait_until - row.last_at).total_seconds()))
        waits_are_over()
        from_everywhere(1, start=300 + n)
    assert waits == [30, 60, 120, 240, 480, 900, 900]


def test_strangers_cannot_keep_out_a_person_from_their_own_browser(world):
    home = Client()
    assert sign_in_as(browser=home).status_code == 302
    home.post("/logout/")
    from_everywhere(20)
    assert sign_in_as(REMOTE_ADDR="203.0.113.9").status_code == 429
    assert sign_in_as(browser=home, REMOTE_ADDR="203.0.113.9").status_code == 302


def test_a_known_browser_has_a_count_of_its_own_and_no_free_guesses(world, settings):
    settings.AXES_FAILURE_LIMIT = 1000
    home = Client()
    sign_in_as(browser=home)
    home.post("/logout/")
    assert {sign_in_as(password="wrong", browser=home).status_code for _ in range(20)} == {200}
    assert sign_in_as(browser=home).status_code == 429
    assert sign_in_as("bai").status_code == 302


def test_a_cookie_of_ones_own_making_or_somebody_elses_is_no_known_browser(world):
    mallory = Client()
    sign_in_as("bai", browser=mallory)  # a colleague who guesses at another's account
    mallory.post("/logout/")
    from_everywhere(20)
    assert sign_in_as(browser=mallory, REMOTE_ADDR="203.0.113.9").status_code == 429
    for forged in ("x", mallory.cookies["known"].value[:-3] + "abc", ""):
        mallory.cookies["known"] = forged
        assert sign_in_as(browser=mallory, REMOTE_ADDR="203.0.113.9").status_code == 429


def test_a_desk_shared_by_shifts_knows_eight_people(world):
    desk = Client()
    for _round in range(2):
        for name in world.staff:
            assert sign_in_as(name, browser=desk).status_code == 302
            desk.post("/logout/")
    cookie = desk.cookies["known"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and len(cookie.value) < 1500
    known = signing.loads(cookie.value, salt=guesses.SALT)
    assert len(known) == 7 and all(re.fullmatch("[0-9a-f]{24}", name) for name in known)


def test_one_address_that_guesses_at_everybody_waits_and_others_do_not(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_GUESSES_PER_ADDRESS", "10")
    there = {"REMOTE_ADDR": "198.51.100.7"}
    assert {sign_in_as(f"name{n}", "wrong", **there).status_code for n in range(10)} == {200}
    assert sign_in_as("lin", **there).status_code == 429
    assert sign_in_as("lin").status_code == 302
    assert not Alarm.objects.filter(kind="guessing").exists()  # nobody's account is locked


def test_one_ipv6_network_is_one_address(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_GUESSES_PER_ADDRESS", "10")
    for n in range(10):
        sign_in_as(f"name{n}", "wrong", REMOTE_ADDR=f"2001:db8:1:2::{n:x}")
    assert sign_in_as(REMOTE_ADDR="2001:db8:1:2:ffff::1").status_code == 429
    assert sign_in_as(REMOTE_ADDR="2001:db8:1:3::1").status_code == 302


def test_right_passwords_of_an_office_do_not_add_up(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_GUESSES_PER_ADDRESS", "10")
    for _round in range(15):
        assert sign_in_as().status_code == 302
    assert GuessCount.objects.get(key__startswith="address:").failures == 0


def test_upper_case_is_no_second_set_of_guesses(world):
    from_everywhere(10, "LIN")
    from_everywhere(10, "lin", start=20)
    assert sign_in_as(REMOTE_ADDR="203.0.113.9").status_code == 429


def test_a_count_that_rested_for_a_day_begins_anew(world):
    from_everywhere(19)
    GuessCount.objects.update(last_at=Now() - timedelta(hours=25))
    assert from_everywhere(19, start=50) == [200] * 19
    GuessCount.objects.update(last_at=Now() - timedelta(hours=25))
    assert guesses.tidy() > 0 and not GuessCount.objects.exists()


def test_a_hundred_at_once_are_a_hundred_tries(open_world, at_once, monkeypatch):
    """Every try is written down before it is made: the limit holds for those that run side by side."""
    monkeypatch.setenv("MINGJIAN_GUESSES_PER_ACCOUNT", "3")
    answers = at_once(*[lambda n=n: sign_in_as(password="wrong", REMOTE_ADDR=f"198.51.100.{n}") for n in range(8)])
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 5


def test_what_is_stored_names_nobody(world):
    from_everywhere(3, start=7)
    rows = "".join(str(row) for row in GuessCount.objects.values_list())
    assert "lin" not in rows and "198.51" not in rows


# The alarm


def test_a_locked_account_rings_once_until_somebody_looks(world):
    from_everywhere(20)
    alarm = Alarm.objects.get(kind="guessing")
    assert alarm.subject == f"staff:{world.lin.pk}" and "198.51" not in alarm.detail
    waits_are_over()
    from_everywhere(1, start=90)
    assert Alarm.objects.filter(kind="guessing").count() == 1
    Alarm.objects.update(seen_at=Now(), seen_by="staff:he")
    waits_are_over()
    from_everywhere(1, start=91)
    assert Alarm.objects.filter(kind="guessing").count() == 2
    assert AuditEvent.objects.filter(action="alarm.guessing").count() == 2


def test_a_lock_by_name_and_address_rings_too_and_a_name_of_nobody_does_not(world):
    for _try in range(8):
        sign_in_as("nobody", "wrong")
    from_everywhere(20, "nobody")
    assert not Alarm.objects.exists()
    for _try in range(8):
        sign_in_as("lin", "wrong")
    assert Alarm.objects.get().subject == f"staff:{world.lin.pk}"


# Who exists is nobody's business


@pytest.mark.parametrize("name", ["lin", "nobody", "sso", "closed"])
def test_every_failure_costs_one_hash(world, name):
    """Known, unknown, without a password, closed: the slow part runs once in each case (ASVS 6.3.8)."""
    Staff.objects.create(username="sso", display_name="s", role="moderator", password="!unusable")
    closed = Staff(username="closed", display_name="c", role="moderator", is_active=False)
    closed.set_password(PASSWORD)
    closed.save()
    from django.contrib.auth.hashers import MD5PasswordHasher as Hasher

    with mock.patch.object(Hasher, "encode", autospec=True, side_effect=Hasher.encode) as hashed:
        assert sign_in_as(name, "wrong").status_code == 200
    assert hashed.call_count == 1


# The password itself


@pytest.fixture
def argon2(settings):
    # The tests' own hasher stays second, to read the passwords of the cast.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher", *settings.PASSWORD_HASHERS]


def changed(browser, new, current=PASSWORD, again=None):
    given = {"password": current, "new_password": new, "again": new if again is None else again}
    return browser.post("/staff/me/password/change/", given)


def test_passwords_are_hashed_with_argon2id_in_an_installation():
    written = runpy.run_path(str(ROOT / "platform" / "config" / "settings.py"))
    assert written["PASSWORD_HASHERS"] == ["django.contrib.auth.hashers.Argon2PasswordHasher"]


def test_a_password_of_a_hundred_and_twenty_eight_chinese_characters_works_to_its_last_byte(world, login, argon2):
    long = "守" * 127 + "夜"
    assert changed(login("lin"), long).status_code == 302
    assert Staff.objects.get(username="lin").password.startswith("argon2$argon2id$")
    assert sign_in_as(password="守" * 127 + "书").status_code == 200
    assert sign_in_as(password=long).status_code == 302


def test_the_seventy_third_byte_counts(world, login, argon2):
    assert changed(login("lin"), "k7Qz" * 18 + "a").status_code == 302
    assert sign_in_as(password="k7Qz" * 18).status_code == 200
    assert sign_in_as(password="k7Qz" * 18 + "b").status_code == 200
    assert sign_in_as(password="k7Qz" * 18 + "a").status_code == 302


def test_spaces_at_the_ends_belong_to_the_password(world, login):
    assert changed(login("lin"), "  a quiet evening  ").status_code == 302
    assert sign_in_as(password="a quiet evening").status_code == 200
    assert sign_in_as(password="  a quiet evening  ").status_code == 302


@pytest.mark.parametrize("weak", ["short", "elevenchars", "password1234", "lin", "1q2w3e4r5t6y", ""])
def test_weak_passwords_are_refused(world, login, weak):
    assert changed(login("lin"), weak).status_code == 422
    assert sign_in_as().status_code == 302


def test_a_wrong_current_one_the_same_one_and_two_different_ones_change_nothing(world, login):
    lin = login("lin")
    for answer in (
        changed(lin, "a quiet evening", current="wrong"),
        changed(lin, PASSWORD),
        changed(lin, "a quiet evening", again="a quiet morning"),
    ):
        assert answer.status_code == 422
    assert sign_in_as().status_code == 302 and not AuditEvent.objects.filter(action="staff.password_changed").exists()


def test_guesses_at_the_current_one_wait_too_and_nothing_resets_them(world, login, monkeypatch):
    monkeypatch.setenv("MINGJIAN_GUESSES_PER_ACCOUNT", "5")
    lin = login("lin")
    for _try in range(5):
        assert changed(lin, "a quiet evening", current="wrong").status_code == 422
        changed(lin, "a quiet evening", current="wrong", again="other")
    assert changed(lin, "a quiet evening").status_code == 429
    assert lin.post("/staff/me/confirm/check/", {"password": PASSWORD}).status_code == 429


def test_changing_it_ends_all_other_sessions_and_keeps_this_one(world):
    here, there = Client(), Client()
    for browser in (here, there):
        sign_in_as(browser=browser)
    old = here.cookies["sid"].value
    assert changed(here, "a quiet evening").status_code == 302
    assert here.get("/users/").status_code == 200 and here.cookies["sid"].value != old
    assert there.get("/users/").status_code == 302
    stolen = Client()
    stolen.cookies["sid"] = old
    assert stolen.get("/users/").status_code == 302
    assert StaffSession.objects.filter(ended_why="password").count() == 1
    assert AuditEvent.objects.get(action="staff.password_changed").subject == f"staff:{world.lin.pk}"


def test_nobody_changes_somebody_elses_password(world):
    with pytest.raises(Refusal) as refused:
        sign_in.change_password(staff_id=world.lin.pk, current=PASSWORD, new="a quiet evening", by=world.fang)
    assert refused.value.code == "own_account"


# No other way in


@pytest.mark.parametrize(
    "address",
    [
        "/admin/", "/admin/login/", "/accounts/login/", "/accounts/signup/", "/signup/", "/login/signup/",
        "/accounts/password/reset/", "/password/reset/", "/accounts/2fa/", "/2fa/authenticate/", "/accounts/3rdparty/",
        "/login/code/", "/oidc/oidc/login/", "/accounts/oidc/oidc/login/", "/login/sso/", "/login/sso/callback/",
    ],
)  # fmt: skip
def test_there_is_no_other_door(world, login, address):
    assert Client().get(address).status_code in (302, 404)
    if Client().get(address).status_code == 302:
        assert Client().get(address)["Location"].startswith("/login/?next=")
    assert login("lin").get(address).status_code in (302, 404)
    assert login("lin").post(address).status_code in (404, 405)


def test_the_addresses_under_login_are_these():
    found = set()

    def walk(patterns, before=""):
        for pattern in patterns:
            address = before + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns, address)
            elif address.startswith("login") or "allauth" in pattern.callback.__module__:
                found.add(address)

    walk(get_resolver().url_patterns)
    assert found == {"login/", "login/second-factor/", "login/sso/", "login/sso/callback/"}
    for name in ("account_signup", "account_reset_password", "mfa_index", "socialaccount_signup"):
        with pytest.raises(NoReverseMatch):
            reverse(name)


def test_a_closed_account_reads_like_a_wrong_password(world):
    def page(name, password):
        return re.sub(r'value="[^"]*"|[A-Za-z0-9]{64}', "", sign_in_as(name, password).content.decode())

    Staff.objects.filter(username="bai").update(is_active=False)
    assert page("bai", PASSWORD) == page("nobody", "wrong")


@pytest.mark.parametrize("name", ["li\x00n", "林溪", "a" * 500, "lin'--", " "])
def test_strange_names_are_wrong_names(world, name):
    assert sign_in_as(name).status_code == 200
