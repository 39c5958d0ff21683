"""A dangerous act asks whether it is still oneself (ASVS 7.5.1, 7.5.3)."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts import confirmation
from accounts.models import ApiKey, Staff
from core.models import AuditEvent, Gate
from tests.world import PASSWORD

MINUTES = 60


@pytest.fixture
def long_ago():
    """`long_ago(browser)` makes the last confirmation of a browser six minutes old."""

    def age(browser, seconds=6 * MINUTES):
        session = browser.session
        session[confirmation.CONFIRMED_AT] -= seconds
        session.save()
        return browser

    return age


def issue(browser, world, **headers):
    return browser.post(reverse("key_issue", args=[world.client.pk]), {"scopes": ["users"]}, **headers)


def where(answer):
    assert answer.status_code == 302
    return answer["Location"]


def test_a_sign_in_counts_as_a_confirmation(world):
    browser = Client()
    browser.post("/login/", {"username": "fang", "password": PASSWORD})
    before = ApiKey.objects.count()
    assert issue(browser, world).status_code in (200, 422)
    assert ApiKey.objects.count() >= before


def test_five_minutes_later_the_act_is_not_done_and_the_way_leads_to_the_confirmation(world, login, long_ago):
    fang = long_ago(login("fang"))
    before = ApiKey.objects.count()
    answer = issue(fang, world, HTTP_REFERER="http://testserver/staff/clients/", HTTP_ACCEPT_LANGUAGE="en")
    assert where(answer) == "/staff/me/confirm/?next=%2Fstaff%2Fclients%2F"
    assert ApiKey.objects.count() == before
    assert "Nothing was done yet" in fang.get(answer["Location"], HTTP_ACCEPT_LANGUAGE="en").content.decode()


def test_just_under_five_minutes_it_still_stands(world, login, long_ago):
    assert issue(long_ago(login("fang"), 290), world).status_code != 302
    assert issue(long_ago(login("fang"), 310), world).status_code == 302


def test_after_the_confirmation_one_is_back_where_one_was_and_presses_again(world, login, long_ago):
    fang = long_ago(login("fang"))
    page = where(issue(fang, world, HTTP_REFERER="http://testserver/staff/clients/"))
    assert fang.get(page).status_code == 200
    answer = fang.post("/staff/me/confirm/check/", {"password": PASSWORD, "next": "/staff/clients/"})
    assert where(answer) == "/staff/clients/"
    assert issue(fang, world).status_code != 302


@pytest.mark.parametrize(
    "given", [{"password": "wrong"}, {"password": ""}, {"code": "123456"}, {"credential": "{}"}, {}]
)
def test_what_is_wrong_confirms_nothing(world, login, long_ago, given):
    fang = long_ago(login("fang"))
    assert fang.post("/staff/me/confirm/check/", {**given, "next": "/"}).status_code == 422
    assert issue(fang, world).status_code == 302


def test_htmx_gets_a_refusal_and_is_led_away_as_a_whole(world, login, long_ago):
    fang = long_ago(login("fang"))
    here = {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://testserver/staff/clients/"}
    answer = issue(fang, world, **here)
    assert answer.status_code == 403 and 'data-refusal="confirmation_required"' in answer.content.decode()
    assert answer["HX-Redirect"] == "/staff/me/confirm/?next=%2Fstaff%2Fclients%2F"


def test_a_program_gets_a_problem_document(world, login, long_ago):
    answer = issue(long_ago(login("fang")), world, HTTP_ACCEPT="application/json")
    assert answer.status_code == 403 and answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "confirmation_required" and answer.json()["confirm_url"] == "/staff/me/confirm/"


def test_who_may_not_do_the_act_is_told_that_and_not_asked_for_a_password(world, login, long_ago):
    assert issue(long_ago(login("lin")), world).status_code == 403


@pytest.mark.parametrize(
    "away", ["https://evil.example/", "//evil.example/x", "/\\evil.example", "javascript:alert(1)", "", "evil"]
)
def test_nobody_is_sent_elsewhere(world, login, long_ago, away):
    fang = long_ago(login("fang"))
    assert where(issue(fang, world, HTTP_REFERER=away)) == "/staff/me/confirm/?next=%2Fstaff%2Fclients%2F"
    assert where(fang.post("/staff/me/confirm/check/", {"password": PASSWORD, "next": away})) == "/"
    page = fang.get("/staff/me/confirm/", {"next": away}).content.decode()
    assert "evil" not in page.split("<main")[1] or away == "evil"


def test_a_refused_post_has_no_page_to_go_back_to_so_it_is_the_page_of_its_button(world, login, long_ago):
    fang = long_ago(login("fang"))
    came_from = "http://testserver" + reverse("key_issue", args=[world.client.pk])
    assert where(issue(fang, world, HTTP_REFERER=came_from)).endswith("?next=%2Fstaff%2Fclients%2F")


def test_a_confirmation_is_one_persons_and_one_sessions(world, login):
    fang = login("fang")
    session = fang.session
    session[confirmation.CONFIRMED_WHO] = str(world.chen.pk)
    session.save()
    assert issue(fang, world).status_code == 302


@pytest.mark.parametrize("forged", [None, "soon", 9e12, True])
def test_a_time_that_cannot_be_is_none(world, login, forged):
    fang = login("fang")
    session = fang.session
    session[confirmation.CONFIRMED_AT] = forged
    session.save()
    assert issue(fang, world).status_code == 302


def test_the_time_is_the_databases(world, login, monkeypatch):
    import time

    fang = login("fang")
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert issue(fang, world).status_code != 302


def test_every_dangerous_act_of_the_house_asks(world, login, long_ago):
    key, gate = ApiKey.objects.get(), Gate.objects.create(capability="release", directive="令1号")
    identity = world.wen.identities.get()
    acts = {
        "fang": [
            reverse("key_issue", args=[world.client.pk]),
            reverse("key_revoke", args=[key.pk]),
            reverse("staff_active", args=[world.bai.pk]),
            reverse("staff_role", args=[world.bai.pk]),
            reverse("staff_invite"),
            reverse("my_security_codes"),
            reverse("my_security_remove", args=[1]),
            reverse("my_security_app_add"),
            reverse("my_security_key_add"),
        ],
        "chen": [reverse("gate_close"), reverse("gate_open", args=[gate.pk])],
        "zhou": [reverse("verification_reveal", args=[identity.pk])],
    }
    lines = AuditEvent.objects.count()
    for who, addresses in acts.items():
        browser = long_ago(login(who))
        for address in addresses:
            assert where(browser.post(address)).startswith("/staff/me/confirm/?next="), address
    assert AuditEvent.objects.count() == lines
    assert Staff.objects.get(pk=world.bai.pk).is_active and Gate.objects.get().opened_at is None
