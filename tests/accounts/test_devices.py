"""Devices by keyed digest, and who shares one."""

from __future__ import annotations

import pytest
from django.db import transaction

from accounts import devices, users
from accounts.models import UserDevice
from core.ids import uuid7

DEVICE = "A1B2-C3D4-E5F6"


def seen(user, device=DEVICE):
    with transaction.atomic():
        devices.seen(user=user, device=device)


def test_a_device_is_kept_once_as_a_digest_and_its_last_sight_moves_on(world):
    seen(world.wen)
    first = UserDevice.objects.get()
    seen(world.wen, f" {DEVICE} ")
    again = UserDevice.objects.get()
    assert (again.pk, again.first_seen) == (first.pk, first.first_seen) and again.last_seen > first.last_seen
    assert len(again.digest) == 32 and DEVICE.encode() not in bytes(again.digest)


def test_four_sights_at_once_are_one_device(open_world, at_once):
    assert at_once(*[lambda: seen(open_world.wen)] * 4) == [None] * 4
    assert UserDevice.objects.count() == 1


def test_those_who_share_a_device_are_found_across_services(world):
    assert list(devices.sharing(world.wen, most=5)) == []
    seen(world.wen)
    seen(world.wen, "another")
    seen(world.ma)
    seen(world.ma, "another")
    seen(world.liu, "third")
    assert [user.external_id for user in devices.sharing(world.wen, most=5)] == ["ma"]
    assert [user.external_id for user in devices.sharing(world.ma, most=5)] == ["wen"]
    assert list(devices.sharing(world.liu, most=5)) == []


@pytest.mark.parametrize("crowd", [30, 90])
def test_a_device_of_a_crowd_costs_what_one_of_few_does(world, django_assert_num_queries, crowd):
    for _ in range(crowd):
        other, _new = users.register(
            service=world.service,
            external_id=uuid7().hex,
            kind="person",
            display_name="x",
            device=DEVICE,
            by="client:t",
        )
    seen(world.wen)
    with django_assert_num_queries(2):
        found = list(devices.sharing(world.wen, most=10))
    assert len(found) == 10 and found[0] == other
