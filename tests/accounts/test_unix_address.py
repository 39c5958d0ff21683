"""A server behind a unix socket knows no address of its callers."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.world import PASSWORD, World

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("address", ["unix:", "", "unix:/run/web.sock"])
def test_signing_in_works_without_an_address(world: World, address: str) -> None:
    client = Client(REMOTE_ADDR=address)
    assert client.get("/login/").status_code == 200
    wrong = client.post("/login/", {"login": "lin", "password": "wrong", "username": "lin"})
    assert wrong.status_code in (200, 403, 422)
    right = client.post("/login/", {"login": "lin", "password": PASSWORD, "username": "lin"}, follow=True)
    assert right.status_code == 200
