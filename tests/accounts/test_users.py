"""Registration and what a service is told (contract.md)."""

from __future__ import annotations

import json

import pytest

from accounts import measures, regions, users
from accounts.models import Identity, User, UserDevice
from core import gates, vault
from core.models import AuditEvent, DataKey
from tests.accounts import mmdb
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
        "address_region": "",
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
        ({"display_name": "  "}, "display_name", "length"),
        ({"profession": "x" * 81}, "profession", "length"),
        ({"institution": "x" * 121}, "institution", "length"),
        ({"contact": "nobody"}, "contact", "invalid"),
        ({"contact": "a@" + "x" * 120 + ".cn"}, "contact", "length"),
        ({"contact": 7}, "contact", "invalid"),
        ({"device": "x" * 201}, "device", "length"),
        ({"address": "example.cn"}, "address", "invalid"),
        ({"address": "x" * 61}, "address", "length"),
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


FULL = {
    "region": "上海",
    "profession": "教师",
    "institution": "某中学",
    "contact": "someone@example.cn",
    "device": "A1B2-C3D4",
    "address": "1.0.1.7",
}


@pytest.fixture
def guangdong(tmp_path, settings):
    """A region database in which 1.0.1.0/24 lies in Guangdong and 1.0.2.0/24 in Japan."""
    path = tmp_path / "regions.mmdb"
    mmdb.write(
        path,
        {"1.0.1.0/24": mmdb.city("CN", "中国", "GD", "广东省"), "1.0.2.0/24": mmdb.city("JP", "日本")},
    )
    settings.REGION_DATABASE = str(path)
    regions.forget()
    yield
    regions.forget()


def everywhere(world):
    """Every column of every row, as bytes."""
    from tests.accounts.test_nothing_personal import every_row

    return [column for _table, column in every_row()]


def test_of_contact_device_and_address_only_what_is_needed_is_kept(world, api, guangdong, caplog):
    answer = api.post("users", body(**FULL))
    assert answer.status_code == 201 and answer.json()["address_region"] == "广东"
    user = users.find(service=world.service, external_id="new-1")
    assert (user.profession, user.institution, user.address_region) == ("教师", "某中学", "广东")
    assert (user.contact_masked, users.contact_of(user)) == ("s***@example.cn", "someone@example.cn")
    assert UserDevice.objects.get(user=user).digest
    for secret in (b"someone@example.cn", b"A1B2-C3D4", b"1.0.1.7"):
        assert not any(secret in column for column in everywhere(world))
        assert secret.decode() not in caplog.text
    told = api.get("users/new-1").json()
    assert (told["contact"], told["profession"], told["address_region"]) == ("s***@example.cn", "教师", "广东")
    vault.shred([f"user:{user.pk}"])
    with pytest.raises(vault.Shredded):
        users.contact_of(user)


@pytest.mark.parametrize("details", [{}, FULL])
def test_a_registration_is_one_statement(world, django_assert_num_queries, details):
    """As many round trips for user, history, ledger, device and key as for nothing."""
    given = body(**details)
    with django_assert_num_queries(1):
        user, created = users.register(service=world.service, by="client:test", **given)
    assert created and AuditEvent.objects.filter(subject=f"user:{user.pk}").count() == 1
    with django_assert_num_queries(2):
        again, created = users.register(service=world.service, by="client:test", **given)
    assert (again.pk, created) == (user.pk, False)
    assert DataKey.objects.filter(pk=f"user:{user.pk}").count() == bool(details)


def test_what_the_statement_writes_is_what_the_model_says(world, guangdong):
    """The user that is answered, the stored row and the first line of its history hold the same, column by column."""
    made, _new = users.register(service=world.service, by=world.zhou, **body(**FULL))
    stored = User.objects.get(pk=made.pk)
    first = stored.history.get()
    assert (first.history_type, first.history_user_id, first.history_date) == ("+", world.zhou.pk, stored.created_at)
    for column in User._meta.concrete_fields:
        value = getattr(stored, column.attname)
        if column.name == "contact_sealed":
            assert bytes(getattr(made, column.attname)) == bytes(value)
            continue
        assert getattr(made, column.attname) == value, column.name
        if column.name != "created_at":
            assert getattr(first, column.attname) == value, column.name
    made.region = "北京"
    made.save(update_fields=["region"])
    assert made.history.count() == 2


def test_a_refused_registration_writes_nothing_at_all(world, api):
    before = len(everywhere(world))
    assert api.post("users", body(**{**FULL, "display_name": "某市公安"})).status_code == 422
    gates.close_gate(capability="registration", directive="令1号", by=world.chen)
    after_gate = len(everywhere(world))
    assert api.post("users", body(**FULL)).status_code == 503
    assert after_gate > before and len(everywhere(world)) == after_gate


def test_replay_comes_before_the_gate_and_the_gate_before_the_fields(world, api):
    known = api.post("users", body()).json()
    gates.close_gate(capability="service", directive="令1号", by=world.chen)
    assert api.post("users", body(display_name="官方", contact="nobody")).json() == known
    assert api.post("users", body(external_id="x", contact="nobody")).status_code == 503


# Changes


def patch(api, external_id, changes):
    return api.client.patch(f"/api/v1/users/{external_id}", json.dumps(changes), content_type="application/json")


def test_a_change_is_written_to_history_and_ledger_without_its_values(world, api, guangdong):
    answer = patch(api, "liu", {**FULL, "display_name": "柳如烟"})
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert (told["display_name"], told["profession"], told["contact"], told["address_region"]) == (
        "柳如烟",
        "教师",
        "s***@example.cn",
        "广东",
    )
    world.liu.refresh_from_db()
    event = AuditEvent.objects.get(action="user.changed")
    assert event.data == {
        "fields": ["display_name", "region", "profession", "institution", "address_region", "contact"]
    }
    assert world.liu.history.first().display_name == "柳如烟" and world.liu.history.count() == 2
    assert world.liu.devices.count() == 1
    for secret in (b"someone@example.cn", b"A1B2-C3D4", b"1.0.1.7"):
        assert not any(secret in column for column in everywhere(world))


def test_the_same_again_and_nothing_at_all_change_nothing(world, api):
    patch(api, "liu", FULL)
    lines, rows = AuditEvent.objects.count(), world.liu.history.count()
    assert patch(api, "liu", FULL).status_code == 200
    assert patch(api, "liu", {}).status_code == 200
    assert (AuditEvent.objects.count(), world.liu.history.count()) == (lines, rows)


def test_what_is_emptied_is_gone_and_what_is_left_out_stays(world, api):
    patch(api, "liu", FULL)
    told = patch(api, "liu", {"contact": "", "region": ""}).json()
    assert (told["contact"], told["region"], told["profession"]) == ("", "", "教师")
    world.liu.refresh_from_db()
    assert world.liu.contact_sealed is None and users.contact_of(world.liu) == ""


@pytest.mark.parametrize("field", ["profession", "institution"])
def test_a_new_profession_or_institution_asks_for_the_identity_again(world, api, field):
    """GEN-10."""
    told = patch(api, "wen", {field: "新的"}).json()
    assert (told["identity_status"], told["may_publish"], told["reverify_reason"]) == ("pending", False, field)
    assert api.post("submissions", world.body()).json()["code"] == "identity_not_verified"
    assert Identity.objects.get(user=world.wen).state == "pending"


def test_another_name_region_or_contact_does_not(world, api):
    told = patch(api, "wen", {"display_name": "闻歌二", "region": "北京", "contact": "a@example.cn"}).json()
    assert (told["identity_status"], told["may_publish"]) == ("verified", True)


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"display_name": ""}, "display_name", "length"),
        ({"display_name": "x" * 81}, "display_name", "length"),
        ({"display_name": None, "region": 7}, "region", "invalid"),
        ({"region": "a\x00b"}, "region", "nul_character"),
        ({"contact": "nobody"}, "contact", "invalid"),
        ({"address": "1.2.3"}, "address", "invalid"),
        ({"kind": "organization"}, "kind", "unknown_field"),
        ({"external_id": "x"}, "external_id", "unknown_field"),
        ({"identity_status": "verified"}, "identity_status", "unknown_field"),
        ({"account_status": "active"}, "account_status", "unknown_field"),
    ],
)
def test_a_change_that_does_not_fit_is_named_and_changes_nothing(world, api, changes, field, code):
    before = users.whole(world.wen)
    answer = patch(api, "wen", {**changes})
    assert answer.status_code == 422
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, code)]
    world.wen.refresh_from_db()
    assert users.whole(world.wen) == before and not AuditEvent.objects.filter(action="user.changed").exists()


def test_a_change_finds_the_services_own_users_only_and_needs_the_scope(world, api):
    from accounts import keys
    from tests.conftest import Api

    assert patch(api, "ma", {"region": "x"}).status_code == 404
    assert patch(api, "nobody", {"region": "x"}).status_code == 404
    _key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    assert patch(Api(secret), "wen", {"region": "x"}).json()["code"] == "scope_missing"
    assert api.client.patch("/api/v1/users/wen", b"{", content_type="application/json").status_code == 400


def test_an_account_that_is_only_kept_is_not_changed(world, api):
    from django.utils import timezone

    User.objects.filter(pk=world.wen.pk).update(frozen_at=timezone.now())
    answer = patch(api, "wen", {"region": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "account_frozen")


def test_two_changes_at_once_lose_neither(open_world, at_once):
    world = open_world
    said = at_once(
        lambda: users.change(user=world.liu, region="北京", by="client:t"),
        lambda: users.change(user=world.liu, profession="教师", by="client:t"),
        lambda: users.change(user=world.liu, contact="a@example.cn", by="client:t"),
    )
    assert not any(isinstance(one, Exception) for one in said), said
    world.liu.refresh_from_db()
    assert (world.liu.region, world.liu.profession, world.liu.contact_masked) == ("北京", "教师", "a***@example.cn")


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
        ({"method": "id_number", "number": "110101900231982", "name": "试名"}, "number"),
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
