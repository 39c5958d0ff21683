"""Sessions of the staff: listed, ended at once from anywhere, over by the database's clock (ASVS 7.3, 7.4, 14.3.1)."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import sessions, staff, tasks
from accounts.models import Staff, StaffSession
from core import crypto
from core.errors import Forbidden, NotFound
from core.ids import uuid7
from core.models import AuditEvent
from tests.world import PASSWORD

OWN = "/staff/me/sessions/"
TEXT = "这一条涉嫌诈骗，\n请用户补充材料"


def sign_in(username="lin", **given):
    client = Client(**given)
    assert client.post("/login/", {"username": username, "password": PASSWORD}).status_code == 302
    return client


def row_of(client):
    return StaffSession.objects.get(pk=client.session[sessions.KEY])


def aged(client, **fields):
    """Move a session's times into the past, by the database's clock."""
    StaffSession.objects.filter(pk=client.session[sessions.KEY]).update(
        **{field: Now() - timedelta(seconds=seconds) for field, seconds in fields.items()}
    )


def send(client, form, **more):
    """Post like a browser's plain form."""
    encoded = "application/x-www-form-urlencoded"
    return client.post("/review/decide", urlencode(form), content_type=encoded, **more)


def is_in(client):
    return client.get(OWN).status_code == 200


# Signing in and out


def test_a_sign_in_is_written_down_by_a_hash_that_opens_nothing(world):
    lin = sign_in(HTTP_USER_AGENT="Mozilla/5.0 测试\x00" + "x" * 300, REMOTE_ADDR="192.0.2.7")
    row = row_of(lin)
    assert (row.staff_id, row.address, len(row.agent)) == (world.lin.pk, "192.0.2.7", 200)
    assert bytes(row.key_hash) == crypto.key_hash(lin.session.session_key)
    assert lin.session.session_key not in str(StaffSession.objects.values().get(pk=row.pk))


def test_an_address_that_is_none_is_left_out(world, login):
    assert row_of(login("lin")).address is None


def test_signing_in_again_in_the_same_browser_is_a_new_session(world):
    lin = Client()
    for _again in range(2):
        lin.force_login(world.lin, backend="django.contrib.auth.backends.ModelBackend")
    first, second = StaffSession.objects.filter(staff=world.lin).order_by("created_at")
    assert (first.ended_why, second.ended_at) == ("replaced", None)
    assert is_in(lin)


def test_signing_out_ends_the_session_and_clears_what_the_browser_kept(world):
    lin = sign_in()
    row = row_of(lin)
    assert "Clear-Site-Data" not in lin.get(OWN).headers
    answer = lin.post("/logout/")
    assert answer["Clear-Site-Data"] == '"cache", "storage"'
    row.refresh_from_db()
    assert (row.ended_why, row.ended_at is not None) == ("signed_out", True)


def test_a_session_that_was_never_written_down_lets_nobody_in(world):
    lin = sign_in()
    session = lin.session
    del session[sessions.KEY]
    session.save()
    assert not is_in(lin)


def test_a_session_whose_row_is_somebody_elses_lets_nobody_in(world):
    lin, bai = sign_in(), sign_in("bai")
    session = lin.session
    session[sessions.KEY] = bai.session[sessions.KEY]
    session.save()
    assert not is_in(lin)


# Time


def test_after_half_an_hour_without_a_click_one_signs_in_again_and_is_back(world):
    lin = sign_in()
    aged(lin, seen_at=29 * 60)
    assert is_in(lin)
    aged(lin, seen_at=31 * 60)
    row = row_of(lin)
    answer = lin.get("/users/?identity=pending")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/users/%3Fidentity%3Dpending")
    row.refresh_from_db()
    assert row.ended_why == "idle"
    page = lin.get(answer["Location"])
    assert 'class="notice' in page.content.decode()
    form = {"username": "lin", "password": PASSWORD, "next": "/users/?identity=pending"}
    assert lin.post(answer["Location"], form)["Location"] == "/users/?identity=pending"
    assert is_in(lin)


def test_after_twelve_hours_one_signs_in_again_however_busy(world):
    lin = sign_in()
    aged(lin, created_at=12 * 3600 - 60)
    assert is_in(lin)
    aged(lin, created_at=12 * 3600 + 1)
    row = row_of(lin)
    assert not is_in(lin)
    row.refresh_from_db()
    assert row.ended_why == "longest"


def test_both_times_are_the_operators(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_SESSION_IDLE", "60")
    lin = sign_in()
    aged(lin, seen_at=61)
    assert not is_in(lin)
    monkeypatch.setenv("MINGJIAN_SESSION_LONGEST", "3600")
    lin = sign_in()
    aged(lin, created_at=3601)
    assert not is_in(lin)


def test_the_clock_of_this_machine_decides_nothing(world, monkeypatch):
    from django.utils import timezone

    lin = sign_in()
    monkeypatch.setattr(sessions, "Now", Now)
    aged(lin, seen_at=31 * 60)
    monkeypatch.setattr(timezone, "now", lambda real=timezone.now: real() - timedelta(hours=2))
    assert not is_in(lin)


def test_a_sign_of_life_is_written_at_most_once_a_minute(world):
    lin = sign_in()

    def writes():
        with CaptureQueriesContext(connection) as seen:
            lin.get(OWN)
        return sum("UPDATE" in query["sql"] and "staffsession" in query["sql"] for query in seen)

    assert writes() == 0
    aged(lin, seen_at=61)
    before = row_of(lin).seen_at
    assert (writes(), writes()) == (1, 0)
    assert row_of(lin).seen_at - before >= timedelta(seconds=61)


def test_a_page_that_asks_by_itself_keeps_nobody_signed_in(world):
    lin = sign_in()
    aged(lin, seen_at=20 * 60)
    before = row_of(lin).seen_at
    assert lin.get(OWN, HTTP_HX_REQUEST="true").status_code == 200
    assert row_of(lin).seen_at == before


def test_a_request_pays_one_look_at_its_session(world, login):
    he = login("he")
    he.get(OWN)
    with CaptureQueriesContext(connection) as seen:
        he.get(OWN)
    ours = [query["sql"] for query in seen if "session_state" in query["sql"]]
    assert len(ours) == 1
    with connection.cursor() as cursor:
        from core.sql import load

        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN " + load("accounts/session_state"),
            {"session": str(row_of(he).pk), "idle": 1800, "longest": 43200, "fresh": 60},
        )
        plan = "\n".join(line[0] for line in cursor.fetchall())
    assert "accounts_staffsession_pkey" in plan and "alarm_open" in plan and "one_emergency" in plan


@pytest.mark.parametrize("address", ["/public/refutations/", "/healthz", "/login/"])
def test_public_pages_ask_for_nobody(db, address):
    client = Client()
    with CaptureQueriesContext(connection) as seen:
        client.get(address)
    assert not any("session_state" in query["sql"] for query in seen)


# What was typed is not lost


def test_a_form_that_comes_too_late_is_answered_with_what_was_written(world):
    lin = sign_in()
    aged(lin, seen_at=31 * 60)
    answer = send(
        lin,
        {"outcome": "block", "category": "fraud.part_time", "reason": TEXT, "token": "秘密 令牌", "password": "口 令"},
        headers={"referer": "http://testserver/review/?queue=all"},
    )
    page = answer.content.decode()
    assert answer.status_code == 401 and answer["WWW-Authenticate"] and 'role="alert"' in page
    assert TEXT in page and "秘密" not in page and "口 令" not in page
    assert "no-store" in answer["Cache-Control"]
    assert "/login/?next=%2Freview%2F%3Fqueue%3Dall" in page


def test_even_when_the_session_was_over_long_ago(world):
    """The browser has thrown the cookie away: nothing is known of a session any more."""
    answer = send(Client(), {"reason": TEXT})
    assert answer.status_code == 401 and TEXT in answer.content.decode()


def test_hostile_texts_stay_text_and_other_sites_get_nothing_shown(world):
    page = send(Client(), {"reason": "<script>alert(1)</script> x"}).content.decode()
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    strict = Client(enforce_csrf_checks=True)
    answer = send(strict, {"reason": TEXT})
    assert answer.status_code == 401 and TEXT not in answer.content.decode()
    strict.get("/login/")
    token = strict.cookies["csrf"].value
    answer = send(strict, {"reason": TEXT, "csrfmiddlewaretoken": token})
    assert answer.status_code == 401 and TEXT in answer.content.decode()


def test_htmx_is_told_in_a_fragment_and_what_was_typed_stays(world):
    lin = sign_in()
    aged(lin, seen_at=31 * 60)
    address = "http://testserver/review/?queue=all"
    answer = lin.post("/review/decide", {"reason": TEXT}, headers={"hx-request": "true", "hx-current-url": address})
    fragment = answer.content.decode()
    assert answer.status_code == 401 and fragment.lstrip().startswith("<div")
    assert 'data-refusal="signed_out"' in fragment and 'role="alert"' in fragment and "<html" not in fragment
    link = fragment.split('<a href="')[1].split('"')[0]
    assert parse_qs(urlsplit(link).query) == {"next": ["/review/?queue=all"]} and 'target="_blank"' in fragment
    assert lin.get("/reports/", headers={"hx-request": "true"}).status_code == 401


@pytest.mark.parametrize("referer", ["https://evil.example/x", "//evil.example", "", "http://testserver:81/x"])
def test_nobody_is_sent_elsewhere_after_signing_in_again(world, referer):
    page = Client().post("/users/", {"a": "b"}, headers={"referer": referer}).content.decode()
    assert "next=%2F" in page and "evil" not in page


# Ending sessions


def test_the_list_shows_ones_own_and_which_is_this_one(world):
    here = sign_in(HTTP_USER_AGENT="Firefox 此处", REMOTE_ADDR="192.0.2.7")
    sign_in(HTTP_USER_AGENT="Chrome <b>别处", REMOTE_ADDR="192.0.2.8")
    sign_in("bai", HTTP_USER_AGENT="Safari 白薇")
    page = here.get(OWN).content.decode()
    for shown in ("Firefox 此处", "192.0.2.7", "Chrome &lt;b&gt;别处", "192.0.2.8"):
        assert shown in page
    assert "Safari" not in page and page.count("state-ok") == 1
    assert page.count("/end/") == 1


def test_ending_one_of_ones_own_ends_it_on_its_next_request(world):
    here, there = sign_in(), sign_in()
    assert is_in(there)
    assert here.post(reverse("my_session_end", args=[row_of(there).pk])).status_code == 302
    assert not is_in(there) and is_in(here)
    line = AuditEvent.objects.get(action="staff.session_ended")
    assert (line.actor, line.subject) == ("staff:lin", f"staff:{world.lin.pk}")


def test_ending_somebody_elses_does_nothing_and_says_the_same_as_for_none(world):
    lin, bai = sign_in(), sign_in("bai")
    answers = [lin.post(reverse("my_session_end", args=[pk]), follow=True) for pk in (row_of(bai).pk, uuid7())]
    assert is_in(bai)
    assert len({answer.content.decode().split('id="alerts"')[1].split("</section>")[0] for answer in answers}) == 1


def test_ending_all_others_keeps_this_one(world):
    here, one, two, bai = sign_in(), sign_in(), sign_in(), sign_in("bai")
    assert here.post(reverse("my_sessions_end_others")).status_code == 302
    assert [is_in(client) for client in (here, one, two, bai)] == [True, False, False, True]


def test_an_administrator_signs_a_colleague_out_everywhere(world):
    fang, one, two = sign_in("fang"), sign_in(), sign_in()
    assert "192.0.2" not in fang.get("/staff/").content.decode()
    assert fang.post(reverse("staff_sessions_end", args=[world.lin.pk])).status_code == 302
    assert not is_in(one) and not is_in(two) and is_in(fang)
    assert AuditEvent.objects.get(action="staff.sessions_ended").data == {"sessions": 2}
    with pytest.raises(Forbidden):
        sessions.end_all(staff_id=world.lin.pk, by=world.xu)
    with pytest.raises(NotFound):
        sessions.end_all(staff_id=uuid7(), by=world.fang)


def test_closing_an_account_ends_both_browsers_now_and_reopening_brings_none_back(world):
    one, two = sign_in(), sign_in()
    staff.set_active(staff_id=world.lin.pk, active=False, by=world.fang)
    staff.set_active(staff_id=world.lin.pk, active=True, by=world.fang)
    assert not is_in(one) and not is_in(two)
    assert set(StaffSession.objects.filter(staff=world.lin).values_list("ended_why", flat=True)) == {"closed"}


def test_a_new_role_ends_both_browsers_now_and_holds_after_signing_in(world):
    one, two = sign_in(), sign_in()
    assert one.get("/staff/").status_code == 403
    staff.change_role(staff_id=world.lin.pk, role="auditor", by=world.fang)
    answer = one.get("/review/")
    assert answer.status_code == 302 and answer["Location"].startswith("/login/")
    assert not is_in(two)
    assert sign_in().get("/staff/").status_code == 200


def test_another_password_ends_the_other_browser_now_and_its_row_says_why(world):
    here, there = sign_in(), sign_in()
    row = row_of(there)
    world.lin.set_password("another sentence of hers")
    world.lin.save(update_fields=["password"])
    assert not is_in(there) and not is_in(here)
    row.refresh_from_db()
    assert row.ended_why == "password"


def test_a_stolen_cookie_is_worth_nothing_after_the_end(world):
    lin = sign_in()
    thief = Client()
    thief.cookies["sid"] = lin.cookies["sid"].value
    assert is_in(thief)
    lin.post("/logout/")
    assert not is_in(thief)
    lin = sign_in()
    thief.cookies["sid"] = lin.cookies["sid"].value
    staff.set_active(staff_id=world.lin.pk, active=False, by=world.fang)
    assert not is_in(thief)


def test_an_ended_session_leaves_nothing_in_djangos_table_once_it_came_back(world):
    lin = sign_in()
    key = lin.session.session_key
    staff.change_role(staff_id=world.lin.pk, role="auditor", by=world.fang)
    assert not is_in(lin)
    assert not Session.objects.filter(pk=key).exists()


# The clock


def test_the_clock_writes_down_what_ran_out_and_removes_what_is_old(world, monkeypatch):
    idle, long, fresh = sign_in(), sign_in("bai"), sign_in("xu")
    aged(idle, seen_at=3600)
    aged(long, created_at=13 * 3600)
    rows = [row_of(client) for client in (idle, long, fresh)]
    tasks.close_overdue()
    for row in rows:
        row.refresh_from_db()
    assert [row.ended_why for row in rows] == ["idle", "longest", ""]
    assert list(sessions.held().values_list("pk", flat=True)) == [rows[2].pk]
    StaffSession.objects.filter(pk=rows[0].pk).update(ended_at=Now() - timedelta(days=184))
    sessions.tidy()
    assert not StaffSession.objects.filter(pk=rows[0].pk).exists()
    assert StaffSession.objects.filter(pk=rows[1].pk).exists()


def test_those_that_ran_out_are_not_listed_before_the_clock_wrote_it_down(world):
    here, there = sign_in(), sign_in(HTTP_USER_AGENT="Chrome 别处")
    aged(there, seen_at=31 * 60)
    page = here.get(OWN).content.decode()
    assert "Chrome 别处" not in page
    assert Staff.objects.get(pk=world.lin.pk).sessions.filter(ended_at=None).count() == 2
