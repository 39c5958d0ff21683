"""The list of users and the page of one."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.urls import reverse

from accounts import identities, measures, users
from accounts.models import Measure, User
from accounts.pages import users as user_pages
from core import audit
from core.ids import uuid7
from core.models import AuditEvent
from tests.world import ID_NUMBER, OTHER_ID_NUMBER


def rows(answer):
    """The external ids that a list shows."""
    return re.findall(
        r'<th scope="row"><a href="/users/[^"]+">[^<]*</a><small>([^<]*)</small>', answer.content.decode()
    )


def test_the_list_is_newest_first_and_shows_no_whole_number(world, login):
    answer = login("he").get("/users/")
    assert rows(answer) == ["ma", "qian", "liu", "wen"]
    text = answer.content.decode()
    assert "110*************23" in text and ID_NUMBER not in text and OTHER_ID_NUMBER not in text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("identity=verified", ["ma", "qian", "wen"]),
        ("identity=unverified", ["liu"]),
        ("account=suspended", ["qian"]),
        ("account=suspended&identity=unverified", []),
        ("q=w", ["wen"]),
        ("q=W", []),
        ("q=%25", []),
        ("q=_", []),
        ("q=a%00b", ["ma", "qian", "liu", "wen"]),
        ("identity=nonsense", ["ma", "qian", "liu", "wen"]),
        ("before=nonsense", ["ma", "qian", "liu", "wen"]),
        ("same=nonsense", ["ma", "qian", "liu", "wen"]),
    ],
)
def test_filters_narrow_and_nonsense_does_not(world, login, query, shown):
    answer = login("he").get(f"/users/?{query}")
    assert answer.status_code == 200
    assert rows(answer) == shown
    if not shown:
        assert "empty-state" in answer.content.decode()


def test_pages_follow_each_other_without_a_gap(world, login):
    for number in range(120):
        users.register(service=world.service, external_id=f"u{number}", kind="person", display_name="x", by="client:t")
    seen, address = [], "/users/?q=u"
    while address:
        answer = login("he").get(address)
        seen += rows(answer)
        following = re.search(r'rel="next" href="([^"]+)"', answer.content.decode())
        address = "/users/" + unescape(following[1]) if following else ""
    assert seen == [f"u{number}" for number in reversed(range(120))]


def test_an_empty_house_says_what_to_do_next(world, login):
    Measure.objects.all().delete()
    User.objects.all().delete()
    assert "POST /api/v1/users" in login("he").get("/users/").content.decode()


def test_a_number_is_found_by_post_and_stands_in_no_address(world, login):
    browser = login("zhou")
    shared = browser.post("/users/by-number/", {"number": ID_NUMBER})
    assert shared.status_code == 302 and "same=" in shared["Location"] and ID_NUMBER not in shared["Location"]
    assert rows(browser.get(shared["Location"])) == ["ma", "wen"]
    single = browser.post("/users/by-number/", {"number": OTHER_ID_NUMBER})
    assert single["Location"] == f"/users/{world.qian.pk}/"
    nobody = browser.post("/users/by-number/", {"number": "13800138000"}, follow=True)
    assert nobody.redirect_chain == [("/users/", 302)]
    assert "13800138000" not in nobody.content.decode()
    assert AuditEvent.objects.filter(action="user.searched_by_number", actor="staff:zhou").count() == 3


def test_a_number_that_cannot_be_right_is_refused_beside_the_form_and_not_said_back(world, login):
    wrong = ID_NUMBER[:-1] + "0"
    answer = login("zhou").post("/users/by-number/", {"number": wrong})
    text = answer.content.decode()
    assert answer.status_code == 422 and 'role="alert"' in text and wrong not in text


# One user


def test_the_page_of_a_user_tells_everything_and_no_number(world, login):
    world.submit()
    answer = login("xu").get(f"/users/{world.wen.pk}/")
    text = answer.content.decode()
    assert "110*************23" in text and ID_NUMBER not in text and "试名" not in text
    assert f'href="/users/{world.ma.pk}/"' in text  # shares the identity
    assert "item-" in text  # what was handed in
    assert text.count("<li") >= len(audit.of(f"user:{world.wen.pk}"))


def test_a_user_that_does_not_exist_is_404(world, login):
    assert login("xu").get(f"/users/{uuid7()}/").status_code == 404
    assert login("xu").get("/users/nonsense/").status_code == 404


def test_the_page_costs_the_same_however_much_there_is(world, login, django_assert_max_num_queries):
    browser = login("xu")
    address = f"/users/{world.wen.pk}/"
    browser.get(address)
    for number in range(12):
        world.submit()
        measures.apply(user=world.wen, kind="warn", ground=f"第{number}次", by=world.xu)
        other, _new = users.register(
            service=world.service, external_id=f"twin{number}", kind="person", display_name="x", by="client:t"
        )
        identities.submit(user=other, method="id_number", number=ID_NUMBER, name="试名", by="client:t")
    with django_assert_max_num_queries(14):
        text = browser.get(address).content.decode()
    assert text.count('data-state="in_force"') == 12
    with django_assert_max_num_queries(9):
        browser.get("/users/")


def test_only_the_newest_history_is_shown_and_the_rest_is_counted(world, login, monkeypatch):
    monkeypatch.setattr(user_pages, "SHOWN_HISTORY", 2)
    total = len(audit.of(f"user:{world.wen.pk}"))
    text = login("xu").get(f"/users/{world.wen.pk}/").content.decode()
    history = text.split('class="timeline"')[1].split("</ol>")[0]
    assert history.count("<li") == 2 and total > 2
    assert f"{total - 2} " in text.split("</ol>")[-1]


def test_a_measure_is_applied_from_the_page_in_beijing_time(world, login):
    answer = login("xu").post(
        reverse("measure_apply", args=[world.wen.pk]),
        {"kind": "limit", "functions": ["writing"], "ground": "广告", "clause": "3.2", "ends_at": "2099-01-02T03:04"},
    )
    assert (answer.status_code, answer["Location"]) == (302, f"/users/{world.wen.pk}/")
    measure = world.wen.measures.get()
    assert (measure.kind, measure.functions, measure.clause, measure.applied_by) == (
        "limit",
        ["writing"],
        "3.2",
        world.xu,
    )
    assert measure.ends_at.isoformat() == "2099-01-01T19:04:00+00:00"


@pytest.mark.parametrize(
    "posted",
    [
        {},
        {"kind": "suspend", "ground": " "},
        {"kind": "limit", "ground": "x"},
        {"kind": "limit", "ground": "x", "functions": ["painting"]},
        {"kind": "banish", "ground": "x"},
        {"kind": "warn", "ground": "x", "clause": "x" * 201},
        {"kind": "warn", "ground": "a\x00b"},
        {"kind": "warn", "ground": "x", "ends_at": "tomorrow"},
        {"kind": "suspend", "ground": "x", "ends_at": "2001-01-01T00:00"},
    ],
)
def test_a_measure_that_does_not_fit_is_refused_beside_its_form(world, login, posted):
    answer = login("xu").post(reverse("measure_apply", args=[world.wen.pk]), posted)
    assert answer.status_code == 422 and 'role="alert"' in answer.content.decode()
    assert world.wen.measures.count() == 0


def test_a_measure_is_lifted_from_the_page_once(world, login):
    measure = world.qian.measures.get()
    address = reverse("measure_lift", args=[world.qian.pk, measure.pk])
    assert login("chen").post(address, {"reason": ""}).status_code == 422
    assert login("chen").post(address, {"reason": "申诉成立"}).status_code == 302
    again = login("chen").post(address, {"reason": "申诉成立"})
    assert again.status_code == 409 and 'role="alert"' in again.content.decode()
    stranger = reverse("measure_lift", args=[world.wen.pk, measure.pk])
    assert login("chen").post(stranger, {"reason": "x"}).status_code == 404
