"""Looks at what is guarded: recorded before anything is shown, counted, limited, reviewed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from accounts import honey, identities, lookup, reveals
from accounts.models import Look, User
from core import alarms, audit
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import Alarm, AuditEvent
from tests.world import ID_NUMBER


def moved_back(**by):
    """Shift every look into the past, as if time had passed (the table itself never changes)."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        Look.objects.update(at=Now() - timedelta(**by))
        cursor.execute("SET session_replication_role = DEFAULT")


def test_a_reveal_is_recorded_with_its_reason(world):
    identity = world.wen.identities.get()
    shown = identities.reveal_for_decision(identity_id=identity.pk, reason=" 核对 ", by=world.zhou)
    assert shown["number"] == ID_NUMBER
    look = Look.objects.get()
    assert (look.kind, look.staff, look.user, look.reason) == ("reveal", world.zhou, world.wen, "核对")
    line = AuditEvent.objects.get(action="identity.revealed")
    assert (line.subject, line.reason, line.actor) == (f"user:{world.wen.pk}", "核对", "staff:zhou")


@pytest.mark.parametrize("reason", ["", "  "])
def test_without_a_reason_nothing_is_shown(world, reason):
    with pytest.raises(Refusal):
        identities.reveal_for_decision(identity_id=world.wen.identities.get().pk, reason=reason, by=world.zhou)
    assert not Look.objects.exists()


def test_a_user_that_is_not_there_is_not_found(world):
    with pytest.raises(NotFound):
        reveals.note(user_id=uuid7(), reason="x", by=world.zhou)


def test_when_the_ledger_fails_nothing_is_opened(world, monkeypatch):
    def broken(**_given):
        raise DatabaseError("the disk is full")

    def never(*_given):
        raise AssertionError("something was opened")

    monkeypatch.setattr(audit, "record", broken)
    monkeypatch.setattr(identities, "opened", never)
    with pytest.raises(DatabaseError):
        identities.reveal_for_decision(identity_id=world.wen.identities.get().pk, reason="x", by=world.zhou)
    assert not Look.objects.exists()


def test_inside_a_transaction_it_refuses_to_run_since_its_line_would_not_be_committed(open_world):
    with transaction.atomic(), pytest.raises(RuntimeError):
        reveals.note(user_id=open_world.wen.pk, reason="x", by=open_world.zhou)


def test_the_51st_reveal_of_a_day_is_refused_and_the_50th_rings(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_REVEALS_PER_DAY", "5")
    for number in range(5):
        assert not Alarm.objects.exists(), number
        reveals.note(user_id=world.wen.pk, reason="x", by=world.zhou)
    assert Alarm.objects.get().kind == "reveals_many"
    with pytest.raises(Refusal) as refused:
        reveals.note(user_id=world.wen.pk, reason="x", by=world.zhou)
    assert (refused.value.status, refused.value.code, refused.value.extra) == (429, "reveals_limited", {"limit": 5})
    reveals.note(user_id=world.wen.pk, reason="x", by=world.chen)  # somebody else still may
    moved_back(hours=23)
    with pytest.raises(Refusal):
        reveals.note(user_id=world.wen.pk, reason="x", by=world.zhou)
    moved_back(hours=25)
    reveals.note(user_id=world.wen.pk, reason="x", by=world.zhou)
    assert Look.objects.count() == 7 and Alarm.objects.count() == 1


def test_two_browsers_of_one_person_count_each_other(open_world, at_once, monkeypatch):
    monkeypatch.setenv("MINGJIAN_REVEALS_PER_DAY", "3")
    calls = [
        lambda: reveals.note(user_id=open_world.wen.pk, reason="x", by=open_world.zhou) and "seen" for _ in range(8)
    ]
    results = at_once(*calls)
    assert results.count("seen") == 3
    assert all(isinstance(r, Refusal) and r.status == 429 for r in results if r != "seen")
    assert Alarm.objects.filter(kind="reveals_many").count() == 1


def test_the_page_of_searches_says_429_past_the_limit(world, login, monkeypatch):
    monkeypatch.setenv("MINGJIAN_NUMBER_SEARCHES_PER_MINUTE", "2")
    browser = login("zhou")
    for _ in range(2):
        assert browser.post("/users/by-number/", {"number": ID_NUMBER}).status_code == 302
    assert browser.post("/users/by-number/", {"number": ID_NUMBER}).status_code == 429
    assert Alarm.objects.get().kind == "searches_many"


def test_searches_are_limited_while_the_cache_is_away(world, settings, monkeypatch):
    monkeypatch.setenv("MINGJIAN_NUMBER_SEARCHES_PER_MINUTE", "3")
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
    }
    for _ in range(3):
        lookup.find_by_number(number=ID_NUMBER, by=world.zhou)
    with pytest.raises(Refusal) as refused:
        lookup.find_by_number(number=ID_NUMBER, by=world.zhou)
    assert refused.value.status == 429 and refused.value.retry_after == 60
    moved_back(seconds=61)
    lookup.find_by_number(number=ID_NUMBER, by=world.zhou)
    assert AuditEvent.objects.filter(action="user.searched_by_number").count() == 4
    assert Alarm.objects.filter(kind="searches_many").count() == 1  # not once more within the hour


def test_a_frozen_record_is_shown_to_nobody(world):
    User.objects.filter(pk=world.wen.pk).update(frozen_at=Now())
    with pytest.raises(Conflict) as refused:
        identities.reveal_for_decision(identity_id=world.wen.identities.get().pk, reason="x", by=world.zhou)
    assert refused.value.code == "user_frozen" and not Look.objects.exists()


def test_looks_never_change(world):
    reveals.note(user_id=world.wen.pk, reason="x", by=world.zhou)
    for act in (lambda: Look.objects.update(reason="y"), lambda: Look.objects.all().delete()):
        with transaction.atomic(), pytest.raises(DatabaseError):
            act()


def test_those_who_review_see_who_looked_at_whom_and_why(world, login):
    reveals.note(user_id=world.wen.pk, reason="核对身份", by=world.zhou)
    reveals.note(user_id=world.ma.pk, reason="=cmd()", by=world.chen)
    lookup.find_by_number(number=ID_NUMBER, by=world.zhou)
    page = login("he").get("/users/reveals/").content.decode()
    assert "核对身份" in page and "周予" in page and "陈默" in page and "ma" in page
    only = login("he").get(f"/users/reveals/?staff={world.zhou.pk}").content.decode()
    assert "核对身份" in only and "=cmd()" not in only
    weeks = reveals.by_week(by=world.he)
    assert {(row["name"], row["count"]) for row in weeks} == {("周予", 1), ("陈默", 1)}
    assert weeks[0]["week"].weekday() == 0
    with pytest.raises(Forbidden):
        reveals.listed(by=world.zhou)


def test_the_export_is_guarded_and_recorded(world, login):
    reveals.note(user_id=world.wen.pk, reason="=cmd()", by=world.zhou)
    answer = login("he").post("/users/reveals/export/")
    written = b"".join(answer.streaming_content).decode("utf-8-sig")
    assert answer["Content-Type"].startswith("text/csv") and "attachment" in answer["Content-Disposition"]
    assert "'=cmd()" in written and ",=cmd()" not in written
    assert ID_NUMBER not in written
    assert AuditEvent.objects.get(action="reveals.exported").actor == "staff:he"


def test_a_honey_record_rings_in_the_transaction_of_the_look(world):
    honey.plant(service=world.service, count=1, by=world.he)
    somebody = honey.HoneyUser.objects.get().user
    reveals.note(user_id=somebody.pk, reason="好奇", by=world.zhou)
    alarm = alarms.unseen()[0]
    assert (alarm.kind, alarm.actor, alarm.subject) == ("honey_touched", "staff:zhou", f"user:{somebody.pk}")
