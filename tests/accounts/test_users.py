"""Registration and what a service is told (contract.md)."""

from __future__ import annotations

import json

import pytest

from accounts import measures, users
from accounts.models import User
from core import gates
from core.models import AuditEvent
from tests.world import ID_NUMBER, OTHER_ID_NUMBER, USCC


def body(**changes):
    return {"external_id": "new-1", "kind": "person", "display_name": "新客", **changes}


def test_a_user_is_registered_and_the_same_again_is_the_same_record(world, api):
    first = api.post("users", body(region="上海"))
    assert first.status_code == 201
    assert first.json() == {
        "id": first.json()["id"],
        "external_id": "new-1",
        "kind": "person",
        "display_name": "新客",
        "region": "上海",
        "identity_status": "unverified",
        "account_status": "active",
        "may_publish": False,
    }
    again = api.post("users", body(display_name="另一个名字"))
    assert (again.status_code, again.json()) == (200, first.json())
    assert AuditEvent.objects.filter(action="user.registered", subject=f"user:{first.json()['id']}").count() == 1


def test_an_external_id_belongs_to_one_service(world, api):
    answer = api.post("users", body(external_id="ma"))
    assert answer.status_code == 201
    assert User.objects.filter(external_id="ma").count() == 2


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"kind": "robot"}, "kind", "unknown"),
        ({"external_id": ""}, "external_id", "length"),
        ({"external_id": "x" * 129}, "external_id", "length"),
        ({"external_id": 7}, "external_id", "invalid"),
        ({"external_id": "a\x00b"}, "external_id", "nul_character"),
        ({"display_name": ""}, "display_name", "length"),
        ({"display_name": "x" * 81}, "display_name", "length"),
        ({"region": "x" * 41}, "region", "length"),
        ({"region": None}, "region", "invalid"),
        ({"colour": "red"}, "colour", "unknown_field"),
    ],
)
def test_a_field_that_does_not_fit_is_named(world, api, changes, field, code):
    answer = api.post("users", body(**changes))
    assert answer.status_code == 422
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, code)]
    assert not User.objects.filter(display_name="新客").exists()


def test_a_missing_field_is_named(world, api):
    answer = api.post("users", {"external_id": "x", "kind": "person"})
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [("display_name", "required")]


def test_while_registration_is_closed_only_known_users_are_answered(world, api):
    gates.close_gate(capability="registration", directive="令〔2026〕3号", by=world.chen)
    answer = api.post("users", body())
    assert (answer.status_code, answer.json()["code"], answer.json()["directive"]) == (
        503,
        "gate_closed",
        "令〔2026〕3号",
    )
    assert "Retry-After" in answer and not User.objects.filter(external_id="new-1").exists()
    assert api.post("users", body(external_id="wen")).status_code == 200


def test_two_registrations_at_once_are_one_user(open_world, at_once):
    world = open_world
    made = at_once(
        *[
            lambda: users.register(
                service=world.service, external_id="new-1", kind="person", display_name="新客", by="client:test"
            )
        ]
        * 4
    )
    assert len({user.pk for user, _created in made}) == 1
    assert sorted(created for _user, created in made) == [False, False, False, True]
    assert AuditEvent.objects.filter(action="user.registered", subject=f"user:{made[0][0].pk}").count() == 1


# Identity


@pytest.mark.parametrize(
    ("user", "given_"),
    [
        ("liu", {"method": "mobile", "number": "+86 138 0013 8000"}),
        ("liu", {"method": "id_number", "number": OTHER_ID_NUMBER, "name": "试名"}),
        ("liu", {"method": "network_identity", "token": "t" * 200}),
        ("org", {"method": "uscc", "number": USCC, "name": "某公司"}),
    ],
)
def test_each_method_is_taken_and_waits(world, api, user, given_):
    api.post("users", body(external_id="org", kind="organization"))
    answer = api.post(f"users/{user}/identity", given_)
    assert (answer.status_code, answer.json()) == (202, {"identity_status": "pending"})
    assert api.get(f"users/{user}").json()["identity_status"] == "pending"


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"method": "id_number", "number": ID_NUMBER[:-1] + "0", "name": "试名"}, "number"),
        ({"method": "id_number", "number": "110101900102982", "name": "试名"}, "number"),
        ({"method": "uscc", "number": USCC[:-1] + "0"}, "number"),
        ({"method": "mobile", "number": "12"}, "number"),
        ({"method": "id_number", "number": ID_NUMBER, "name": ""}, "name"),
        ({"method": "passport", "number": "1"}, "method"),
        ({"number": "1"}, "method"),
        ({"method": "mobile", "number": "13800138000", "documents": ["x"]}, "documents"),
    ],
)
def test_a_number_that_cannot_be_right_is_422_and_is_not_said_back(world, api, given_, field):
    answer = api.post("users/liu/identity", given_)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert str(given_.get("number", "-")) not in answer.content.decode() or len(given_.get("number", "")) < 3
    assert api.get("users/liu").json()["identity_status"] == "unverified"


def test_what_a_service_reads_is_masked_and_names_the_measures(world, api):
    measures.apply(user=world.wen, kind="limit", functions=["writing"], ground="广告", clause="3.2", by=world.xu)
    read = api.get("users/wen")
    told = read.json()
    assert told["identity"] == {
        "method": "id_number",
        "state": "verified",
        "number": "110*************23",
        "name": "试*",
        "reject_reason": "",
    }
    assert (told["account_status"], told["may_publish"]) == ("limited", True)
    assert [(m["kind"], m["functions"], m["ground"], m["state"]) for m in told["measures"]] == [
        ("limit", ["writing"], "广告", "in_force")
    ]
    text = read.content.decode()
    assert ID_NUMBER not in text and "试名" not in text


@pytest.mark.parametrize("path", ["users/nobody", "users/ma", "users/a%00b", "users/%ff", "users/" + "x" * 500])
def test_a_user_of_nobody_or_of_somebody_else_is_404(world, api, path):
    answer = api.get(path)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    proof = api.post(f"{path}/identity", {"method": "mobile", "number": "13800138000"})
    assert proof.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("post", "users", "users:write"),
        ("get", "users/wen", "users:read"),
        ("post", "users/wen/identity", "users:write"),
        ("get", "gates", "submissions:read"),
        ("get", "webhooks", "webhooks"),
        ("post", "webhooks", "webhooks"),
        ("delete", "webhooks/0199c0de-0000-7000-8000-000000000000", "webhooks"),
    ],
)
def test_each_call_needs_its_scope(world, method, path, scope):
    from accounts import keys
    from tests.conftest import Api

    good = {"users": body(), "users/wen/identity": {"method": "mobile", "number": "13800138000"}}
    good["webhooks"] = {"url": "https://example.cn/hook"}
    for scopes, refused in (([s for s in keys.SCOPES if s != scope], True), ([scope], False)):
        _key, secret = keys.issue_key(client=world.client, scopes=scopes, by=world.fang)
        caller = Api(secret)
        call = getattr(caller, method)
        answer = call(path, good[path]) if method == "post" else call(path)
        assert (answer.status_code == 403) is refused, answer.content
        if refused:
            assert answer.json()["code"] == "scope_missing"


@pytest.mark.parametrize("path", ["users", "users/wen/identity", "webhooks"])
def test_a_method_that_is_not_offered_is_405_and_another_content_type_415(world, api, path):
    assert api.client.put(f"/api/v1/{path}", b"{}", content_type="application/json").status_code == 405
    assert api.post(path, raw=b"{}", content_type="text/plain").status_code == 415


# Webhook endpoints


def test_an_endpoint_is_registered_listed_and_forgotten(world, api):
    made = api.post("webhooks", {"url": "https://example.cn/hook", "topics": ["gate.closed"]})
    assert made.status_code == 200 and made.json()["secret"].startswith("whsec_")
    again = api.post("webhooks", {"url": "https://example.cn/hook"})
    assert (again.json()["id"], again.json()["secret"]) == (made.json()["id"], made.json()["secret"])
    listed = api.get("webhooks").json()["results"]
    assert [(e["id"], e["topics"]) for e in listed] == [(made.json()["id"], [])]
    assert "secret" not in json.dumps(listed)
    assert api.delete(f"webhooks/{made.json()['id']}").status_code == 204
    assert api.delete(f"webhooks/{made.json()['id']}").status_code == 404
    assert api.delete("webhooks/nonsense").status_code == 404


@pytest.mark.parametrize(
    "given_",
    [
        {"url": "ftp://example.cn/"},
        {"url": "https://"},
        {"url": "https://user@example.cn/"},
        {"url": "javascript:alert(1)"},
        {"url": "https://[bad/"},
        {"url": "https://example.cn/\x00"},
        {"url": "https://example.cn/" + "x" * 500},
        {"url": "https://example.cn/", "topics": ["no.such.topic"]},
        {"url": "https://example.cn/", "topics": ["a\x00b"]},
        {"url": "https://example.cn/", "topics": ["internal.user_may_publish"]},
        {"url": "https://example.cn/", "topics": [1]},
    ],
)
def test_an_endpoint_that_cannot_be_called_is_422(world, api, given_):
    answer = api.post("webhooks", given_)
    assert answer.status_code == 422, answer.content
    assert api.get("webhooks").json()["results"] == []
