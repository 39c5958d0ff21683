"""Alarms: rung in the transaction of what set them off, shown until somebody looked, told by e-mail."""

from __future__ import annotations

import json

import pytest
from django.core import mail as outgoing
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import emergency
from accounts.models import Staff
from core import alarms, mail
from core.context import badge_counts
from core.errors import Forbidden, NotFound
from core.ids import uuid7
from core.models import Alarm, AuditEvent, Job, OutboxEvent
from tests.world import work


def ring(kind="guessing", subject="staff:1", detail="八次"):
    with transaction.atomic():
        return alarms.ring(kind=kind, subject=subject, by="system:test", detail=detail)


@pytest.fixture
def addressed(world, settings):
    """A house with a mail server, in which some have an address."""
    settings.MAIL = "smtp://mail.example.cn"
    settings.PUBLIC_URL = "https://desk.example.cn"
    for name in ("lin", "chen", "he", "fang"):
        Staff.objects.filter(username=name).update(email=f"{name}@example.cn")
    Staff.objects.filter(username="he").update(is_active=False)
    return world


def test_an_alarm_is_written_with_its_line_and_its_news_or_not_at_all(world):
    alarm = ring()
    assert AuditEvent.objects.get(action="alarm.guessing").subject == "staff:1"
    assert OutboxEvent.objects.filter(topic="internal.alarm", subject=str(alarm.pk)).count() == 1

    class Broken(Exception):
        pass

    with pytest.raises(Broken), transaction.atomic():
        ring(subject="staff:2")
        raise Broken
    assert Alarm.objects.count() == 1
    with pytest.raises(KeyError):
        ring(kind="no_such_kind")


def test_looking_takes_it_off_the_pages_and_keeps_who(world):
    alarm = ring()
    assert [one.pk for one in alarms.unseen()] == [alarm.pk]
    for by in (world.chen, world.he):
        assert alarms.saw(alarm_id=alarm.pk, by=by).seen_by == "staff:chen"
    assert alarms.unseen() == []
    assert AuditEvent.objects.filter(action="alarm.seen").count() == 1
    with pytest.raises(NotFound):
        alarms.saw(alarm_id=uuid7(), by=world.chen)


@pytest.mark.parametrize("who", ["lin", "xu", "zhou"])
def test_only_those_who_see_alarms_can_say_that_they_looked(world, who):
    with pytest.raises(Forbidden):
        alarms.saw(alarm_id=ring().pk, by=world.staff[who])


# The page and the line above all pages


@pytest.mark.parametrize(
    ("who", "shown"), [("chen", True), ("he", True), ("fang", True), ("lin", False), ("zhou", False)]
)
def test_those_whom_it_concerns_are_told_above_every_page(world, login, who, shown):
    ring()
    head = login(who).get("/").content.decode().split("<main")[0]
    assert (reverse("alarms") in head) is shown


def test_the_page_lists_and_the_button_says_that_one_looked(world, login):
    alarm = ring(detail="<b>八次</b>")
    chen = login("chen")
    page = chen.get(reverse("alarms")).content.decode()
    assert "&lt;b&gt;八次" in page and reverse("alarm_saw", args=[alarm.pk]) in page
    assert chen.post(reverse("alarm_saw", args=[alarm.pk])).status_code == 302
    page = chen.get(reverse("alarms")).content.decode()
    assert reverse("alarm_saw", args=[alarm.pk]) not in page and "staff:chen" in page
    assert chen.post(reverse("alarm_saw", args=[uuid7()])).status_code == 404
    assert chen.get(reverse("alarms"), {"before": "nonsense"}).status_code == 200


def test_a_quiet_house_pays_one_query_for_session_alarms_and_emergencies(world, login):
    he = login("he")
    he.get(reverse("my_sessions"))

    def cost():
        badge_counts()  # the rail's numbers are shared by everybody for some seconds
        with CaptureQueriesContext(connection) as seen:
            he.get(reverse("my_sessions"))
        return [query["sql"] for query in seen]

    quiet = cost()
    assert sum("accounts/session_state" in sql for sql in quiet) == 1
    assert not any("core_alarm" in sql or "breakglass" in sql for sql in quiet)
    for number in range(30):
        ring(subject=f"staff:{number}")
    assert len(cost()) == len(quiet)
    emergency.take(reason="着火了，着火了，着火了", by=world.fang)
    assert len(cost()) == len(quiet) + 1


# E-mail


def test_those_who_see_alarms_are_told_by_mail_without_learning_each_others_address(addressed):
    alarm = ring(subject="user:4711", detail="内部说明")
    work_and_relay()
    [letter] = outgoing.outbox
    assert sorted(letter.recipients()) == ["chen@example.cn", "fang@example.cn"]
    assert letter.to == [] and letter.cc == []
    assert "https://desk.example.cn/staff/alarms/" in letter.body
    for kept_back in ("user:4711", "内部说明", str(alarm.pk)):
        assert kept_back not in letter.body + letter.subject


def test_broken_glass_is_told_to_everybody_on_duty(addressed):
    emergency.take(reason="着火了，着火了，着火了", by=addressed.fang)
    work_and_relay()
    [letter] = outgoing.outbox
    assert sorted(letter.recipients()) == ["chen@example.cn", "fang@example.cn", "lin@example.cn"]
    assert "staff:fang" in letter.body and "着火" not in letter.body


def test_without_a_mail_server_the_job_just_ends(world, settings):
    settings.MAIL = ""
    ring()
    work_and_relay()
    assert outgoing.outbox == [] and not Job.objects.filter(kind="alarm.mail").exists()


def test_an_alarm_that_somebody_looked_at_meanwhile_needs_no_letter(addressed):
    alarms.saw(alarm_id=ring().pk, by=addressed.chen)
    work_and_relay()
    assert outgoing.outbox == []


def test_the_job_and_the_news_carry_an_id_and_nothing_else(addressed):
    alarm = ring(subject="user:4711", detail="内部说明")
    event = OutboxEvent.objects.get(topic="internal.alarm")
    relay()
    job = Job.objects.get(kind="alarm.mail")
    assert job.subject == str(alarm.pk)
    assert "内部" not in json.dumps([event.payload, job.payload], ensure_ascii=False)


def test_a_mail_server_that_is_away_is_tried_again(addressed, monkeypatch):
    real, tries = mail.EmailMessage.send, []

    def flaky(self, fail_silently=False):
        tries.append(self)
        if len(tries) == 1:
            raise ConnectionRefusedError
        return real(self, fail_silently)

    monkeypatch.setattr(mail.EmailMessage, "send", flaky)
    ring()
    work_and_relay()
    assert outgoing.outbox == [] and Job.objects.filter(kind="alarm.mail").exists()
    Job.objects.filter(kind="alarm.mail").update(due_at=Alarm.objects.get().raised_at)
    work()
    assert len(outgoing.outbox) == 1 and not Job.objects.filter(kind="alarm.mail").exists()


def test_many_addresses_go_out_in_several_letters(settings):
    assert mail.send(to=[f"a{n}@example.cn" for n in range(120)] + ["", "a1@example.cn"], subject="x", text="y") == 120
    assert sorted(len(letter.bcc) for letter in outgoing.outbox) == [20, 50, 50]


def relay():
    from core import outbox

    while outbox.relay():
        pass


def work_and_relay():
    relay()
    work()
