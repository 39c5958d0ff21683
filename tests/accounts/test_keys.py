"""API clients and keys: shown once, stored hashed, scoped, revoked within seconds, cheap to refuse."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts import callers, hourly, key_format, keys
from accounts.models import ApiClient, ApiKey
from core import crypto
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import Alarm, AuditEvent
from core.requests import client_address
from tests.conftest import Api


@pytest.fixture
def clock(monkeypatch):
    """The process's clock, as `keys` reads it: `clock.now += 3` lets three seconds go by."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(callers.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_key_is_nowhere_but_in_the_answer(world):
    key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    key.refresh_from_db()
    assert secret.startswith(f"mj_{key.prefix}_") and len(secret.split("_", 2)[2]) >= 43
    assert secret.encode() not in bytes(key.hash) and len(bytes(key.hash)) == 32
    lines = AuditEvent.objects.filter(action="key.issued").values_list("data", flat=True)
    assert not any(secret.split("_", 2)[2] in str(line) for line in lines)
    assert keys.authenticate(secret).scopes == {"users:read"}


@pytest.mark.parametrize("scopes", [["users:delete"], ["users:read", "*"]])
def test_an_unknown_scope_is_refused(world, scopes):
    with pytest.raises(Refusal) as refused:
        keys.issue_key(client=world.client, scopes=scopes, by=world.fang)
    assert refused.value.errors[0]["field"] == "scopes"


@pytest.mark.parametrize("who", ["lin", "xu", "zhou", "chen", "he"])
def test_only_the_administrator_manages_clients(world, who):
    person = world.staff[who]
    key = ApiKey.objects.first()
    for call in (
        lambda: keys.create_client(service=world.service, name="x", by=person),
        lambda: keys.issue_key(client=world.client, scopes=[], by=person),
        lambda: keys.revoke_key(key_id=key.pk, reason="x", by=person),
    ):
        with pytest.raises(Forbidden):
            call()


def test_the_same_client_twice_is_one_client_and_a_nameless_one_none(world):
    again = keys.create_client(service=world.service, name=" generator ", by=world.fang)
    assert again.pk == world.client.pk
    assert keys.create_client(service=world.other_service, name="generator", by=world.fang).pk != again.pk
    with pytest.raises(Refusal):
        keys.create_client(service=world.service, name=" ", by=world.fang)


def test_a_revoked_key_works_at_most_five_seconds_longer(world, clock):
    key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    assert Api(secret).get("users/wen").status_code == 200
    keys.revoke_key(key_id=key.pk, reason="泄露", by=world.fang)
    clock.now += 4.9
    remembered = Api(secret).get("users/wen").status_code
    clock.now += 0.2
    assert Api(secret).get("users/wen").status_code == 401
    assert remembered == 200  # the price of a request without a query; the page says so
    assert keys.REMEMBERED <= 5


def test_revoking_twice_is_one_revocation(world):
    key, _secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    first = keys.revoke_key(key_id=key.pk, reason="a", by=world.fang)
    first.refresh_from_db()
    again = keys.revoke_key(key_id=key.pk, reason="b", by=world.fang)
    assert again.revoked_at == first.revoked_at
    assert AuditEvent.objects.filter(action="key.revoked").count() == 1
    with pytest.raises(NotFound):
        keys.revoke_key(key_id=uuid7(), reason="x", by=world.fang)


def test_an_expired_key_is_refused(world, clock):
    _key, secret = keys.issue_key(
        client=world.client, scopes=["users:read"], by=world.fang, expires_at=timezone.now() + timedelta(hours=1)
    )
    assert Api(secret).get("users/wen").status_code == 200
    ApiKey.objects.filter(prefix=secret.split("_")[1]).update(expires_at=Now() - timedelta(seconds=1))
    clock.now += 5.1
    assert Api(secret).get("users/wen").status_code == 401


def test_a_request_with_a_known_key_costs_no_query_for_the_key(world, django_assert_num_queries):
    assert keys.authenticate(world.key)
    with django_assert_num_queries(0):
        assert keys.authenticate(world.key)
        keys.authenticate("nonsense")  # not even the form of a key: nothing is looked up


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "mj_",
        "mj__",
        "mj_a_b_c",
        "mj_{prefix}_wrong",
        "mj_{prefix}_",
        "MJ_{prefix}_{rest}",
        "mj_\x00_x",
        "mj_ü_x",
    ],
)
def test_a_wrong_key_is_nobody(world, wrong):
    _mj, prefix, rest = world.key.split("_", 2)
    assert keys.authenticate(wrong.format(prefix=prefix, rest=rest)) is None


def test_a_flood_of_wrong_keys_does_not_fill_the_memory(world, monkeypatch):
    monkeypatch.setattr(callers, "_read", lambda key, hashed: (None, False))
    for number in range(25_000):
        keys.authenticate(f"mj_{number}_x")
    assert len(callers._known) <= 10_001


def test_keys_know_only_their_own_service(world):
    other = keys.create_client(service=world.other_service, name="their", by=world.fang)
    _key, secret = keys.issue_key(client=other, scopes=list(keys.SCOPES), by=world.fang)
    theirs = Api(secret)
    assert theirs.get("users/wen").status_code == 404
    assert theirs.get("users/ma").status_code == 200
    assert theirs.post("users/wen/identity", {"method": "mobile", "number": "13800138000"}).status_code == 404


def test_a_session_cookie_opens_no_api(world, login):
    signed_in = login("fang")
    assert signed_in.get("/api/v1/users/wen").status_code == 401
    assert signed_in.post("/api/v1/users", b"{}", content_type="application/json").status_code == 401


def test_two_at_once_create_one_client(open_world, at_once):
    world = open_world
    made = at_once(*[lambda: keys.create_client(service=world.service, name="twice", by=world.fang)] * 3)
    assert all(isinstance(m, ApiClient) for m in made), made
    assert len({m.pk for m in made}) == 1


def test_two_at_once_revoke_once(open_world, at_once):
    world = open_world
    key, _secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    done = at_once(*[lambda: keys.revoke_key(key_id=key.pk, reason="x", by=world.fang)] * 2)
    assert all(isinstance(d, ApiKey) for d in done), done
    assert AuditEvent.objects.filter(action="key.revoked").count() == 1


# Form


def test_a_new_key_is_what_a_secret_scanner_looks_for(world):
    _key, secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    assert re.fullmatch(key_format.PATTERN, secret)
    # 43 base-62 digits hold 256 bits, and the checksum is that of everything before it.
    assert key_format.checksum(secret[:-6]) == secret[-6:] and key_format.prefix_of(secret) == secret.split("_")[1]


def test_a_slip_of_the_pen_costs_no_query(world, django_assert_num_queries):
    _key, secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    with django_assert_num_queries(0):
        for place in (20, 40, -1):
            wrong = "A" if secret[place] != "A" else "B"
            typed = secret[:place] + wrong + (secret[place + 1 :] if place != -1 else "")
            assert keys.authenticate(typed) is None


def test_a_key_from_before_there_were_checksums_still_works(world):
    old = f"mj_0123456789_{secrets.token_urlsafe(32)}"
    ApiKey.objects.create(client=world.client, prefix="0123456789", hash=crypto.key_hash(old), scopes=["users:read"])
    assert Api(old).get("users/wen").status_code == 200


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("mj_0123456789_…", "0123456789"),
        (" 0123456789 ", "0123456789"),
        ("mj_0123456789_secretsecret", "0123456789"),
        ("mj_", ""),
        ("x' OR 1=1", ""),
        ("", ""),
    ],
)
def test_the_prefix_that_somebody_means(typed, named):
    assert key_format.named_prefix(typed) == named


# Once


def test_the_same_form_twice_is_one_key(world):
    token = uuid7()
    key, _secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang, key_id=token)
    with pytest.raises(Conflict) as refused:
        keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang, key_id=token)
    assert refused.value.code == "already_issued"
    assert ApiKey.objects.filter(pk=token).count() == 1 and key.pk == token
    assert AuditEvent.objects.filter(action="key.issued", data__prefix=key.prefix).count() == 1


def test_two_presses_at_once_issue_one_key(open_world, at_once):
    world, token = open_world, uuid7()
    done = at_once(
        *[lambda: keys.issue_key(client=world.client, scopes=[], by=world.fang, key_id=token)] * 3,
    )
    assert sum(isinstance(d, tuple) for d in done) == 1 and sum(isinstance(d, Conflict) for d in done) == 2, done


def test_a_key_that_would_be_over_at_once_is_refused(world):
    with pytest.raises(Refusal) as refused:
        keys.issue_key(client=world.client, scopes=[], by=world.fang, expires_at=timezone.now() - timedelta(minutes=1))
    assert refused.value.errors[0]["field"] == "expires_at"


# Rotation


def test_a_successor_has_the_same_rights_and_the_old_key_an_end(world, clock):
    old, old_secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    keys.limit_key(key_id=old.pk, networks=["127.0.0.0/8"], per_minute=500, by=world.fang)
    new, new_secret, signing = keys.rotate_key(key_id=old.pk, by=world.fang, overlap=3600)
    assert (new.scopes, new.networks, new.per_minute, new.expires_at) == (["users:read"], ["127.0.0.0/8"], 500, None)
    assert signing == "" and new.client_id == old.client_id
    old.refresh_from_db()
    assert old.replaced_by_id == new.pk
    assert abs(old.expires_at - timezone.now() - timedelta(hours=1)) < timedelta(minutes=1)
    assert Api(old_secret).get("users/wen").status_code == Api(new_secret).get("users/wen").status_code == 200
    ApiKey.objects.filter(pk=old.pk).update(expires_at=Now())
    clock.now += 5.1
    assert (Api(old_secret).get("users/wen").status_code, Api(new_secret).get("users/wen").status_code) == (401, 200)
    line = AuditEvent.objects.get(action="key.rotated")
    assert line.data["prefix"] == old.prefix and new_secret not in str(line.data)


def test_a_rotation_never_prolongs_the_old_key_and_renews_the_lifetime(world):
    ends = timezone.now() + timedelta(hours=10)
    old, _secret = keys.issue_key(client=world.client, scopes=[], by=world.fang, expires_at=ends)
    new = keys.rotate_key(key_id=old.pk, by=world.fang).key  # the default overlap is a week
    old.refresh_from_db()
    assert old.expires_at == ends
    assert abs(new.expires_at - ends) < timedelta(minutes=1)


def test_a_key_has_one_successor(world):
    old, _secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    keys.rotate_key(key_id=old.pk, by=world.fang)
    with pytest.raises(Conflict) as refused:
        keys.rotate_key(key_id=old.pk, by=world.fang)
    assert refused.value.code == "already_rotated" and ApiKey.objects.filter(client=world.client).count() == 3


def test_two_at_once_rotate_once(open_world, at_once):
    world = open_world
    old, _secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    done = at_once(*[lambda: keys.rotate_key(key_id=old.pk, by=world.fang)] * 2)
    assert sorted(type(d).__name__ for d in done) == ["Conflict", "Rotated"], done


def test_a_key_that_is_over_is_neither_rotated_nor_limited_nor_signed(world):
    key, _secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    keys.revoke_key(key_id=key.pk, reason="x", by=world.fang)
    for call in (
        lambda: keys.rotate_key(key_id=key.pk, by=world.fang),
        lambda: keys.limit_key(key_id=key.pk, networks=[], per_minute=1, by=world.fang),
        lambda: keys.demand_signatures(key_id=key.pk, by=world.fang),
    ):
        with pytest.raises(Conflict) as refused:
            call()
        assert refused.value.code == "key_ended"


@pytest.mark.parametrize("who", ["lin", "xu", "zhou", "chen", "he"])
def test_only_the_administrator_changes_keys(world, who):
    person, key = world.staff[who], ApiKey.objects.first()
    for call in (
        lambda: keys.rotate_key(key_id=key.pk, by=person),
        lambda: keys.limit_key(key_id=key.pk, networks=[], per_minute=1, by=person),
        lambda: keys.demand_signatures(key_id=key.pk, by=person),
    ):
        with pytest.raises(Forbidden):
            call()


def test_a_key_says_that_it_ends_soon_fourteen_days_before(world):
    now = timezone.now()
    key, _secret = keys.issue_key(client=world.client, scopes=[], by=world.fang)
    for ends, state in (
        (None, "valid"),
        (now + timedelta(days=14, minutes=1), "valid"),
        (now + timedelta(days=14), "expiring"),
        (now, "expired"),
    ):
        key.expires_at = ends
        assert keys.state_of(key, now) == state
    key.revoked_at = now
    assert keys.state_of(key, now) == "revoked"


# Networks


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        (["203.0.113.0/24"], "203.0.113.9", 200),
        (["203.0.113.0/24"], "203.0.114.9", 403),
        (["203.0.113.9"], "203.0.113.9", 200),
        (["2001:db8::/32"], "2001:db8:1::5", 200),
        (["2001:db8::/32"], "2001:db9::5", 403),
        (["203.0.113.0/24"], "::ffff:203.0.113.9", 200),  # a server that listens on both writes it so
        (["203.0.113.0/24", "10.0.0.0/8"], "10.1.2.3", 200),
        (["203.0.113.0/24"], "", 403),
        ([], "198.51.100.1", 200),
    ],
)
def test_a_key_is_only_good_in_its_networks(world, networks, address, status):
    key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    keys.limit_key(key_id=key.pk, networks=networks, per_minute=None, by=world.fang)
    answer = Api(secret).client.get("/api/v1/users/wen", REMOTE_ADDR=address)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "network_not_allowed"


@pytest.mark.parametrize("wrong", ["example.cn", "203.0.113.9/24", "203.0.113.0/33", "10.0.0.0/8; DROP", "1", ""])
def test_what_is_no_network_is_refused(world, wrong):
    key = ApiKey.objects.first()
    with pytest.raises(Refusal) as refused:
        keys.limit_key(key_id=key.pk, networks=["10.0.0.0/8", wrong], per_minute=None, by=world.fang)
    assert refused.value.errors[0]["field"] == "networks"
    key.refresh_from_db()
    assert key.networks == []


def test_a_key_used_from_elsewhere_rings_once_an_hour_and_tells_no_address(world):
    key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    keys.limit_key(key_id=key.pk, networks=["203.0.113.0/24"], per_minute=None, by=world.fang)
    for turn in range(3):
        assert Api(secret).client.get("/api/v1/users/wen", REMOTE_ADDR=f"198.51.100.{turn}").status_code == 403
        hourly.forget()  # another process
    alarm = Alarm.objects.get(kind="key_exposed")
    assert alarm.subject == f"key:{key.prefix}" and "198.51" not in alarm.detail
    Alarm.objects.update(raised_at=Now() - timedelta(minutes=61))
    hourly.forget()
    assert Api(secret).client.get("/api/v1/users/wen", REMOTE_ADDR="198.51.100.9").status_code == 403
    assert Alarm.objects.filter(kind="key_exposed").count() == 2


FORGED = {"HTTP_X_FORWARDED_FOR": "203.0.113.9"}


@pytest.mark.parametrize(
    ("trust", "hops", "forwarded", "address"),
    [
        (False, 1, "203.0.113.9", "198.51.100.1"),  # nobody asked for a proxy: the header is the caller's own invention
        (True, 1, "", "198.51.100.1"),
        (True, 1, "203.0.113.9", "203.0.113.9"),
        (True, 1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # what stands before our proxy's entry is forged
        (True, 1, "203.0.113.9,6.6.6.6", "6.6.6.6"),
        (True, 2, "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        (True, 3, "203.0.113.9", "203.0.113.9"),
        (True, 1, "203.0.113.9:4711", "203.0.113.9"),
        (True, 1, "[2001:db8::1]:4711", "2001:db8::1"),
        (True, 1, "2001:db8::1", "2001:db8::1"),
        (True, 1, "unknown", ""),
        (True, 1, "6.6.6.6,", ""),
    ],
)
def test_whose_address_it_is_behind_a_proxy(rf, settings, trust, hops, forwarded, address):
    settings.TRUST_PROXY, settings.PROXY_HOPS = trust, hops
    given = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert client_address(rf.get("/", REMOTE_ADDR="198.51.100.1", **given)) == address


def test_a_forged_header_opens_no_network(world, settings):
    key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    keys.limit_key(key_id=key.pk, networks=["203.0.113.0/24"], per_minute=None, by=world.fang)
    assert Api(secret).client.get("/api/v1/users/wen", REMOTE_ADDR="198.51.100.1", **FORGED).status_code == 403
    settings.TRUST_PROXY = True
    sent = {"HTTP_X_FORWARDED_FOR": "203.0.113.9, 198.51.100.1"}
    assert Api(secret).client.get("/api/v1/users/wen", REMOTE_ADDR="10.0.0.1", **sent).status_code == 403
    assert Api(secret).client.get("/api/v1/users/wen", REMOTE_ADDR="10.0.0.1", **FORGED).status_code == 200
