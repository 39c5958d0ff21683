"""The people who work here."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts import staff
from accounts.models import BreakGlass, Invitation, Staff
from core import roles
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent


def test_a_colleague_gets_a_password_that_is_shown_once(world):
    person, password = staff.create_staff(username="mei", display_name="梅", role="moderator", by=world.fang)
    assert len(password) >= 20 and person.check_password(password) and password not in person.password
    line = AuditEvent.objects.get(action="staff.created", subject=f"staff:{person.pk}")
    assert line.actor == "staff:fang" and password not in str(line.data) + line.reason
    assert staff.create_staff(username="mei2", display_name="梅", role="moderator", by=world.fang)[1] != password


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"role": "root"}, "role"),
        ({"password": "short"}, "password"),
        ({"password": "password1234"}, "password"),
        ({"username": "with space"}, "password"),
        ({"username": ""}, "password"),
        ({"display_name": "x" * 61}, "password"),
    ],
)
def test_what_does_not_fit_is_refused(world, given_, field):
    before = Staff.objects.count()
    with pytest.raises(Refusal) as refused:
        staff.create_staff(**{"username": "mei", "display_name": "梅", "role": "moderator", "by": world.fang, **given_})
    assert (refused.value.status, refused.value.errors[0]["field"]) == (422, field)
    assert Staff.objects.count() == before


def test_a_user_name_that_is_taken_is_a_conflict(world):
    with pytest.raises(Conflict) as refused:
        staff.create_staff(username="lin", display_name="林", role="moderator", by=world.fang)
    assert refused.value.code == "username_taken"
    assert Staff.objects.filter(username="lin").count() == 1


@pytest.mark.parametrize("who", ["lin", "xu", "zhou", "chen", "he"])
def test_only_the_administrator_manages_staff(world, who):
    with pytest.raises(Forbidden):
        staff.create_staff(username="mei", display_name="梅", role="admin", by=world.staff[who])
    with pytest.raises(Forbidden):
        staff.set_active(staff_id=world.lin.pk, active=False, by=world.staff[who])


def test_closing_is_recorded_once_and_reopening_too(world):
    for active, action in ((False, "staff.closed"), (True, "staff.opened")):
        for _again in range(2):
            assert staff.set_active(staff_id=world.lin.pk, active=active, by=world.fang).is_active is active
        assert AuditEvent.objects.filter(action=action, subject=f"staff:{world.lin.pk}").count() == 1


def test_nobody_closes_their_own_account_or_one_that_is_not_there(world):
    with pytest.raises(Refusal) as refused:
        staff.set_active(staff_id=world.fang.pk, active=False, by=world.fang)
    assert (refused.value.code, refused.value.status) == ("own_account", 403)
    with pytest.raises(NotFound):
        staff.set_active(staff_id=uuid7(), active=False, by=world.fang)


def test_a_closed_account_has_no_role_and_no_session(world, login):
    lin = login("lin")
    assert lin.get("/users/").status_code == 200
    staff.set_active(staff_id=world.lin.pk, active=False, by=world.fang)
    answer = lin.get("/users/")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/users/")
    world.lin.refresh_from_db()
    assert roles.role_of(world.lin) == ""


def test_two_of_one_name_at_once_make_one_account(open_world, at_once):
    world = open_world
    made = at_once(
        *[lambda: staff.create_staff(username="mei", display_name="梅", role="moderator", by=world.fang)] * 2
    )
    assert sorted(type(m).__name__ for m in made) == ["Conflict", "tuple"]
    assert AuditEvent.objects.filter(action="staff.created", actor="staff:fang").count() == 1


# Roles


def test_a_role_is_changed_once_and_written_down(world):
    for _again in range(2):
        assert staff.change_role(staff_id=world.lin.pk, role="auditor", by=world.fang).role == "auditor"
    line = AuditEvent.objects.get(action="staff.role_changed")
    assert (line.actor, line.subject, line.data) == (
        "staff:fang",
        f"staff:{world.lin.pk}",
        {"from": "moderator", "to": "auditor"},
    )
    assert Staff.objects.get(pk=world.lin.pk).history.latest().role == "auditor"


def test_a_role_that_is_none_and_a_person_that_is_none_are_refused(world):
    with pytest.raises(Refusal) as refused:
        staff.change_role(staff_id=world.lin.pk, role="root", by=world.fang)
    assert (refused.value.status, refused.value.errors[0]["field"]) == (422, "role")
    with pytest.raises(NotFound):
        staff.change_role(staff_id=uuid7(), role="auditor", by=world.fang)
    assert not AuditEvent.objects.filter(action="staff.role_changed").exists()


@pytest.mark.parametrize("who", ["lin", "xu", "zhou", "chen", "he"])
def test_only_the_administrator_changes_roles(world, who):
    with pytest.raises(Forbidden):
        staff.change_role(staff_id=world.bai.pk, role="admin", by=world.staff[who])


def test_roles_are_changed_on_the_page(world, login):
    fang = login("fang")
    assert fang.post(reverse("staff_role", args=[world.lin.pk]), {"role": "auditor"}).status_code == 302
    assert Staff.objects.get(pk=world.lin.pk).role == "auditor"
    own = fang.post(reverse("staff_role", args=[world.fang.pk]), {"role": "auditor"})
    assert own.status_code == 403 and 'role="alert"' in own.content.decode()
    assert fang.post(reverse("staff_role", args=[world.lin.pk]), {"role": "root"}).status_code == 422
    page = fang.get("/staff/").content.decode()
    assert reverse("staff_role", args=[world.lin.pk]) in page
    assert reverse("staff_role", args=[world.fang.pk]) not in page


def test_dangerous_acts_ask_who_one_is_and_do_nothing_before(world, login):
    fang = login("fang")
    session = fang.session
    session["confirmed_at"] = 0
    session.save()
    for name, args, form in (
        ("staff_invite", [], {"username": "mei", "display_name": "梅", "role": "admin"}),
        ("staff_role", [world.lin.pk], {"role": "admin"}),
        ("staff_active", [world.lin.pk], {"active": "0"}),
        ("emergency_take", [], {"reason": "着火了，着火了，着火了"}),
    ):
        answer = fang.post(reverse(name, args=args), form)
        assert answer.status_code == 302 and answer["Location"].startswith(reverse("confirm")), name
    lin = Staff.objects.get(pk=world.lin.pk)
    assert (lin.role, lin.is_active) == ("moderator", True)
    assert not Invitation.objects.exists() and not BreakGlass.objects.exists()


# The command line


def test_the_first_administrator_is_made_on_the_command_line(db):
    told = StringIO()
    call_command("staff", "gu", "--display-name", "顾", stdout=told)
    name, password = told.getvalue().split()
    person = Staff.objects.get(username="gu")
    assert (name, person.role, person.check_password(password)) == ("gu", "admin", True)
    assert AuditEvent.objects.get(action="staff.created", subject=f"staff:{person.pk}").actor == "system:shell"
    with pytest.raises(CommandError):
        call_command("staff", "gu", stdout=told)
