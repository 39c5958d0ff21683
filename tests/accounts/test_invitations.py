"""How a colleague gets an account: asked by an administrator, with a password nobody else ever knew (ASVS 6.4.6)."""

from __future__ import annotations

import base64
import json
import logging
import re
from datetime import timedelta

import pytest
from django.core import mail as outgoing
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from accounts import invitations, staff
from accounts.models import Invitation, Staff
from core import crypto, jobs, logs
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent, Job, QuarantinedJob
from core.requests import logged_path
from tests.world import PASSWORD, work

OWN = "a sentence of her own 梅花"


def invite(world, **given):
    return invitations.invite(
        **{"username": "mei", "display_name": "梅", "role": "moderator", "by": world.fang, **given}
    )


def page(token):
    return reverse("invitation", args=[token])


@pytest.fixture
def mail_server(settings):
    """An installation with a mail server; what it sends lies in django.core.mail.outbox."""
    settings.MAIL = "smtp://mail.example.cn"
    settings.PUBLIC_URL = ""


# The command


def test_the_token_has_256_bits_and_only_its_hash_is_kept(world):
    made, token = invite(world)
    assert len(base64.urlsafe_b64decode(token + "=")) == 32
    row = Invitation.objects.filter(pk=made.pk).values().get()
    assert bytes(row["token_hash"]) == crypto.key_hash(token)
    lines = AuditEvent.objects.filter(subject=f"invitation:{made.pk}")
    kept = str(row) + str([(line.data, line.reason, line.subject) for line in lines])
    assert token not in kept and "梅" not in str([line.data for line in lines])
    assert lines.get().action == "staff.invited"
    assert invite(world, username="lan")[1] != token


def test_accepting_makes_the_account_that_was_promised_with_the_persons_own_password(world):
    made, token = invite(world, email="mei@example.cn")
    person = invitations.accept(token=token, password=OWN)
    assert (person.username, person.role, person.display_name, person.email) == (
        "mei", "moderator", "梅", "mei@example.cn",
    )  # fmt: skip
    assert person.check_password(OWN)
    made.refresh_from_db()
    assert made.accepted_at is not None
    line = AuditEvent.objects.get(action="staff.created", subject=f"staff:{person.pk}")
    assert line.actor == "staff:mei"
    accepted = AuditEvent.objects.get(action="invitation.accepted", subject=f"invitation:{made.pk}")
    assert accepted.data == {"invited_by": str(world.fang.pk)}


def test_a_link_works_once(world):
    _made, token = invite(world)
    invitations.accept(token=token, password=OWN)
    with pytest.raises(NotFound) as refused:
        invitations.accept(token=token, password=OWN)
    assert refused.value.code == "invitation_gone"
    assert Staff.objects.filter(username="mei").count() == 1


@pytest.mark.parametrize("password", ["short", "password1234", "meimeimeimei", ""])
def test_a_weak_password_is_refused_and_the_link_stays_good(world, password):
    _made, token = invite(world, username="meimeimei")
    with pytest.raises(Refusal) as refused:
        invitations.accept(token=token, password=password)
    assert (refused.value.status, refused.value.errors[0]["field"]) == (422, "password")
    assert not Staff.objects.filter(username="meimeimei").exists()
    assert invitations.accept(token=token, password=OWN).username == "meimeimei"


def test_its_time_ends_by_the_databases_clock(world):
    made, token = invite(world)
    span = Invitation.objects.filter(pk=made.pk).values_list("expires_at", "created_at").get()
    assert span[0] - span[1] == timedelta(days=7)
    Invitation.objects.filter(pk=made.pk).update(expires_at=Now())
    with pytest.raises(NotFound):
        invitations.accept(token=token, password=OWN)
    assert invitations.find(token) is None and list(invitations.opened()) == []


def test_the_time_is_the_operators(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_INVITATION_DAYS", "1")
    made, _token = invite(world)
    assert made.expires_at - made.created_at == timedelta(days=1)


def test_a_revoked_one_opens_nothing_and_an_accepted_one_cannot_be_revoked(world):
    made, token = invite(world)
    for _again in range(2):
        invitations.revoke(invitation_id=made.pk, by=world.fang)
    assert AuditEvent.objects.filter(action="invitation.revoked").count() == 1
    with pytest.raises(NotFound):
        invitations.accept(token=token, password=OWN)
    made, token = invite(world)
    invitations.accept(token=token, password=OWN)
    with pytest.raises(Conflict):
        invitations.revoke(invitation_id=made.pk, by=world.fang)
    with pytest.raises(NotFound):
        invitations.revoke(invitation_id=uuid7(), by=world.fang)


def test_it_is_worth_as_much_as_the_right_of_who_sent_it_is_now(world):
    """contract.md ruling 7."""
    other, _password = staff.create_staff(username="gu", display_name="顾", role="admin", by=world.fang)
    _made, token = invite(world, by=other)
    staff.change_role(staff_id=other.pk, role="moderator", by=world.fang)
    with pytest.raises(NotFound):
        invitations.accept(token=token, password=OWN)
    staff.change_role(staff_id=other.pk, role="admin", by=world.fang)
    staff.set_active(staff_id=other.pk, active=False, by=world.fang)
    with pytest.raises(NotFound):
        invitations.accept(token=token, password=OWN)


@pytest.mark.parametrize("who", ["lin", "xu", "zhou", "chen", "he"])
def test_only_an_administrator_invites_and_revokes(world, who):
    made, _token = invite(world)
    with pytest.raises(Forbidden):
        invite(world, username="lan", by=world.staff[who])
    with pytest.raises(Forbidden):
        invitations.revoke(invitation_id=made.pk, by=world.staff[who])


def test_emergency_rights_invite_nobody(world):
    world.xu.emergency = uuid7()
    with pytest.raises(Forbidden):
        invite(world, by=world.xu)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"role": "root"}, "role"),
        ({"username": "with space"}, "username"),
        ({"username": ""}, "username"),
        ({"display_name": "x" * 61}, "display_name"),
        ({"email": "nowhere"}, "email"),
    ],
)
def test_what_does_not_fit_is_refused(world, given, field):
    with pytest.raises(Refusal) as refused:
        invite(world, **given)
    assert (refused.value.status, [error["field"] for error in refused.value.errors]) == (422, [field])
    assert not Invitation.objects.exists()


def test_one_open_invitation_a_user_name_and_none_for_one_that_is_taken(world):
    invite(world)
    with pytest.raises(Conflict) as refused:
        invite(world)
    assert refused.value.code == "invitation_open"
    with pytest.raises(Conflict) as refused:
        invite(world, username="lin")
    assert refused.value.code == "username_taken"
    assert Invitation.objects.count() == 1


def test_one_that_ran_out_makes_room_for_the_next(world):
    old, token = invite(world)
    Invitation.objects.filter(pk=old.pk).update(expires_at=Now() - timedelta(hours=1))
    new, _token = invite(world)
    old.refresh_from_db()
    assert old.revoked_at == old.expires_at and new.revoked_at is None
    assert invitations.find(token) is None


def test_the_clock_closes_those_that_ran_out_and_no_others(world):
    old, _token = invite(world)
    fresh, _token = invite(world, username="lan")
    Invitation.objects.filter(pk=old.pk).update(expires_at=Now() - timedelta(hours=1))
    assert (invitations.expire_due(), invitations.expire_due()) == (1, 0)
    assert [row.pk for row in invitations.opened()] == [fresh.pk]
    assert AuditEvent.objects.get(action="invitation.expired").actor == "system:clock"


def test_two_at_once_make_one_account(open_world, at_once):
    _made, token = invite(open_world)
    came = at_once(*[lambda: invitations.accept(token=token, password=OWN)] * 2)
    assert sorted(type(one).__name__ for one in came) == ["NotFound", "Staff"]
    assert Staff.objects.filter(username="mei").count() == 1
    assert AuditEvent.objects.filter(action="invitation.accepted").count() == 1


def test_two_invitations_of_one_user_name_at_once_are_one(open_world, at_once):
    came = at_once(*[lambda: invite(open_world)] * 2)
    assert sorted(type(one).__name__ for one in came) == ["Conflict", "tuple"]


def test_the_database_keeps_it_to_one_open_invitation(world):
    made, _token = invite(world)
    with pytest.raises(IntegrityError), transaction.atomic():
        Invitation.objects.create(
            username="mei", display_name="x", role="admin", token_hash=b"x", invited_by=world.fang,
            expires_at=made.expires_at,
        )  # fmt: skip


# The letter


def test_the_link_is_mailed_and_the_job_holds_no_token_that_could_be_read(world, mail_server):
    made, token = invite(world, email="mei@example.cn", base_url="https://desk.example.cn/")
    job = Job.objects.get(kind="invitation.mail")
    assert (job.subject, token in json.dumps(job.payload), "example.cn" in job.subject) == (str(made.pk), False, False)
    assert "mei@" not in json.dumps(job.payload)
    work()
    [letter] = outgoing.outbox
    assert letter.recipients() == ["mei@example.cn"]
    assert f"https://desk.example.cn{page(token)}" in letter.body
    assert not Job.objects.filter(kind="invitation.mail").exists()


def test_without_a_server_or_an_address_nothing_is_mailed(world, mail_server, settings):
    invite(world)
    settings.MAIL = ""
    invite(world, username="lan", email="lan@example.cn")
    assert not Job.objects.filter(kind="invitation.mail").exists()
    work()
    assert outgoing.outbox == []


def test_one_that_was_revoked_meanwhile_is_not_mailed(world, mail_server):
    made, _token = invite(world, email="mei@example.cn")
    invitations.revoke(invitation_id=made.pk, by=world.fang)
    work()
    assert outgoing.outbox == [] and not Job.objects.filter(kind="invitation.mail").exists()


def test_a_server_that_refuses_is_tried_again_and_says_no_address(world, mail_server, monkeypatch, caplog):
    def refuse(self, fail_silently=False):
        raise OSError("550 mei@example.cn unknown here")

    monkeypatch.setattr(invitations.mail.EmailMessage, "send", refuse)
    invite(world, email="mei@example.cn")
    for _try in range(jobs.TRIES):
        Job.objects.filter(kind="invitation.mail").update(due_at=Now())
        work()
    stopped = QuarantinedJob.objects.get(kind="invitation.mail")
    assert "mei@" not in stopped.error + caplog.text


# The page


def test_a_person_with_the_link_chooses_a_password_and_logs_in(world, login, client):
    fang = login("fang")
    answer = fang.post(
        reverse("staff_invite"), {"username": "mei", "display_name": "梅", "role": "moderator", "email": ""}
    )
    link = re.search(r"data-secret>([^<]+)<", answer.content.decode())[1]
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    assert "data-secret" not in fang.get("/staff/").content.decode()
    path = link.removeprefix("http://testserver")
    seen = client.get(path)
    assert seen.status_code == 200 and "no-store" in seen["Cache-Control"] and seen["Referrer-Policy"] == "no-referrer"
    assert client.post(path, {"password": OWN, "again": OWN + "x"}).status_code == 422
    made = client.post(path, {"password": OWN, "again": OWN})
    assert (made.status_code, made["Location"]) == (302, "/login/")
    signed_in = client.post("/login/", {"username": "mei", "password": OWN})
    assert signed_in.status_code == 302
    assert client.get("/staff/me/sessions/").status_code == 200
    gone = Client().get(path)
    assert gone.status_code == 404 and 'role="alert"' in gone.content.decode()


def test_bad_links_are_all_alike(world):
    made, revoked = invite(world)
    invitations.revoke(invitation_id=made.pk, by=world.fang)
    made, late = invite(world)
    Invitation.objects.filter(pk=made.pk).update(expires_at=Now())
    strip = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"')
    pages = {strip.sub("", Client().get(page(token)).content.decode()) for token in (revoked, late, "x" * 43, "x")}
    assert len(pages) == 1
    for token in (revoked, late, "x" * 43):
        answer = Client().post(page(token), {"password": OWN, "again": OWN})
        assert answer.status_code == 404
    assert not Staff.objects.filter(username="mei").exists()


def test_the_form_needs_its_token_and_other_methods_are_refused(world):
    _made, token = invite(world)
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(page(token), {"password": OWN, "again": OWN}).status_code == 403
    assert Client().put(page(token)).status_code == 405
    assert not Staff.objects.filter(username="mei").exists()


def test_a_weak_password_is_explained_on_the_page(world, client):
    _made, token = invite(world)
    answer = client.post(page(token), {"password": "password1234", "again": "password1234"})
    assert answer.status_code == 422 and "field-error" in answer.content.decode()
    assert "password1234" not in answer.content.decode()


def test_the_token_stands_in_no_line_of_the_log(world, client, caplog):
    _made, token = invite(world)
    with caplog.at_level(logging.INFO):
        client.get(page(token))
        client.post(page(token), {"password": OWN, "again": OWN})
    said = [str(record.msg) for record in caplog.records]
    assert any("/invitation/" in line for line in said)
    assert token not in caplog.text and OWN not in caplog.text


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/invitation/" + "a" * 43 + "/", "/invitation/…/"),
        ("/public/appeal/" + "a-_9" * 12 + "/withdraw/", "/public/appeal/…/withdraw/"),
        ("/users/0192f3a0-1111-7111-8111-111111111111/", "/users/0192f3a0-1111-7111-8111-111111111111/"),
        ("/api/v1/users/wen", "/api/v1/users/wen"),
        ("/" + "b/" * 300, ("/" + "b/" * 300)[:200]),
    ],
)
def test_a_path_is_logged_without_what_opens_it(path, logged):
    assert logged_path(path) == logged


def test_lines_that_others_write_lose_the_token_too():
    line = logs._scrub(None, "", {"event": f"Forbidden (CSRF cookie not set.): {page('a' * 43)}"})
    assert "a" * 43 not in line["event"] and "/invitation/" in line["event"]


def test_old_passwords_are_nobodys(world):
    _made, token = invite(world)
    person = invitations.accept(token=token, password=OWN)
    assert not person.check_password(PASSWORD) and person.password.split("$")[0] in ("md5", "argon2")
