"""A second look at rejections: two people beside the rejecter, and the database holds it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts import identities, overturns, users
from accounts.models import Identity, Staff
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent, OutboxEvent
from tests.world import ID_NUMBER

PAGE = "/users/verification/second-look/"


@pytest.fixture(autouse=True)
def any_number_of_accounts(monkeypatch):
    """All of these hand in the same number."""
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "0")


@pytest.fixture
def qi(world):
    return admin(world, "qi")


@pytest.fixture
def lu(world):
    return admin(world, "lu")


def admin(world, name):
    """One more identity admin."""
    world.staff[name] = Staff.objects.create(
        username=name, display_name=f"同事{name}", role="identity_admin", password="!"
    )
    return world.staff[name]


def rejected(world, user=None):
    """Liu's identity, rejected by Zhou."""
    identity = identities.submit(
        user=user or world.liu, method="id_number", number=ID_NUMBER, name="某名", by="client:test"
    )
    return identities.reject(identity_id=identity.pk, reason="看不清", by=world.zhou)


def approve(identity, by):
    return overturns.approve(
        identity_id=identity.pk, seen=Identity.objects.values_list("overturn_at", flat=True).get(pk=identity.pk), by=by
    )


def test_a_rejection_is_overturned_by_a_third_person(world, qi, lu):
    identity = rejected(world)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    done = approve(identity, lu)
    done.refresh_from_db()
    world.liu.refresh_from_db()
    assert (done.state, done.decided_by, done.rejected_by, done.overturn_by) == ("verified", lu, world.zhou, qi)
    assert world.liu.identity_status == "verified" and world.liu.may_publish
    assert done.expires_at is not None
    assert OutboxEvent.objects.filter(topic="internal.user_may_publish", subject=str(world.liu.pk)).exists()
    told = list(
        AuditEvent.objects.filter(subject=f"user:{world.liu.pk}", action__startswith="identity.overturn")
        .order_by("id")
        .values_list("action", "actor", "reason")
    )
    assert told == [
        ("identity.overturn_proposed", "staff:qi", "照片清楚"),
        ("identity.overturned", "staff:lu", "照片清楚"),
    ]
    line = AuditEvent.objects.get(action="identity.overturn", subject=f"identity:{identity.pk}")
    assert line.data["from"] == "rejected" and line.data["to"] == "verified"


def test_neither_rejecter_nor_proposer_carries_it_out(world, qi, lu):
    identity = rejected(world)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    for person in (world.zhou, qi):
        with pytest.raises(Forbidden):
            approve(identity, person)
    overturns.decline(
        identity_id=identity.pk, reason="再看", seen=Identity.objects.get(pk=identity.pk).overturn_at, by=lu
    )
    overturns.propose(identity_id=identity.pk, reason="我看错了", by=world.zhou)  # the rejecter may propose
    with pytest.raises(Forbidden):
        approve(identity, world.zhou)
    assert approve(identity, qi).state == "verified"


def test_the_database_refuses_what_the_command_forgot(world, qi, lu):
    identity = rejected(world)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    for person in (world.zhou, qi):
        with pytest.raises(IntegrityError, match="only_another_person_overturns_a_rejection"), transaction.atomic():
            Identity.objects.filter(pk=identity.pk).update(state="verified", decided_by=person)
    with pytest.raises(IntegrityError), transaction.atomic():
        Identity.objects.filter(pk=identity.pk).update(state="verified", decided_by=lu, overturn_by=None)


def test_a_proposal_needs_a_reason_a_rejection_and_nobody_before(world, qi, lu):
    identity = rejected(world)
    with pytest.raises(Refusal):
        overturns.propose(identity_id=identity.pk, reason="  ", by=qi)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    with pytest.raises(Conflict):
        overturns.propose(identity_id=identity.pk, reason="我也觉得", by=lu)
    with pytest.raises(Conflict):
        overturns.propose(identity_id=world.wen.identities.get().pk, reason="x", by=qi)  # verified
    with pytest.raises(NotFound):
        overturns.propose(identity_id=uuid7(), reason="x", by=qi)


def test_nothing_is_carried_out_that_is_not_proposed(world, qi):
    identity = rejected(world)
    with pytest.raises(Conflict) as refused:
        overturns.approve(identity_id=identity.pk, seen=identity.submitted_at, by=qi)
    assert refused.value.code == "not_proposed"


@pytest.mark.parametrize("verified", [False, True])
def test_a_newer_proof_of_the_user_comes_first(world, qi, lu, verified):
    identity, other = rejected(world), rejected(world, world.qian)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    for user in (world.liu, world.qian):
        newer = identities.submit(user=user, method="id_number", number=ID_NUMBER, name="某名", by="client:test")
        if verified:
            identities.verify(identity_id=newer.pk, by=world.zhou)
    with pytest.raises(Conflict):
        approve(identity, lu)
    with pytest.raises(Conflict):
        overturns.propose(identity_id=other.pk, reason="照片清楚", by=qi)
    identity.refresh_from_db()
    assert identity.state in ("rejected", "replaced")


def test_a_declined_proposal_leaves_the_rejection_and_its_line(world, qi, lu):
    identity = rejected(world)
    proposed = overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    with pytest.raises(Refusal):
        overturns.decline(identity_id=identity.pk, reason=" ", seen=proposed.overturn_at, by=lu)
    with pytest.raises(Forbidden):  # nobody judges a proposal against their own rejection
        overturns.decline(identity_id=identity.pk, reason="我没错", seen=proposed.overturn_at, by=world.zhou)
    overturns.decline(identity_id=identity.pk, reason="确实不清", seen=proposed.overturn_at, by=lu)
    identity.refresh_from_db()
    assert (identity.state, identity.overturn_by, identity.overturn_at) == ("rejected", None, None)
    assert AuditEvent.objects.get(action="identity.overturn_declined").reason == "确实不清"
    withdrawn = overturns.propose(identity_id=identity.pk, reason="再提", by=qi)
    overturns.decline(identity_id=identity.pk, reason="撤回", seen=withdrawn.overturn_at, by=qi)  # one's own
    with pytest.raises(Conflict):
        overturns.decline(identity_id=identity.pk, reason="撤回", seen=withdrawn.overturn_at, by=qi)


def test_what_is_carried_out_is_the_proposal_that_was_read(world, qi, lu):
    identity = rejected(world)
    first = overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    overturns.decline(identity_id=identity.pk, reason="撤回", seen=first.overturn_at, by=qi)
    Identity.objects.filter(pk=identity.pk).update(
        overturn_by=qi, overturn_at=first.overturn_at + timedelta(seconds=1), overturn_reason="换了理由"
    )
    for act in (
        lambda: overturns.approve(identity_id=identity.pk, seen=first.overturn_at, by=lu),
        lambda: overturns.decline(identity_id=identity.pk, reason="x", seen=first.overturn_at, by=lu),
    ):
        with pytest.raises(Conflict) as refused:
            act()
        assert refused.value.code == "proposal_changed"


@pytest.mark.parametrize("name", ["lin", "xu", "chen", "he", "fang"])
def test_other_roles_have_no_part_in_it(world, qi, name):
    identity = rejected(world)
    person = world.staff[name]
    with pytest.raises(Forbidden):
        overturns.propose(identity_id=identity.pk, reason="x", by=person)
    seen = overturns.propose(identity_id=identity.pk, reason="x", by=qi).overturn_at
    for act in (
        lambda: overturns.approve(identity_id=identity.pk, seen=seen, by=person),
        lambda: overturns.decline(identity_id=identity.pk, reason="x", seen=seen, by=person),
        lambda: overturns.reveal(identity_id=identity.pk, reason="x", by=person),
    ):
        with pytest.raises(Forbidden):
            act()
    assert not overturns.may_look(Identity.objects.get(pk=identity.pk), person)


def test_two_who_approve_at_once_are_one_decision(open_world, at_once):
    qi, lu, mo = (admin(open_world, name) for name in ("qi", "lu", "mo"))
    identity = rejected(open_world)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    results = at_once(lambda: approve(identity, lu), lambda: approve(identity, mo))
    assert sum(isinstance(result, Identity) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 1, results
    assert AuditEvent.objects.filter(action="identity.overturned").count() == 1


def test_a_new_proof_at_the_moment_of_approval_leaves_one_that_counts(open_world, at_once):
    qi, lu = (admin(open_world, name) for name in ("qi", "lu"))
    identity = rejected(open_world)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    approved, newer = at_once(
        lambda: approve(identity, lu),
        lambda: identities.submit(
            user=open_world.liu, method="id_number", number=ID_NUMBER, name="新名", by="client:test"
        ),
    )
    assert isinstance(newer, Identity), newer
    assert isinstance(approved, Identity | Conflict), approved
    assert list(open_world.liu.identities.filter(state__in=["pending", "verified"])) == [newer]


# The page


def test_a_page_to_propose_and_to_carry_out(world, login, qi, lu):
    identity = rejected(world)
    proposer = login("qi")
    page = proposer.get(PAGE).content.decode()
    assert f'action="{reverse("overturn_propose", args=[identity.pk])}"' in page and ID_NUMBER not in page
    refused = proposer.post(reverse("overturn_propose", args=[identity.pk]), {"reason": ""})
    assert refused.status_code == 422 and 'role="alert"' in refused.content.decode()
    assert proposer.post(reverse("overturn_propose", args=[identity.pk]), {"reason": "照片清楚"}).status_code == 302
    page = proposer.get(PAGE).content.decode()
    assert 'data-action="approve"' not in page and 'data-action="decline"' in page  # may withdraw what is their own
    rejecter = login("zhou").get(PAGE).content.decode()
    assert 'data-action="approve"' not in rejecter and 'data-action="decline"' not in rejecter

    third = login("lu")
    page = third.get(PAGE).content.decode()
    assert "照片清楚" in page and "看不清" in page
    seen = re.search(r'approve/"[^>]*>.*?name="seen" value="([^"]+)"', page, re.S)[1]
    address = reverse("overturn_approve", args=[identity.pk])
    assert third.post(address, {"seen": "2026-01-01T00:00:00Z"}).status_code == 409
    assert third.post(address, {"seen": "nonsense"}).status_code == 422
    assert proposer.post(address, {"seen": seen}).status_code == 403
    assert third.post(address, {"seen": seen}).status_code == 302
    identity.refresh_from_db()
    assert identity.state == "verified"
    assert third.post(address, {"seen": seen}).status_code == 409


def test_declining_on_the_page(world, login, qi, lu):
    identity = rejected(world)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    browser = login("lu")
    seen = re.search(r'name="seen" value="([^"]+)"', browser.get(PAGE).content.decode())[1]
    address = reverse("overturn_decline", args=[identity.pk])
    assert browser.post(address, {"seen": seen, "reason": ""}).status_code == 422
    assert browser.post(address, {"seen": seen, "reason": "确实不清"}).status_code == 302
    assert "empty-state" in browser.get(PAGE).content.decode()


def test_a_reveal_in_the_second_look_is_for_whoever_may_carry_it_out(world, login, qi, lu):
    identity = rejected(world)
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    address = reverse("overturn_reveal", args=[identity.pk])
    assert ID_NUMBER not in login("lu").get(PAGE).content.decode()
    shown = login("lu").post(address, {"reason": "复核"})
    assert shown.status_code == 200 and shown.content.decode().count(ID_NUMBER) == 1
    assert "no-store" in shown["Cache-Control"]
    for name in ("zhou", "qi"):
        refused = login(name).post(address, {"reason": "复核"})
        assert refused.status_code == 403 and ID_NUMBER not in refused.content.decode()
    lines = AuditEvent.objects.filter(action="identity.revealed", subject=f"user:{world.liu.pk}")
    assert [line.actor for line in lines] == ["staff:lu"]


def test_the_page_costs_the_same_however_many_were_rejected(world, login, qi, django_assert_max_num_queries):
    browser = login("qi")
    for number in range(33):
        user, _new = users.register(
            service=world.service, external_id=f"r{number}", kind="person", display_name="某", by="client:test"
        )
        identity = rejected(world, user)
        if number % 3 == 0:
            overturns.propose(identity_id=identity.pk, reason="照片清楚", by=qi)
    browser.get(PAGE)
    with django_assert_max_num_queries(24):
        page = browser.get(PAGE).content.decode()
    assert page.count("/propose/") == 20 and "before=" in page
    older = re.search(r'href="([^"]*before=[^"]+)"', page)[1]
    assert browser.get(PAGE + older.replace("&amp;", "&")).status_code == 200
