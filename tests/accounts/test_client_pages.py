"""The pages of API clients: find a key, limit it, rotate it, let it sign; what is shown once is shown once."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from accounts import confirmation, key_format, keys
from accounts.models import ApiKey
from core.ids import uuid7
from core.models import AuditEvent


@pytest.fixture
def fang(world, login):
    """The administrator, who confirmed who she is a moment ago."""
    browser = login("fang")
    session = browser.session
    session[confirmation.CONFIRMED_AT] = confirmation.database_time()
    session[confirmation.CONFIRMED_WHO] = str(world.fang.pk)
    session.save()
    return browser


@pytest.fixture
def key(world):
    return ApiKey.objects.get()


def shown(answer):
    """What stands in the panels of things that are shown once."""
    return re.findall(r"data-secret>([^<]+)<", answer.content.decode())


def test_a_reload_of_the_answer_issues_no_second_key(world, fang):
    page = fang.get(reverse("clients")).content.decode()
    token = re.search(r'name="key_id" value="([^"]+)"', page)[1]
    posted = {"key_id": token, "scopes": ["users:read"]}
    address = reverse("key_issue", args=[world.client.pk])
    first, again = fang.post(address, posted), fang.post(address, posted)
    assert re.fullmatch(key_format.PATTERN, shown(first)[0]) and "no-store" in first["Cache-Control"]
    assert (again.status_code, shown(again)) == (409, []) and 'role="alert"' in again.content.decode()
    assert ApiKey.objects.filter(pk=token).count() == 1 and ApiKey.objects.count() == 2
    fresh = re.search(r'name="key_id" value="([^"]+)"', fang.get(reverse("clients")).content.decode())[1]
    assert fresh != token


def test_a_rotation_shows_the_successor_once(world, fang, key):
    address = reverse("key_rotate", args=[key.pk])
    first, again = fang.post(address), fang.post(address)
    assert keys.authenticate(shown(first)[0]).scopes == set(keys.SCOPES) and "no-store" in first["Cache-Control"]
    assert (again.status_code, shown(again)) == (409, [])
    page = fang.get(reverse("client", args=[world.client.pk])).content.decode()
    assert reverse("key_rotate", args=[key.pk]) not in page and "state-warn" in page
    assert shown(first)[0] not in page


def test_signatures_are_demanded_and_their_secret_shown_once(world, fang, key):
    address = reverse("key_sign", args=[key.pk])
    first, again = fang.post(address), fang.post(address)
    assert shown(first)[0].startswith("mjsig_") and "no-store" in first["Cache-Control"]
    assert (again.status_code, shown(again)) == (409, [])
    rotated = fang.post(reverse("key_rotate", args=[key.pk]))
    assert [secret.split("_")[0] for secret in shown(rotated)] == ["mj", "mjsig"]


def test_networks_and_limit_are_set_and_refused_beside_the_field(world, fang, key):
    address = reverse("key_limit", args=[key.pk])
    good = fang.post(address, {"networks": "203.0.113.0/24\r\n\r\n 2001:db8::/32 ", "per_minute": "90"})
    assert (good.status_code, good["Location"]) == (302, reverse("client", args=[world.client.pk]))
    key.refresh_from_db()
    assert (key.networks, key.per_minute) == (["203.0.113.0/24", "2001:db8::/32"], 90)
    line = AuditEvent.objects.get(action="key.limited")
    assert line.data["networks"] == 2 and "203.0" not in str(line.data)
    for wrong in ({"networks": "everywhere"}, {"per_minute": "0"}, {"per_minute": "many"}):
        refused = fang.post(address, wrong)
        text = refused.content.decode()
        assert refused.status_code == 422 and 'role="alert"' in text and "field-wrong" in text
    fang.post(address, {"networks": "", "per_minute": ""})
    key.refresh_from_db()
    assert (key.networks, key.per_minute) == ([], None)


def test_a_key_is_found_by_its_prefix_and_a_pasted_one_stands_in_no_address(world, login, key):
    browser = login("he")
    where = f"{reverse('client', args=[world.client.pk])}#{key.prefix}"
    for typed in (key.prefix, f"mj_{key.prefix}_…", world.key):
        found = browser.post(reverse("key_find"), {"beginning": typed})
        assert (found.status_code, found["Location"]) == (302, where)
    for typed in ("mj_0000000000", "", "x' --"):
        nothing = browser.post(reverse("key_find"), {"beginning": typed})
        assert nothing.status_code == 422 and "field-error" in nothing.content.decode()


def test_dangerous_deeds_ask_who_one_is(world, login, key):
    browser = login("fang")
    session = browser.session
    session.pop(confirmation.CONFIRMED_AT, None)
    session.save()
    for name, args in (("key_issue", world.client.pk), ("key_rotate", key.pk), ("key_sign", key.pk)):
        answer = browser.post(reverse(name, args=[args]), {"scopes": ["users:read"]})
        assert answer.status_code == 302 and "next=" in answer["Location"]
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("name", ["key_rotate", "key_limit", "key_sign", "client"])
def test_what_is_not_there_is_not_found(world, fang, name):
    address = reverse(name, args=[uuid7()])
    assert (fang.get(address) if name == "client" else fang.post(address)).status_code == 404
