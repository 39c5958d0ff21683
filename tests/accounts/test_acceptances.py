"""Who accepted which version of a document, when and from where (DS-08b)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError
from django.utils import timezone

from accounts import acceptances, keys, users
from accounts.models import Acceptance, User
from core import vault
from core.models import AuditEvent, DataKey, OutboxEvent
from governance import documents
from tests.conftest import Api

ADDRESS = "203.0.113.77"


@pytest.fixture
def terms(world):
    made = documents.create(code="terms", kind="agreement", title="服务协议", service=world.service, by=world.chen)
    documents.publish(document=made, text="第一版", by=world.chen)
    documents.publish(document=made, text="第二版", by=world.chen)
    return made


def ready(user):
    """How often it was said that this user may publish now."""
    return OutboxEvent.objects.filter(topic="internal.user_may_publish", subject=str(user.pk)).count()


def test_an_acceptance_is_recorded_once_with_its_address_sealed(world, api, terms):
    body = {"document": "terms", "version": 1, "address": f" ::ffff:{ADDRESS} "}
    first = api.post("users/wen/acceptances", body)
    assert first.status_code == 201
    told = first.json()
    assert (told["document"], told["version"], told["wanted"]) == ("terms", 1, [])
    again = api.post("users/wen/acceptances", {**body, "address": "198.51.100.1"})
    assert (again.status_code, again.json()["accepted_at"]) == (200, told["accepted_at"])
    row = Acceptance.objects.select_related("user", "version").get()
    assert acceptances.address_of(row) == ADDRESS
    assert ADDRESS.encode() not in bytes(row.address_sealed)
    event = AuditEvent.objects.get(action="document.accepted")
    assert (event.subject, event.data) == (f"user:{world.wen.pk}", {"document": "terms", "number": 1})


def test_the_address_goes_with_the_key_of_its_person(world, api, terms):
    api.post("users/wen/acceptances", {"document": "terms", "version": 1, "address": ADDRESS})
    row = Acceptance.objects.select_related("user", "version").get()
    vault.shred([f"user:{world.wen.pk}"])
    with pytest.raises(vault.Shredded):
        acceptances.address_of(row)
    assert DataKey.objects.get(pk=f"user:{world.wen.pk}").wrapped is None


@pytest.mark.parametrize(
    "change", ["UPDATE accounts_acceptance SET accepted_at = now()", "DELETE FROM accounts_acceptance"]
)
def test_nobody_changes_or_removes_an_acceptance(world, terms, change):
    acceptances.accept(user=world.wen, document="terms", version=1, by="client:t")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)
    assert Acceptance.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"document": "nothing"}, "document", "unknown"),
        ({"document": "a\x00b"}, "document", "nul_character"),
        ({"version": 3}, "version", "unknown"),
        ({"version": 0}, "version", "unknown"),
        ({"version": -(2**40)}, "version", "unknown"),
        ({"version": 2**40}, "version", "unknown"),
        ({"version": "1"}, "version", "invalid"),
        ({"address": "example.cn"}, "address", "invalid"),
        ({"address": "1.2.3.4.5"}, "address", "invalid"),
        ({"address": "fe80::1%eth0"}, "address", "invalid"),
        ({"accepted_at": "2026-01-01T00:00:00"}, "accepted_at", "invalid"),
        ({"accepted_at": "yesterday"}, "accepted_at", "invalid"),
        ({"accepted_at": "2001-01-01T00:00:00Z"}, "accepted_at", "before_publication"),
        ({"accepted_at": "2999-01-01T00:00:00Z"}, "accepted_at", "future"),
        ({"colour": "red"}, "colour", "unknown_field"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_nothing(world, api, terms, changes, field, code):
    answer = api.post("users/wen/acceptances", {"document": "terms", "version": 1, **changes})
    assert answer.status_code == 422
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, code)]
    assert not Acceptance.objects.exists() and not AuditEvent.objects.filter(action="document.accepted").exists()


def test_a_clock_that_is_a_little_ahead_counts_as_now(world, terms):
    told = timezone.now() + timedelta(seconds=30)
    made, _new = acceptances.accept(user=world.wen, document="terms", version=1, accepted_at=told, by="client:t")
    made.refresh_from_db()
    assert made.accepted_at < told and made.accepted_at <= made.recorded_at


def test_the_documents_of_another_service_and_its_users_are_unknown(world, api, terms):
    foreign = documents.create(
        code="foreign", kind="rules", title="别家规则", service=world.other_service, by=world.chen
    )
    documents.publish(document=foreign, text="x", by=world.chen)
    assert api.post("users/wen/acceptances", {"document": "foreign", "version": 1}).status_code == 422
    assert api.post("users/ma/acceptances", {"document": "terms", "version": 1}).status_code == 404
    assert api.get("users/ma/acceptances").status_code == 404
    assert [d["code"] for d in api.get("documents").json()["results"]] == ["terms"]


def test_a_service_reads_its_documents_and_what_is_still_wanted(world, api, terms):
    documents.require(document=terms, number=2, by=world.chen)
    told = api.get("documents").json()["results"][0]
    newest = terms.versions.get(number=2)
    assert (told["latest"]["version"], told["latest"]["sha256"], told["required"]) == (2, newest.sha256, 2)
    assert told["url"] == "/public/documents/terms/"
    answer = api.post("users/wen/acceptances", {"document": "terms", "version": 1})
    assert answer.json()["wanted"] == [{"document": "terms", "version": 2}]
    user = api.get("users/wen").json()
    assert (user["may_publish"], user["wanted_acceptances"]) == (False, [{"document": "terms", "version": 2}])
    api.post("users/wen/acceptances", {"document": "terms", "version": 2})
    user = api.get("users/wen").json()
    assert (user["may_publish"], user["wanted_acceptances"]) == (True, [])
    listed = api.get("users/wen/acceptances").json()
    assert ([a["version"] for a in listed["results"]], listed["wanted"]) == ([2, 1], [])


def test_the_last_yes_that_was_missing_is_news_and_no_other(world, terms):
    other = documents.create(code="rules", kind="rules", title="规则", by=world.chen)
    documents.publish(document=other, text="x", by=world.chen)
    documents.require(document=terms, number=2, by=world.chen)
    documents.require(document=other, number=1, by=world.chen)
    before = ready(world.wen)

    def accept(document, version, user=world.wen):
        acceptances.accept(user=user, document=document, version=version, by="client:t")
        return ready(user) - (before if user is world.wen else 0)

    assert accept("terms", 1) == 0  # older than what is required
    assert accept("terms", 2) == 0  # the rules are still missing
    assert accept("rules", 1) == 1
    assert accept("rules", 1) == 1  # the same again
    accept("terms", 2, world.liu)
    assert accept("rules", 1, world.liu) == 0  # never verified: may not publish anyway


def test_four_at_once_are_one_acceptance(open_world, at_once):
    world = open_world
    made = documents.create(code="terms", kind="agreement", title="服务协议", by=world.chen)
    documents.publish(document=made, text="x", by=world.chen)
    said = at_once(
        *[lambda: acceptances.accept(user=world.wen, document="terms", version=1, address=ADDRESS, by="client:t")] * 4
    )
    assert sorted(created for _row, created in said) == [False, False, False, True]
    assert len({row.pk for row, _created in said}) == 1


def test_a_frozen_account_accepts_nothing_any_more(world, api, terms):
    User.objects.filter(pk=world.wen.pk).update(frozen_at=timezone.now())
    answer = api.post("users/wen/acceptances", {"document": "terms", "version": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "account_frozen")
    assert not Acceptance.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("post", "users/wen/acceptances", "users:write"),
        ("get", "users/wen/acceptances", "users:read"),
        ("get", "documents", "users:read"),
    ],
)
def test_each_call_needs_its_scope(world, terms, method, path, scope):
    for scopes, status in ((sorted(set(keys.SCOPES) - {scope}), 403), ([scope], 200)):
        _key, secret = keys.issue_key(client=world.client, scopes=scopes, by=world.fang)
        caller = Api(secret)
        answer = caller.post(path, {"document": "terms", "version": 1}) if method == "post" else caller.get(path)
        assert answer.status_code in (status, 201 if status == 200 else status), answer.content


def test_nobody_owes_anything_where_nothing_is_required(world, terms):
    assert acceptances.missing_of([world.wen.pk, world.liu.pk]) == {}
    assert acceptances.missing_of([]) == {}


def test_what_is_wanted_is_asked_of_every_user_apart(world, terms):
    documents.require(document=terms, number=1, by=world.chen)
    acceptances.accept(user=world.wen, document="terms", version=2, by="client:t")
    fresh, _new = users.register(
        service=world.other_service, external_id="x", kind="person", display_name="x", by="client:t"
    )
    wanted = acceptances.missing_of([world.wen.pk, world.liu.pk, fresh.pk])
    assert wanted == {world.liu.pk: [acceptances.Wanted("terms", 1)]}
