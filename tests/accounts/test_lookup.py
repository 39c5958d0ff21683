"""Finding by a number, and what a machine may say of one."""

from __future__ import annotations

from datetime import date

import pytest

from accounts import identities, lookup, plausibility
from accounts.models import Identity
from core import crypto
from core.errors import Forbidden, Refusal
from core.models import AuditEvent
from tests.accounts.test_numbers import FULL_WIDTH, with_check_digit
from tests.world import ID_NUMBER, OTHER_ID_NUMBER, USCC


def test_a_number_is_found_in_every_spelling_and_the_search_is_recorded_without_it(world):
    found = lookup.find_by_number(number=f" {ID_NUMBER.translate(FULL_WIDTH)} ", by=world.he)
    assert {i.user_id for i in found} == {world.wen.pk, world.ma.pk}
    line = AuditEvent.objects.get(action="user.searched_by_number")
    assert (line.actor, line.data) == ("staff:he", {"read_as": ["id_number"], "found": 2})


def test_a_number_that_nobody_has_is_recorded_too(world):
    assert lookup.find_by_number(number="13800138000", by=world.zhou) == []
    assert AuditEvent.objects.get(action="user.searched_by_number").data["found"] == 0


@pytest.mark.parametrize("number", ["", "abc", "12345", ID_NUMBER[:-1] + "0", "\x00"])
def test_what_is_no_number_is_refused_and_not_recorded(world, number):
    with pytest.raises(Refusal) as refused:
        lookup.find_by_number(number=number, by=world.zhou)
    assert refused.value.errors[0]["field"] == "number"
    assert not AuditEvent.objects.filter(action="user.searched_by_number").exists()


def test_the_administrator_does_not_look_for_users(world):
    with pytest.raises(Forbidden):
        lookup.find_by_number(number=ID_NUMBER, by=world.fang)


# Plausibility


def judged(world, method="id_number", number=OTHER_ID_NUMBER, name="试名", user=None):
    identity = identities.submit(user=user or world.liu, method=method, number=number, name=name, by="client:test")
    return plausibility.findings(Identity.objects.get(pk=identity.pk))


def tones(findings, field="number"):
    return [f.tone for f in findings if f.field == field]


def born(year: int) -> str:
    return with_check_digit(f"110101{year:04}0102982")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (born(1900), ["ok", "bad"]),  # older than anybody
        (born(1990), ["ok", "ok", "ok"]),
        (born(date.today().year - 5), ["ok", "ok", "warn"]),  # a minor
        (born(date.today().year + 3), ["ok", "bad"]),  # not born yet
    ],
)
def test_an_id_number_is_judged_by_the_date_in_it(world, number, expected):
    assert tones(judged(world, number=number)) == expected


@pytest.mark.parametrize(
    ("born_on", "today", "years"),
    [
        (date(2000, 2, 29), date(2018, 2, 28), 17),
        (date(2000, 2, 29), date(2018, 3, 1), 18),
        (date(2008, 11, 22), date(2026, 11, 22), 18),
        (date(2008, 11, 23), date(2026, 11, 22), 17),
    ],
)
def test_a_year_is_full_on_the_birthday(born_on, today, years):
    assert plausibility.full_years(born_on, today) == years


@pytest.mark.parametrize(
    ("name", "tone"),
    [
        ("试名", "ok"),
        ("阿依古丽·买买提", "ok"),
        ("𠮷田", "ok"),
        ("名", "warn"),
        ("J Rivers", "warn"),
        ("试名1", "warn"),
        ("·", "warn"),
    ],
)
def test_names_are_judged_by_their_form(world, name, tone):
    assert tones(judged(world, name=name), "name") == [tone]


def test_other_methods_say_what_was_not_checked(world):
    org = identities.User.objects.create(service=world.service, external_id="o", kind="organization", display_name="o")
    assert tones(judged(world, "uscc", USCC, "某公司", org)) == ["ok"]
    assert tones(judged(world, "mobile", "13800138000", "")) == ["ok"]
    assert tones(judged(world, "mobile", "13800138000", ""), "name") == ["warn"]
    identities.submit(user=world.liu, method="network_identity", token="t", by="client:test")
    assert tones(plausibility.findings(world.liu.identities.get(state="pending"))) == ["warn"]


def test_conclusions_hold_no_part_of_the_number_or_the_name(world):
    for finding in judged(world, number=born(1990)):
        words = str(finding.sentence)
        assert "1990" not in words and "110101" not in words and "试名" not in words and "0102" not in words


def test_what_cannot_be_opened_is_said_and_not_skipped(world):
    identity = identities.submit(user=world.liu, method="mobile", number="13800138000", by="client:test")
    Identity.objects.filter(pk=identity.pk).update(number_sealed=crypto.seal("13800138000", "elsewhere"))
    assert tones(plausibility.findings(Identity.objects.get(pk=identity.pk))) == ["bad"]
