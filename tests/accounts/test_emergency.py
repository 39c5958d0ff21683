"""Emergency rights: taken with a reason, told to everybody, marked in the ledger, over at once, reviewed by another."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.urls import reverse

from accounts import emergency, staff
from accounts.models import BreakGlass
from core import audit, gates, options, roles
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import Alarm, AuditEvent, Gate

WHY = "发布网关起火，值班合规人员联系不上"


def take(by, reason=WHY):
    return emergency.take(reason=reason, by=by)


def over(glass):
    """As if its time had run out."""
    BreakGlass.objects.filter(pk=glass.pk).update(until=Now() - timedelta(seconds=1))


# The command


def test_taking_them_writes_rings_and_lasts_as_long_as_the_operator_says(world):
    glass = take(world.fang)
    assert glass.until - glass.started_at == timedelta(seconds=options.option("glass_open"))
    line = AuditEvent.objects.get(action="glass.broken")
    assert (line.actor, line.subject, line.reason) == ("staff:fang", f"emergency:{glass.pk}", WHY)
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.subject, alarm.actor, alarm.seen_at) == ("glass_broken", line.subject, "staff:fang", None)


@pytest.mark.parametrize("who", ["xu", "chen", "fang"])
def test_who_may_break_the_glass(world, who):
    assert take(world.staff[who]).staff_id == world.staff[who].pk


@pytest.mark.parametrize("who", ["lin", "zhou", "he"])
def test_who_may_not(world, who):
    with pytest.raises(Forbidden):
        take(world.staff[who])
    assert not BreakGlass.objects.exists() and not Alarm.objects.exists()


@pytest.mark.parametrize("reason", ["", "   ", "着火了", " 123456789 "])
def test_a_reason_that_says_nothing_is_refused(world, reason):
    with pytest.raises(Refusal) as refused:
        take(world.fang, reason)
    assert (refused.value.status, refused.value.errors[0]["field"]) == (422, "reason")
    assert not Alarm.objects.exists() and not roles.may(world.fang, "gate.operate")


def test_one_at_a_time_and_another_when_it_is_over(world):
    first = take(world.fang)
    with pytest.raises(Conflict):
        take(world.fang)
    over(first)
    second = take(world.fang)
    first.refresh_from_db()
    assert first.ended_at == first.until and second.ended_at is None
    assert AuditEvent.objects.filter(action="glass.closed", subject=f"emergency:{first.pk}").count() == 1


def test_two_requests_at_once_are_one_emergency(open_world, at_once):
    came = at_once(*[lambda: take(open_world.fang)] * 2)
    assert sorted(type(one).__name__ for one in came) == ["BreakGlass", "Conflict"]
    assert Alarm.objects.filter(kind="glass_broken").count() == 1


def test_what_is_done_with_it_is_marked_in_the_ledger_and_what_came_before_is_not(world):
    with transaction.atomic():
        audit.record(action="x.before", subject="x:1", by=world.fang)
    glass = take(world.fang)
    gates.close_gate(capability="release", directive="急1", by=world.fang)
    emergency.end(emergency_id=glass.pk, by=world.fang)
    with transaction.atomic():
        audit.record(action="x.after", subject="x:1", by=world.fang)
    assert [line.action for line in emergency.acts(glass)] == ["gate.closed"]
    assert AuditEvent.objects.get(action="gate.closed").data["emergency"] == str(glass.pk)
    for action in ("x.before", "x.after"):
        assert "emergency" not in AuditEvent.objects.get(action=action).data


def test_ending_is_for_all_who_see_it_and_once(world):
    glass = take(world.fang)
    with pytest.raises(Forbidden):
        emergency.end(emergency_id=glass.pk, by=world.lin)
    for _again in range(2):
        assert emergency.end(emergency_id=glass.pk, by=world.he).ended_at is not None
    assert AuditEvent.objects.get(action="glass.closed").actor == "staff:he"
    with pytest.raises(NotFound):
        emergency.end(emergency_id=uuid7(), by=world.he)


def test_the_clock_closes_what_is_over_and_nothing_else(world):
    glass, other = take(world.fang), take(world.chen)
    over(glass)
    assert (emergency.expire_due(), emergency.expire_due()) == (1, 0)
    glass.refresh_from_db()
    other.refresh_from_db()
    assert glass.ended_at == glass.until and other.ended_at is None


def test_one_ended_after_its_time_ended_with_its_time(world):
    glass = take(world.fang)
    over(glass)
    glass = emergency.end(emergency_id=glass.pk, by=world.he)
    assert glass.ended_at == glass.until


# The review


def test_a_review_is_written_once_by_somebody_else_when_it_is_over(world):
    glass = take(world.fang)
    assert list(emergency.unreviewed()) == []
    with pytest.raises(Conflict):
        emergency.review(emergency_id=glass.pk, text="看过", by=world.he)
    emergency.end(emergency_id=glass.pk, by=world.fang)
    assert [row.pk for row in emergency.unreviewed()] == [glass.pk]
    with pytest.raises(Refusal):
        emergency.review(emergency_id=glass.pk, text="  ", by=world.he)
    done = emergency.review(emergency_id=glass.pk, text="必要且适度", by=world.he)
    assert (done.reviewed_by_id, done.review) == (world.he.pk, "必要且适度")
    assert list(emergency.unreviewed()) == []
    with pytest.raises(Conflict):
        emergency.review(emergency_id=glass.pk, text="再看", by=world.he)


def test_one_whose_time_ran_out_can_be_reviewed_before_the_clock_wrote_it_down(world):
    glass = take(world.fang)
    over(glass)
    assert [row.pk for row in emergency.unreviewed()] == [glass.pk]
    assert emergency.review(emergency_id=glass.pk, text="看过了", by=world.he).ended_at is not None


@pytest.mark.parametrize("who", ["lin", "xu", "zhou", "chen", "fang"])
def test_only_reviewers_review(world, who):
    glass = take(world.chen)
    emergency.end(emergency_id=glass.pk, by=world.chen)
    with pytest.raises(Forbidden):
        emergency.review(emergency_id=glass.pk, text="看过", by=world.staff[who])


def test_two_reviews_at_once_are_one(open_world, at_once):
    world = open_world
    glass = take(world.fang)
    emergency.end(emergency_id=glass.pk, by=world.fang)
    came = at_once(*[lambda: emergency.review(emergency_id=glass.pk, text="看过了", by=world.he)] * 2)
    assert sorted(type(one).__name__ for one in came) == ["BreakGlass", "Conflict"]


def test_the_database_holds_the_rules_itself(world):
    glass = take(world.fang)
    with pytest.raises(IntegrityError), transaction.atomic():
        BreakGlass.objects.create(staff=world.fang, reason="又一次", until=Now())
    with pytest.raises(IntegrityError), transaction.atomic():
        BreakGlass.objects.filter(pk=glass.pk).update(reviewed_by=world.fang)
    with pytest.raises(IntegrityError), transaction.atomic():
        BreakGlass.objects.create(staff=world.chen, reason="", until=Now())


# In the browser


def test_rights_begin_and_end_at_once(world, login):
    fang = login("fang")
    shut = {"capability": "release", "directive": "急1"}
    assert fang.post(reverse("gate_close"), shut).status_code == 403
    assert fang.post(reverse("emergency_take"), {"reason": WHY}).status_code == 302
    assert fang.post(reverse("gate_close"), shut).status_code == 302
    assert fang.get("/users/").status_code == 200
    glass = BreakGlass.objects.get()
    marked = AuditEvent.objects.get(action="gate.closed")
    assert (marked.actor, marked.data["emergency"]) == ("staff:fang", str(glass.pk))
    assert fang.post(reverse("emergency_end", args=[glass.pk])).status_code == 302
    assert fang.post(reverse("gate_open", args=[Gate.objects.get().pk])).status_code == 403
    assert fang.get("/users/").status_code == 403


def test_rights_end_with_their_time_on_the_next_request(world, login):
    fang = login("fang")
    take(world.fang)
    assert fang.get("/users/").status_code == 200
    over(BreakGlass.objects.get())
    assert fang.get("/users/").status_code == 403


def test_rights_are_those_of_the_person_in_every_browser_and_of_nobody_else(world, login):
    take(world.fang)
    assert login("fang").get("/users/").status_code == 200
    other, _password = staff.create_staff(username="gu", display_name="顾", role="admin", by=world.fang)
    world.staff["gu"] = other
    assert login("gu").get("/users/").status_code == 403


def test_they_never_reach_what_is_kept_apart(world, login):
    fang = login("fang")
    take(world.fang)
    identity = world.wen.identities.get()
    for name, args in (("verification_decide", [identity.pk]), ("verification_reveal", [identity.pk])):
        assert fang.post(reverse(name, args=args), {"outcome": "verify", "reason": "急"}).status_code in (403, 404)
    chen = login("chen")
    take(world.chen)
    assert (
        chen.post(reverse("staff_invite"), {"username": "x", "display_name": "x", "role": "admin"}).status_code == 403
    )
    assert chen.post(reverse("staff_role", args=[world.lin.pk]), {"role": "admin"}).status_code == 403


def test_a_changed_role_or_a_closed_account_ends_them(world):
    glass, other = take(world.chen), take(world.xu)
    staff.change_role(staff_id=world.chen.pk, role="moderator", by=world.fang)
    staff.set_active(staff_id=world.xu.pk, active=False, by=world.fang)
    for one in (glass, other):
        one.refresh_from_db()
        assert one.ended_at is not None


@pytest.mark.parametrize("who", ["lin", "zhou", "he", "chen"])
def test_everybody_reads_who_until_when_and_why_on_every_page_while_it_lasts(world, login, who):
    browser = login(who)
    assert WHY not in browser.get("/").content.decode()
    glass = take(world.fang)
    page = browser.get("/").content.decode()
    assert WHY in page and "方知" in page and "banner-bad" in page
    emergency.end(emergency_id=glass.pk, by=world.fang)
    assert WHY not in browser.get("/").content.decode()


def test_reviewers_are_reminded_until_somebody_reviewed(world, login):
    he = login("he")
    glass = take(world.fang)
    gates.close_gate(capability="release", directive="急1", by=world.fang)
    emergency.end(emergency_id=glass.pk, by=world.fang)
    reminder = reverse("emergencies")
    banner = he.get("/").content.decode().split("<main")[0]
    assert f'href="{reminder}"' in banner.split('class="banner')[-1]
    page = he.get(reminder).content.decode()
    assert WHY in page and "gate.closed" in page
    assert he.post(reverse("emergency_review", args=[glass.pk]), {"text": ""}).status_code == 422
    assert he.post(reverse("emergency_review", args=[glass.pk]), {"text": "必要且适度"}).status_code == 302
    page = he.get(reminder).content.decode()
    assert "必要且适度" in page and reverse("emergency_review", args=[glass.pk]) not in page


def test_a_short_reason_is_refused_on_the_page(world, login):
    answer = login("fang").post(reverse("emergency_take"), {"reason": "急"})
    assert answer.status_code == 422 and 'role="alert"' in answer.content.decode()


def test_hostile_reasons_stay_text(world, login):
    take(world.fang, "<script>alert(1)</script> 着火了着火了")
    for address in ("/", reverse("emergencies")):
        assert "<script>alert" not in login("he").get(address).content.decode()
