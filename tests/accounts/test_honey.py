"""Honey records look like everybody else, and whoever touches one is seen."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from stdnum.cn import ric

from accounts import honey, identities, lookup, numbers, person_requests, sealing
from accounts.models import HoneyUser, Identity, User
from core.errors import Forbidden, Refusal
from core.models import Alarm, AuditEvent


@pytest.fixture
def planted(world):
    """Five honey users of the service."""
    honey.plant(service=world.service, count=5, by=world.he)
    return list(User.objects.filter(honey__isnull=False))


def number_of(user):
    return sealing.opened(user.identities.get()).number


def test_they_look_like_verified_users_and_belong_to_nobody(world, planted):
    assert len(planted) == 5
    for user in planted:
        identity = user.identities.get()
        opened = sealing.opened(identity)
        assert user.may_publish and identity.state == "verified"
        assert ric.is_valid(opened.number) and numbers.normalise("id_number", opened.number) == opened.number
        assert numbers.birth_of("id_number", opened.number).year < 1909
        assert 2 <= len(opened.name) <= 3
        assert identity.number_masked == numbers.masked(opened.number) and identity.name_masked
        assert user.display_name and user.external_id
    assert len({number_of(user) for user in planted}) == 5


def test_their_ids_have_the_shape_of_the_services_own(world):
    for number in range(60):
        User.objects.create(
            service=world.service, external_id=f"acc-{1000000 + number}-f", kind="person", display_name="x"
        )
    honey.plant(service=world.service, count=4, by=world.he)
    for user in User.objects.filter(honey__isnull=False):
        parts = user.external_id.split("-")
        assert parts[0].isalpha() and len(parts[0]) == 3 and len(parts[1]) == 7 and parts[1].isdigit()


def test_the_ledger_says_how_many_and_never_which(world, planted):
    line = AuditEvent.objects.get(action="honey.planted")
    assert line.data == {"count": 5} and line.subject == f"service:{world.service.pk}"
    for user in planted:
        assert not AuditEvent.objects.filter(subject=f"user:{user.pk}", action__contains="honey").exists()
        assert AuditEvent.objects.filter(subject=f"user:{user.pk}").count() == 3  # as anybody's


def test_no_page_and_no_answer_of_the_api_says_which_they_are(world, api, login, planted):
    user = planted[0]
    page = login("zhou").get(f"/users/{user.pk}/")
    assert page.status_code == 200 and "honey" not in page.content.decode().lower()
    answer = api.get(f"users/{user.external_id}")
    assert answer.status_code == 200 and "honey" not in answer.content.decode().lower()


def test_only_the_auditor_plants(world):
    for person in (world.zhou, world.chen, world.fang):
        with pytest.raises(Forbidden):
            honey.plant(service=world.service, count=1, by=person)
    for count in (0, -1, honey.MOST_AT_ONCE + 1):
        with pytest.raises(Refusal):
            honey.plant(service=world.service, count=count, by=world.he)
    assert not HoneyUser.objects.exists()


def test_whoever_reveals_one_is_seen(world, planted):
    assert not Alarm.objects.exists()
    identities.reveal_for_decision(identity_id=planted[0].identities.get().pk, reason="x", by=world.zhou)
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.actor, alarm.detail) == ("honey_touched", "staff:zhou", "reveal")


def test_whoever_searches_for_one_is_seen(world, planted):
    lookup.find_by_number(number=number_of(planted[1]), by=world.lin)
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.actor, alarm.subject) == ("honey_touched", "staff:lin", f"user:{planted[1].pk}")


def test_whoever_has_its_data_gathered_is_seen(world, planted):
    request, _created = person_requests.receive(user=planted[2], kind="copy", by="client:t")
    assert not Alarm.objects.exists()
    person_requests.make_bundle(request_id=request.pk, by=world.chen)
    assert Alarm.objects.get().actor == "staff:chen"


def test_other_users_ring_nothing(world, planted):
    identities.reveal_for_decision(identity_id=world.wen.identities.get().pk, reason="x", by=world.zhou)
    lookup.find_by_number(number="13800138000", by=world.lin)
    assert not Alarm.objects.exists()


def test_the_command_plants(world):
    out = StringIO()
    call_command("plant_honey", "--service", "tuyan", "--count", "3", "--by", "he", stdout=out)
    assert "3 planted" in out.getvalue() and HoneyUser.objects.count() == 3


def test_planting_asks_no_outside_service_anything(world, monkeypatch):
    """The numbers of honey records must not be sent to anybody who could look them up."""
    import socket

    def never(*_given, **_named):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", never)
    honey.plant(service=world.service, count=1, by=world.he)
    identity = Identity.objects.get(user__honey__isnull=False)
    assert identity.check_state == "match"
