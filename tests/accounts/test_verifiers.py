"""The verification service over a real socket: whatever it does, nobody is verified without a signed, fresh, positive
answer to the very question that was asked (DS-09a; fault matrix of the identity verifier)."""

from __future__ import annotations

import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.db.models import F
from django.urls import reverse

from accounts import identities, reverification, service_checks, users, verifiers
from accounts.models import Identity
from accounts.verifiers import Evidence, sandbox, wire
from accounts.verifiers.service import ServiceVerifier
from core import breaker, jobs
from core.errors import Conflict, Forbidden
from core.ids import uuid7
from core.models import Alarm, AuditEvent, Job
from tests.accounts.test_numbers import with_check_digit
from tests.world import ID_NUMBER, OTHER_ID_NUMBER, USCC, work

KEY = "a-shared-key-of-more-than-32-characters"
MISMATCHING = with_check_digit("11010119000102994")  # the sandbox says mismatch where the last but one is 4
NO_ANSWER = with_check_digit("11010119000102999")
BY = "client:test"


@pytest.fixture(autouse=True)
def no_memory_of_failures():
    cache.clear()


@pytest.fixture
def box(settings):
    with sandbox.running(KEY) as running:
        running.slow_for = 3.0
        settings.IDENTITY_VERIFIER_URL, settings.IDENTITY_VERIFIER_KEY = running.url, KEY
        yield running


@pytest.fixture
def automatic(monkeypatch):
    monkeypatch.setenv("MINGJIAN_IDENTITY_AUTOMATIC", "1")


def handed_in(world, user=None, number=ID_NUMBER, **given_):
    return identities.submit(
        user=user or world.liu, by=BY, **{"method": "id_number", "name": "试名", "number": number, **given_}
    )


def fresh(identity):
    return Identity.objects.select_related("user").get(pk=identity.pk)


def said(identity):
    row = fresh(identity)
    return row.check_state, row.check_detail


def attempt(identity):
    """One attempt of the job, whenever it is due."""
    Job.objects.filter(subject=str(identity.pk), kind=service_checks.JOB).update(due_at=F("created_at"))
    jobs.work("courier", seconds=0.01)


def time_passes(identity, seconds):
    Identity.objects.filter(pk=identity.pk).update(submitted_at=F("submitted_at") - timedelta(seconds=seconds))


def ask(url, number=ID_NUMBER, key=KEY, identity_id=None, **given_):
    evidence = Evidence(identity_id or uuid7(), "id_number", name="试名", number=number, **given_)
    return ServiceVerifier(url, key).verify(evidence)


# An honest service


@pytest.mark.parametrize(("number", "state"), [(ID_NUMBER, "match"), (MISMATCHING, "mismatch")])
def test_the_service_is_asked_by_a_job_and_its_answer_stands_beside_the_proof(world, box, number, state):
    identity = handed_in(world, number=number)
    assert said(identity) == ("waiting", "") and box.asked == []
    work()
    row = fresh(identity)
    assert (row.check_state, row.check_detail, row.state) == (state, "", "pending")
    assert row.check_reference.startswith("sandbox-") and row.checked_at is not None
    assert row.user.may_publish is False  # the desk decides
    assert AuditEvent.objects.get(action="identity.checked").data == {"result": state, "detail": ""}
    identities.verify(identity_id=identity.pk, by=world.zhou)


def test_nothing_personal_is_kept_of_question_or_answer(world, box):
    handed_in(world)
    work()
    kept = json.dumps([[str(v) for v in e.values()] for e in AuditEvent.objects.values()], ensure_ascii=False)
    for secret in (ID_NUMBER, "试名", box.asked[0].nonce):
        assert secret not in kept
    assert ID_NUMBER not in repr(Evidence(uuid7(), "id_number", name="试名", number=ID_NUMBER))
    assert not Job.objects.exists()


def test_an_organisation_is_asked_about_by_its_legal_person_and_without_a_name_not_at_all(world, box):
    org = users.register(service=world.service, external_id="org", kind="organization", display_name="o", by=BY)[0]
    assert said(handed_in(world, org, USCC, method="uscc", name="")) == ("none", "")
    identity = handed_in(world, org, USCC, method="uscc", name="试名")
    work()
    assert said(identity) == ("match", "") and [q.method for q in box.asked] == ["uscc"]


def test_what_no_service_is_asked_about_is_for_a_person(world, box):
    assert said(identities.submit(user=world.liu, method="mobile", number="13800138000", by=BY)) == ("none", "")
    outcome = verifiers.verifier_for("document").verify(Evidence(uuid7(), "document"))
    assert (outcome.result, outcome.detail) == ("not_applicable", "person_decides")
    assert isinstance(verifiers.verifier_for("mobile"), verifiers.OneTimeCodeVerifier)
    assert isinstance(verifiers.verifier_for("id_number"), ServiceVerifier)


def test_without_a_service_nothing_is_asked_and_a_person_decides(world):
    identity = handed_in(world)
    assert said(identity) == ("none", "") and not Job.objects.filter(kind=service_checks.JOB).exists()
    assert identities.verify(identity_id=identity.pk, by=world.zhou).state == "verified"


# A person and the waiting


def test_nobody_verifies_while_the_service_has_time_to_answer_and_a_person_does_alone_afterwards(world, box):
    box.mode = "500"
    identity = handed_in(world)
    attempt(identity)
    assert said(identity) == ("waiting", "answered_500")
    with pytest.raises(Conflict) as refused:
        identities.verify(identity_id=identity.pk, by=world.zhou)
    assert refused.value.code == "check_waiting" and "10" in str(refused.value.detail)
    time_passes(identity, 601)
    assert identities.verify(identity_id=identity.pk, by=world.zhou).state == "verified"
    assert said(identity) == ("unavailable", "decided_before")
    attempt(identity)
    assert not Job.objects.filter(kind=service_checks.JOB).exists()


def test_a_rejection_need_not_wait(world, box):
    identity = handed_in(world)
    identities.reject(identity_id=identity.pk, reason="照片不清", by=world.zhou)
    work()
    assert (fresh(identity).state, said(identity), box.asked) == ("rejected", ("unavailable", "decided_before"), [])


def test_once_the_patience_is_over_the_item_says_that_there_was_no_answer(world, box):
    box.mode = "down"
    identity = handed_in(world)
    attempt(identity)
    assert said(identity)[0] == "waiting"
    time_passes(identity, 601)
    attempt(identity)
    assert said(identity) == ("unavailable", "not_reachable")
    assert not Job.objects.filter(kind=service_checks.JOB).exists() and not Alarm.objects.exists()


def test_a_service_that_comes_back_is_heard_and_charges_once(world, box):
    identity = handed_in(world)
    for mode in ("500", "garbage", "ok"):
        box.mode = mode
        attempt(identity)
    assert said(identity) == ("match", "")
    assert len(box.asked) == 3 and box.charged == 1
    assert len({q.nonce for q in box.asked}) == 3


# A service that is away, slow or broken


@pytest.mark.parametrize(
    ("mode", "detail"),
    [
        ("slow", "no_answer_in_time"),
        ("drip", "no_answer_in_time"),
        ("down", "not_reachable"),
        ("500", "answered_500"),
        ("redirect", "answered_307"),
        ("endless", "answer_too_large"),
        ("garbage", "unsigned_answer"),
        ("busy", "unavailable"),
    ],
)
def test_while_it_fails_the_item_waits_and_says_why(world, box, automatic, monkeypatch, mode, detail):
    if detail == "no_answer_in_time":
        monkeypatch.setenv("MINGJIAN_VERIFIER_TIMEOUT", "0.5")
    box.mode = "ok" if mode == "busy" else mode
    identity = handed_in(world, number=NO_ANSWER if mode == "busy" else ID_NUMBER)
    started = time.monotonic()
    attempt(identity)
    assert time.monotonic() - started < 2.5  # "slow" takes 3 seconds, "drip" minutes
    assert said(identity) == ("waiting", "service_has_no_answer" if mode == "busy" else detail)
    assert (fresh(identity).state, fresh(identity).user.may_publish) == ("pending", False)
    assert len(box.asked) == 1 and not Alarm.objects.exists()
    assert Job.objects.get(kind=service_checks.JOB).attempts == 0  # not on the way to quarantine


def test_nobody_listening_is_no_match(world, settings, automatic):
    settings.IDENTITY_VERIFIER_URL, settings.IDENTITY_VERIFIER_KEY = "http://127.0.0.1:9/", KEY
    identity = handed_in(world)
    attempt(identity)
    assert said(identity) == ("waiting", "not_reachable")


def test_a_peer_that_accepts_and_says_nothing_is_left_in_time(monkeypatch, db):
    monkeypatch.setenv("MINGJIAN_VERIFIER_TIMEOUT", "0.3")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        outcome = ask(f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert (outcome.result, outcome.detail, outcome.again) == ("unavailable", "no_answer_in_time", True)
    assert time.monotonic() - started < 2


# A service that lies


@pytest.mark.parametrize(
    ("mode", "detail", "rings"),
    [
        ("wrong", "wrong_signature", True),
        ("lying", "other_nonce", True),
        ("elsewhere", "other_request", True),
        ("stale", "stale_time", False),
        ("unknown", "unknown_result", False),
        ("twice", "unreadable_answer", False),
        ("leaky", "unfit_reference", False),
    ],
)
def test_a_lie_verifies_nobody_and_is_told_to_people(world, box, automatic, mode, detail, rings):
    box.mode = mode
    identity = handed_in(world)
    work()
    assert said(identity) == ("unavailable", detail)
    assert (fresh(identity).state, fresh(identity).check_reference) == ("pending", "")
    assert list(Alarm.objects.values_list("kind", "detail")) == ([("verifier_lies", detail)] if rings else [])
    assert not Job.objects.filter(kind=service_checks.JOB).exists()


def test_an_alarm_rings_once_until_somebody_looked(world, box):
    box.mode = "lying"
    for n in range(3):
        handed_in(world, users.register(
            service=world.service, external_id=f"u{n}", kind="person", display_name="u", by=BY)[0])  # fmt: skip
    work()
    assert Alarm.objects.count() == 1


def test_a_contradiction_takes_the_first_answer_back_and_rings(world, box, automatic, monkeypatch):
    monkeypatch.setenv("MINGJIAN_IDENTITY_AUTOMATIC", "0")
    box.mode = "contradictory"
    identity = handed_in(world)
    work()
    assert said(identity) == ("match", "")
    service_checks.ask_again(identity_id=identity.pk, by=world.zhou)
    with pytest.raises(Conflict):
        identities.verify(identity_id=identity.pk, by=world.zhou)
    work()
    assert said(identity) == ("unavailable", "contradiction")
    assert Alarm.objects.get().detail == "contradiction" and box.charged == 1


def test_the_same_answer_twice_is_no_contradiction(world, box):
    identity = handed_in(world)
    work()
    service_checks.ask_again(identity_id=identity.pk, by=world.zhou)
    work()
    assert said(identity) == ("match", "") and not Alarm.objects.exists()


def test_the_desk_offers_to_ask_again_once_there_is_an_answer(world, box, login):
    identity = handed_in(world)
    desk, button = login("zhou"), reverse("verification_ask_again", args=[identity.pk])
    desk.get(reverse("verification"), {"open": identity.pk})
    assert button not in desk.get(reverse("verification")).content.decode()
    work()
    assert button in desk.get(reverse("verification")).content.decode()
    assert desk.post(button).status_code == 302
    identity.refresh_from_db()
    assert identity.check_state == "waiting"


def test_only_an_identity_admin_asks_again_and_only_what_is_to_be_asked(world, box, settings):
    identity = handed_in(world)
    with pytest.raises(Conflict):  # it is being asked
        service_checks.ask_again(identity_id=identity.pk, by=world.zhou)
    with pytest.raises(Forbidden):
        service_checks.ask_again(identity_id=identity.pk, by=world.xu)
    work()
    settings.IDENTITY_VERIFIER_URL = ""
    with pytest.raises(Conflict) as refused:
        service_checks.ask_again(identity_id=identity.pk, by=world.zhou)
    assert refused.value.code == "no_service"


def answer(key=KEY, purpose=wire.ANSWER, **changes):
    body = wire.encode(
        {
            "request_id": "r",
            "nonce": "n",
            "result": "match",
            "reference": "x",
            "at": datetime.now(UTC).isoformat(),
            **changes,
        }
    )
    return body, wire.signature(key, purpose, body)


def read(body, given):
    return wire.read_answer(
        body, given, key=KEY, request_id="r", nonce="n", now=datetime.now(UTC), personal=(ID_NUMBER, "试名", "")
    )


def test_a_true_answer_counts_and_every_changed_byte_of_it_does_not():
    body, given = answer()
    assert read(body, given).result == "match"
    for place in range(0, len(body), 3):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert read(changed, given).detail == "wrong_signature"
    assert read(body, given[:-1] + ("0" if given[-1] != "0" else "1")).detail == "wrong_signature"
    assert read(body, "é").detail == "wrong_signature"


def test_our_own_question_sent_back_is_no_answer():
    body, given = answer(purpose=wire.REQUEST)
    assert read(body, given).detail == "wrong_signature"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"at": "yesterday"}, "unreadable_answer"),
        ({"at": "2026-11-22T10:00:00"}, "stale_time"),  # in no time zone
        ({"at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, "stale_time"),
        ({"result": True}, "unreadable_answer"),
        ({"result": ""}, "unknown_result"),
        ({"result": "match "}, "unknown_result"),
        ({"reference": "x" * 81}, "unfit_reference"),
        ({"reference": "a b"}, "unfit_reference"),
        ({"reference": f"of:{ID_NUMBER}"}, "unfit_reference"),
    ],
)
def test_a_signed_answer_that_says_nothing_usable_is_no_match(changes, detail):
    outcome = read(*answer(**changes))
    assert (outcome.result, outcome.detail, outcome.reference) == ("unavailable", detail, "")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'{"result": "match"}', b"[" * 10_000])
def test_a_signed_body_that_is_no_answer_is_no_match(body):
    assert read(body, wire.signature(KEY, wire.ANSWER, body)).detail == "unreadable_answer"


def test_a_service_with_another_key_refuses_us_and_nothing_is_believed(box, db):
    outcome = ask(box.url, key="another-key-of-more-than-32-characters")
    assert (outcome.result, outcome.detail) == ("unavailable", "answered_401") and box.refused == [401]


# Answers that come too late


def test_a_late_answer_for_a_replaced_proof_changes_nothing(open_world, box, automatic):
    world = open_world
    box.mode, box.slow_for = "slow", 1.0
    first = handed_in(world)
    worker = threading.Thread(target=_work_alone)
    worker.start()
    _until(lambda: len(box.asked) == 1)
    second = identities.submit(user=world.liu, method="network_identity", token="t", by=BY)
    worker.join(20)
    assert (fresh(first).state, fresh(second).state) == ("replaced", "pending")
    assert said(first) == ("unavailable", "decided_before") and said(second) == ("none", "")
    assert not Job.objects.filter(kind=service_checks.JOB).exists()


def test_a_late_answer_for_a_decided_proof_changes_nothing(open_world, box, automatic):
    world = open_world
    box.mode, box.slow_for = "slow", 1.0
    identity = handed_in(world)
    worker = threading.Thread(target=_work_alone)
    worker.start()
    _until(lambda: len(box.asked) == 1)
    identities.reject(identity_id=identity.pk, reason="不符", by=world.zhou)
    worker.join(20)
    assert (fresh(identity).state, fresh(identity).user.identity_status) == ("rejected", "rejected")


def _work_alone():
    from django.db import connection

    jobs.work("courier", seconds=0.01)
    connection.close()


def _until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


# The breaker


def test_a_service_that_fails_again_and_again_is_left_alone_and_asked_again_by_itself(box, db, monkeypatch):
    monkeypatch.setattr(breaker, "SHORTEST", 1.0)
    box.mode = "500"
    for _n in range(breaker.FAILURES):
        assert ask(box.url).detail == "answered_500"
    assert ask(box.url).detail == "circuit_open"
    assert len(box.asked) == breaker.FAILURES
    box.mode = "ok"
    _until(lambda: ask(box.url).result == "match")  # nobody closed it
    assert ask(box.url).result == "match"


def test_after_its_rest_one_probe_goes_out_not_all_of_them(monkeypatch):
    monkeypatch.setattr(breaker, "SHORTEST", 1.0)
    circuit = breaker.Breaker("probe")
    for _n in range(breaker.FAILURES):
        circuit.failed()
    assert circuit.lets_through(5) is False
    _until(lambda: circuit.lets_through(5))
    assert [circuit.lets_through(5) for _n in range(3)] == [False, False, False]
    circuit.succeeded()
    assert circuit.lets_through(5) is True


def test_a_failed_probe_doubles_the_rest(monkeypatch):
    circuit = breaker.Breaker("doubled")
    rests = []
    monkeypatch.setattr(breaker.cache, "set", lambda key, value, timeout: rests.append(timeout))
    for _n in range(breaker.FAILURES + 5):
        circuit.failed()
    assert rests == [10, 20, 40, 80, 120, 120]


def test_without_a_cache_the_circuit_stays_closed(settings, box, db):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
            "OPTIONS": {"socket_connect_timeout": 0.2},
        }
    }
    box.mode = "500"
    for _n in range(breaker.FAILURES + 1):
        assert ask(box.url).detail == "answered_500"
    box.mode = "ok"
    assert ask(box.url).result == "match"


def test_an_open_circuit_is_said_and_the_item_goes_on_waiting(world, box, automatic):
    box.mode = "500"
    identity = handed_in(world)
    for _n in range(breaker.FAILURES + 1):
        attempt(identity)
    assert said(identity) == ("waiting", "circuit_open")
    assert len(box.asked) == breaker.FAILURES


# A match that stands for a person


def test_a_signed_match_verifies_where_the_operator_wants_it(world, box, automatic):
    identity = handed_in(world)
    work()
    row = fresh(identity)
    assert (row.state, row.verified_by_method, row.decided_by) == ("verified", "verification_service", None)
    assert row.user.may_publish and row.user.minor is False and row.expires_at


def test_a_signed_mismatch_rejects_nobody(world, box, automatic):
    identity = handed_in(world, number=MISMATCHING)
    work()
    assert (fresh(identity).state, said(identity)) == ("pending", ("mismatch", ""))


@pytest.mark.parametrize("why", ["guardian_consent_required", "identity_limit", "person_must_look"])
def test_a_match_is_left_to_a_person_where_one_must_look(world, box, automatic, monkeypatch, why):
    number = ID_NUMBER
    if why == "guardian_consent_required":
        number = with_check_digit(f"110101{datetime.now(UTC).year - 9}0102982")
    elif why == "identity_limit":
        monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "2")
    else:
        reverification.demand(user=world.wen, reason="异常", by=world.zhou)
    identity = handed_in(world, world.wen if why == "person_must_look" else world.liu, number)
    work()
    assert (fresh(identity).state, said(identity)) == ("pending", ("match", ""))
    assert fresh(identity).user.may_publish is False
    assert AuditEvent.objects.get(action="identity.left_to_person").data == {"why": why}


def test_two_matches_at_once_do_not_exceed_the_limit(open_world, at_once, box, automatic, monkeypatch):
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "3")
    world = open_world
    made = [
        handed_in(world, users.register(service=world.service, external_id=f"u{n}", kind="person", display_name="u", by=BY)[0])
        for n in range(3)
    ]  # fmt: skip
    at_once(*[_work_alone] * 3)
    work()
    states = sorted(fresh(i).state for i in made)
    assert states == ["pending", "pending", "verified"]


# The national network identity (GEN-11)


@pytest.fixture
def national(settings):
    with sandbox.running(KEY) as running:
        settings.NETWORK_IDENTITY_URL, settings.NETWORK_IDENTITY_KEY = running.url, KEY
        yield running


def test_the_token_is_sealed_while_it_is_confirmed_and_gone_with_the_answer(world, national, automatic):
    identity = identities.submit(user=world.liu, method="network_identity", token="a-token-27", name="x", by=BY)
    row = fresh(identity)
    assert b"a-token" not in bytes(row.number_sealed) and (row.number_masked, row.name_sealed) == ("", None)
    assert identities.opened(row) == ("", "")  # neither desk nor reveal sees it
    work()
    row = fresh(identity)
    assert (row.state, row.number_sealed, row.number_masked) == ("verified", None, "")
    assert len(bytes(row.number_digest)) == 32
    assert [q.method for q in national.asked] == ["network_identity"]


@pytest.mark.parametrize("how", ["reject", "verify", "replace", "demand", "no answer"])
def test_the_token_goes_however_the_waiting_ends(world, national, how):
    national.mode = "500"
    identity = identities.submit(user=world.liu, method="network_identity", token="a-token-27", by=BY)
    time_passes(identity, 601)
    if how == "reject":
        identities.reject(identity_id=identity.pk, reason="不符", by=world.zhou)
    elif how == "verify":
        identities.verify(identity_id=identity.pk, by=world.zhou)
    elif how == "replace":
        handed_in(world)
    elif how == "demand":
        reverification.demand(user=world.liu, reason="异常", by=world.zhou)
    else:
        attempt(identity)
    row = fresh(identity)
    assert row.number_sealed is None and row.check_state == "unavailable"


# The sandbox itself, and the check of the settings


def test_the_sandbox_refuses_what_is_not_signed_stale_or_sent_twice(box):
    import httpx

    def post(body, given):
        return httpx.post(box.url, content=body, headers={wire.SIGNATURE: given}, trust_env=False).status_code

    question = {"request_id": "r", "nonce": "n", "method": "id_number", "name": "x", "number": ID_NUMBER}
    good = wire.encode({**question, "at": datetime.now(UTC).isoformat()})
    assert post(good, wire.signature(KEY, wire.ANSWER, good)) == 401
    assert post(good, "") == 401
    old = wire.encode({**question, "at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()})
    assert post(old, wire.signature(KEY, wire.REQUEST, old)) == 400
    assert post(good, wire.signature(KEY, wire.REQUEST, good)) == 200
    assert post(good, wire.signature(KEY, wire.REQUEST, good)) == 409


def test_a_service_without_a_good_key_is_an_error_of_the_settings(settings):
    from accounts.startup_checks import services_have_keys

    assert services_have_keys() == []
    settings.IDENTITY_VERIFIER_URL, settings.IDENTITY_VERIFIER_KEY = "http://v.example/", "short"
    assert [e.id for e in services_have_keys()] == ["accounts.E001"]
    settings.HTTPS = True
    assert [e.id for e in services_have_keys()] == ["accounts.E001", "accounts.E002"]


def test_the_command_serves_the_protocol(db):
    import os
    import subprocess
    import sys
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = subprocess.Popen(
        [sys.executable, "manage.py", "identity_sandbox", "--port", str(port)],
        cwd=root, stdout=subprocess.PIPE, text=True, env={**os.environ, "IDENTITY_VERIFIER_KEY": KEY},
    )  # fmt: skip
    try:
        line = started.stdout.readline()
        assert f":{port}/" in line and KEY not in line
        assert ask(f"http://127.0.0.1:{port}/").result == "match"
        assert ask(f"http://127.0.0.1:{port}/", OTHER_ID_NUMBER).result == "mismatch"
    finally:
        started.terminate()
        assert started.wait(10) == 0
        started.stdout.close()
