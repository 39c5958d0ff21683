"""Separation of duties: what one person never does alone, in one place (issue 3, Build 4)."""

from __future__ import annotations

import pytest

from accounts import emergency, invitations, staff
from accounts.models import Staff
from core import roles
from core.errors import Conflict, Forbidden, Refusal
from moderation import library

WHY = "发布网关起火，值班合规人员联系不上"


@pytest.fixture
def other_admin(world):
    person, _password = staff.create_staff(username="gu", display_name="顾", role="admin", by=world.fang)
    return person


def refused(call, code):
    with pytest.raises(Refusal) as said:
        call()
    assert said.value.code == code


def test_nobody_changes_their_own_role_not_even_to_the_one_they_have(world):
    for role in ("moderator", "admin"):
        refused(lambda role=role: staff.change_role(staff_id=world.fang.pk, role=role, by=world.fang), "own_account")
    world.fang.refresh_from_db()
    assert world.fang.role == "admin"


def test_nobody_closes_or_reopens_their_own_account(world):
    for active in (True, False):
        refused(lambda a=active: staff.set_active(staff_id=world.fang.pk, active=a, by=world.fang), "own_account")


def test_nobody_invites_themselves_to_a_second_account(world):
    Staff.objects.filter(pk=world.fang.pk).update(email="fang@example.cn")
    world.fang.refresh_from_db()
    given = {"display_name": "方", "role": "compliance_officer", "by": world.fang}
    refused(lambda: invitations.invite(username="fang2", email="FANG@example.cn", **given), "own_account")
    refused(lambda: invitations.invite(username="fang", **given), "username_taken")


def test_one_person_has_one_account(world):
    Staff.objects.filter(pk=world.chen.pk).update(email="chen@example.cn")
    given = {"username": "chen2", "display_name": "陈", "role": "senior_moderator", "by": world.fang}
    with pytest.raises(Conflict) as said:
        invitations.invite(email="Chen@example.cn", **given)
    assert said.value.code == "email_taken"
    Staff.objects.filter(pk=world.chen.pk).update(is_active=False)
    assert invitations.invite(email="chen@example.cn", **given)[0].role == "senior_moderator"


def test_nobody_reviews_their_own_emergency_whatever_their_role_became(world, other_admin):
    glass = emergency.take(reason=WHY, by=world.chen)
    emergency.end(emergency_id=glass.pk, by=world.chen)
    chen = staff.change_role(staff_id=world.chen.pk, role="auditor", by=world.fang)
    assert roles.may(chen, "glass.review")
    refused(lambda: emergency.review(emergency_id=glass.pk, text="没有问题", by=chen), "own_emergency")


def test_who_breaks_the_glass_does_not_review_it():
    assert not roles.GRANTS["glass.break"] & roles.GRANTS["glass.review"]


def test_nobody_approves_what_they_proposed(world):
    feature = library.propose(value="一个新词", category="fraud.loan", severity=2, by=world.xu)
    with pytest.raises(Refusal):
        library.approve(feature_id=feature.pk, by=world.xu)
    assert library.approve(feature_id=feature.pk, by=world.chen).state == "active"


def test_who_runs_the_house_decides_nothing_about_people_or_content():
    deciding = {
        "review.work", "review.senior", "feature.approve", "identity.decide", "identity.overturn", "measure.apply",
        "measure.lift", "appeal.decide", "person_request.work", "gate.operate", "document.publish",
    }  # fmt: skip
    for permission in deciding:
        assert not roles.GRANTS[permission] & {roles.ADMIN, roles.AUDITOR}, permission
    assert roles.GRANTS["staff.manage"] == {roles.ADMIN}


def test_two_administrators_who_demote_each_other_leave_one(open_world, at_once):
    world = open_world
    other, _password = staff.create_staff(username="gu", display_name="顾", role="admin", by=world.fang)
    came = at_once(
        lambda: staff.change_role(staff_id=other.pk, role="moderator", by=world.fang),
        lambda: staff.change_role(staff_id=world.fang.pk, role="moderator", by=other),
    )
    assert sorted(type(one).__name__ for one in came) == ["Forbidden", "Staff"]
    assert Staff.objects.filter(role="admin", is_active=True).count() == 1


def test_two_administrators_who_close_each_other_leave_one(open_world, at_once):
    world = open_world
    other, _password = staff.create_staff(username="gu", display_name="顾", role="admin", by=world.fang)
    came = at_once(
        lambda: staff.set_active(staff_id=other.pk, active=False, by=world.fang),
        lambda: staff.change_role(staff_id=world.fang.pk, role="moderator", by=other),
    )
    assert sorted(type(one).__name__ for one in came) == ["Forbidden", "Staff"]
    assert Staff.objects.filter(role="admin", is_active=True).count() == 1


def test_a_right_that_was_lost_while_the_page_was_open_is_lost(world, other_admin):
    stale = Staff.objects.get(pk=other_admin.pk)
    staff.change_role(staff_id=other_admin.pk, role="moderator", by=world.fang)
    with pytest.raises(Forbidden):
        staff.change_role(staff_id=world.lin.pk, role="admin", by=stale)
