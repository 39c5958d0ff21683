"""One-time codes: sent by a job, typed in time they verify a mobile number, and nothing else does (DS-09a)."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.db.models import F

from accounts import code_senders, codes, identities, reverification, users
from accounts.models import Identity, OneTimeCode, User
from core import jobs
from core.errors import Conflict, Refusal
from core.models import AuditEvent, Job, OutboxEvent, QuarantinedJob
from tests.accounts.test_numbers import MOBILE, with_check_digit
from tests.world import work

BY = "client:test"


@pytest.fixture
def outbox_of_codes(monkeypatch):
    """What left for which number, in order; in place of the console of the demonstration."""
    sent = []

    class Sender:
        def send(self, *, number, code, reference):
            sent.append((number, code, reference))

    monkeypatch.setattr(code_senders, "sender", Sender)
    return sent


def handed_in(world, user=None, number=MOBILE):
    return identities.submit(user=user or world.liu, method="mobile", number=number, by=BY)


def somebody(world, name):
    return users.register(service=world.service, external_id=name, kind="person", display_name=name, by=BY)[0]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


def age_code(identity, seconds):
    """Let time pass for a code."""
    passed = timedelta(seconds=seconds)
    OneTimeCode.objects.filter(pk=identity.pk).update(
        sent_at=F("sent_at") - passed, expires_at=F("expires_at") - passed
    )


def test_the_right_code_verifies_without_a_person(world, outbox_of_codes):
    identity = handed_in(world)
    assert outbox_of_codes == []  # never in the request
    work()
    [(number, code, _reference)] = outbox_of_codes
    assert number == MOBILE and re.fullmatch(r"[0-9]{6}", code)
    user = codes.confirm(user=world.liu, code=f" {code[:3]} {code[3:]} ", by=BY)
    identity.refresh_from_db()
    assert (user.identity_status, user.may_publish) == ("verified", True)
    assert (identity.state, identity.decided_by, identity.verified_by_method) == ("verified", None, "one_time_code")
    assert identity.decided_at is not None and identity.expires_at is not None
    assert OutboxEvent.objects.filter(topic="internal.user_may_publish", subject=str(world.liu.pk)).count() == 1
    actions = list(AuditEvent.objects.filter(subject=f"user:{world.liu.pk}").values_list("action", flat=True))
    assert {"identity.code_sent", "identity.code_confirmed", "user.identity_verified"} <= set(actions)


def test_the_same_right_code_again_is_the_same_answer_and_another_is_not(world, outbox_of_codes):
    handed_in(world)
    work()
    code = outbox_of_codes[0][1]
    for _again in range(2):
        assert codes.confirm(user=world.liu, code=code, by=BY).identity_status == "verified"
    assert AuditEvent.objects.filter(action="user.identity_verified", subject=f"user:{world.liu.pk}").count() == 1
    with pytest.raises(Conflict):
        codes.confirm(user=world.liu, code=wrong(code), by=BY)


def test_a_code_lies_nowhere_but_as_a_keyed_digest(world, outbox_of_codes):
    identity = handed_in(world)
    assert bytes(OneTimeCode.objects.get().digest) == b""
    assert Job.objects.get(kind=codes.JOB).payload == {"send": 1}
    work()
    code = outbox_of_codes[0][1]
    row = OneTimeCode.objects.get(pk=identity.pk)
    assert len(bytes(row.digest)) == 32 and code.encode() not in bytes(row.digest)
    assert code not in json.dumps(list(AuditEvent.objects.values_list("data", flat=True)))


def test_wrong_codes_are_counted_and_the_code_is_void_at_last(world, outbox_of_codes):
    handed_in(world)
    work()
    code = outbox_of_codes[0][1]
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(Refusal) as refused:
            codes.confirm(user=world.liu, code=wrong(code), by=BY)
        assert (refused.value.status, refused.value.code, refused.value.extra) == (
            422,
            "code_wrong",
            {"tries_left": left},
        )
    with pytest.raises(Conflict) as refused:
        codes.confirm(user=world.liu, code=code, by=BY)
    assert refused.value.code == "code_void"
    world.liu.refresh_from_db()
    assert world.liu.may_publish is False


def test_a_code_ends_by_the_databases_clock(world, outbox_of_codes):
    identity = handed_in(world)
    work()
    age_code(identity, 299)
    OneTimeCode.objects.filter(pk=identity.pk).update(tries=1)
    age_code(identity, 2)
    with pytest.raises(Conflict) as refused:
        codes.confirm(user=world.liu, code=outbox_of_codes[0][1], by=BY)
    assert refused.value.code == "code_expired"


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "12345x", "١٢٣٤٥٦"])
def test_what_is_no_code_costs_no_try(world, outbox_of_codes, typed):
    identity = handed_in(world)
    work()
    with pytest.raises(Refusal) as refused:
        codes.confirm(user=world.liu, code=typed, by=BY)
    assert refused.value.errors[0]["field"] == "code"
    assert OneTimeCode.objects.get(pk=identity.pk).tries == 0


def test_a_code_that_was_not_sent_yet_is_not_guessed(world, outbox_of_codes):
    handed_in(world)
    with pytest.raises(Conflict) as refused:
        codes.confirm(user=world.liu, code="000000", by=BY)
    assert refused.value.code == "code_not_sent"


def test_a_code_is_for_its_own_proof_only(world, outbox_of_codes):
    handed_in(world)
    work()
    old = outbox_of_codes[0][1]
    newer = handed_in(world, number="13900139000")
    work()
    new = outbox_of_codes[1][1]
    if old != new:
        with pytest.raises(Refusal):
            codes.confirm(user=world.liu, code=old, by=BY)
    codes.confirm(user=world.liu, code=new, by=BY)
    newer.refresh_from_db()
    assert newer.state == "verified"


def test_a_job_of_a_replaced_proof_sends_nothing(world, outbox_of_codes):
    handed_in(world)
    identities.submit(user=world.liu, method="network_identity", token="t", by=BY)
    work()
    assert outbox_of_codes == [] and not Job.objects.filter(kind=codes.JOB).exists()


def test_many_who_type_at_once_have_no_more_tries_than_one(open_world, at_once, outbox_of_codes, monkeypatch):
    world = open_world
    identity = handed_in(world)
    work()
    code = outbox_of_codes[0][1]
    results = at_once(*[lambda: codes.confirm(user=world.liu, code=wrong(code), by=BY)] * 8)
    assert sorted(r.code for r in results) == ["code_void"] * 3 + ["code_wrong"] * 5
    assert OneTimeCode.objects.get(pk=identity.pk).tries == 5


def test_the_right_code_by_two_at_once_is_one_verification(open_world, at_once, outbox_of_codes):
    world = open_world
    handed_in(world)
    work()
    code = outbox_of_codes[0][1]
    results = at_once(*[lambda: codes.confirm(user=world.liu, code=code, by=BY)] * 3)
    assert all(isinstance(r, User) and r.identity_status == "verified" for r in results), results
    assert AuditEvent.objects.filter(action="user.identity_verified", subject=f"user:{world.liu.pk}").count() == 1


# Another code


def test_another_code_makes_the_last_one_void_and_each_pause_is_twice_as_long(world, outbox_of_codes):
    identity = handed_in(world)
    work()
    for number, pause in enumerate((60, 120, 240, 480), start=1):
        age_code(identity, pause - 10)
        with pytest.raises(Refusal) as refused:
            codes.resend(user=world.liu, by=BY)
        assert (refused.value.status, refused.value.code) == (429, "code_too_soon")
        assert 0 < refused.value.retry_after <= 10
        age_code(identity, 10)
        assert codes.resend(user=world.liu, by=BY) == pause * 2
        with pytest.raises(Conflict):
            codes.confirm(user=world.liu, code=outbox_of_codes[-1][1], by=BY)
        work()
        assert len(outbox_of_codes) == number + 1
    age_code(identity, 10_000)
    with pytest.raises(Refusal) as refused:
        codes.resend(user=world.liu, by=BY)
    assert (refused.value.status, refused.value.code) == (429, "code_too_often")
    assert len({reference for _n, _c, reference in outbox_of_codes}) == 5


def test_two_who_ask_at_once_get_one_more_code(open_world, at_once, outbox_of_codes):
    world = open_world
    identity = handed_in(world)
    work()
    age_code(identity, 61)
    results = at_once(*[lambda: codes.resend(user=world.liu, by=BY)] * 3)
    assert sorted(str(getattr(r, "code", r)) for r in results) == ["120", "code_too_soon", "code_too_soon"]
    work()
    assert len(outbox_of_codes) == 2


def test_one_number_is_not_flooded_by_many_proofs(world, outbox_of_codes):
    for n in range(codes.SENDS_A_DAY + 3):
        handed_in(world, somebody(world, f"flood{n}"))
    work()
    assert len(outbox_of_codes) == codes.SENDS_A_DAY
    assert AuditEvent.objects.filter(action="identity.code_held_back").count() == 3
    handed_in(world, number="13900139000")
    work()
    assert outbox_of_codes[-1][0] == "13900139000"


# Who else decides


def test_without_a_sender_a_number_waits_for_a_person(world, settings):
    settings.DEMO = False
    identity = handed_in(world)
    assert not Job.objects.filter(kind=codes.JOB).exists()
    for call in (
        lambda: codes.confirm(user=world.liu, code="123456", by=BY),
        lambda: codes.resend(user=world.liu, by=BY),
    ):
        with pytest.raises(Conflict) as refused:
            call()
        assert refused.value.code == "code_not_sent"
    assert identities.verify(identity_id=identity.pk, by=world.zhou).state == "verified"


def test_in_a_demonstration_a_person_may_decide_too_and_the_code_is_on_the_console(world, capsys):
    identity = handed_in(world)
    work()
    line = re.search(r"one-time code for (\S+): ([0-9]{6})", capsys.readouterr().out)
    assert line[1] == "138******00"
    identities.verify(identity_id=identity.pk, by=world.zhou)
    with pytest.raises(Conflict) as refused:
        codes.confirm(user=world.liu, code=line[2], by=BY)
    assert refused.value.code == "no_code_waited_for"


def test_behind_a_gateway_a_person_waits_until_the_code_can_be_typed_no_more(world, gateway):
    identity = handed_in(world)
    work()
    with pytest.raises(Conflict) as refused:
        identities.verify(identity_id=identity.pk, by=world.zhou)
    assert refused.value.code == "code_waiting"
    age_code(identity, 301)
    assert identities.verify(identity_id=identity.pk, by=world.zhou).verified_by_method == ""


def test_the_right_code_of_an_abnormal_account_is_noted_and_a_person_looks(world, outbox_of_codes):
    """GEN-12."""
    reverification.demand(user=world.wen, reason="异常登录", by=world.zhou)
    identity = handed_in(world, world.wen)
    work()
    user = codes.confirm(user=world.wen, code=outbox_of_codes[0][1], by=BY)
    identity.refresh_from_db()
    assert (user.identity_status, identity.state) == ("pending", "pending")
    assert (identity.check_state, identity.check_detail) == ("match", "one_time_code")
    assert identities.verify(identity_id=identity.pk, by=world.zhou).state == "verified"


def test_a_child_who_was_told_to_bring_a_guardian_does_not_get_in_by_a_mobile_number(world, outbox_of_codes):
    """GEN-07."""
    child = with_check_digit(f"110101{identities.numbers.datetime.now().year - 9}0102982")
    first = identities.submit(user=world.liu, method="id_number", name="试名", number=child, by=BY)
    identities.reject(identity_id=first.pk, reason="请监护人联系我们", by=world.zhou)
    handed_in(world)
    work()
    assert codes.confirm(user=world.liu, code=outbox_of_codes[0][1], by=BY).may_publish is False


def test_a_number_with_too_many_accounts_is_left_to_a_person(world, outbox_of_codes, monkeypatch):
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "1")
    other = somebody(world, "other-account")
    for user, status in ((other, "verified"), (world.liu, "pending")):
        handed_in(world, user)
        work()
        assert codes.confirm(user=user, code=outbox_of_codes[-1][1], by=BY).identity_status == status
    assert AuditEvent.objects.get(action="identity.left_to_person").data == {"why": "identity_limit"}


# The gateway


@pytest.fixture
def gateway(settings):
    """A real SMS gateway on a real socket; `status` is what it answers, `got` what it was handed."""

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            server.got.append((dict(self.headers), json.loads(body)))
            self.send_response(server.status)
            self.send_header("location", server.url)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Gateway)
    server.got, server.status = [], 202
    server.url = f"http://127.0.0.1:{server.server_address[1]}/sms"
    settings.SMS_GATEWAY_URL, settings.SMS_GATEWAY_KEY = server.url, "gateway-key"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_the_gateway_gets_number_code_and_words_once(world, gateway):
    handed_in(world)
    work()
    [(headers, message)] = gateway.got
    assert headers["authorization"] == "Bearer gateway-key"
    assert message["to"] == f"+86{MOBILE}" and message["code"] in message["text"]
    assert codes.confirm(user=world.liu, code=message["code"], by=BY).may_publish


@pytest.mark.parametrize("status", [500, 401, 302])
def test_a_gateway_that_fails_is_tried_three_times_then_a_person_is_told(world, gateway, status):
    gateway.status = status
    identity = handed_in(world)
    for _try in range(3):
        Job.objects.filter(kind=codes.JOB).update(due_at=F("created_at"))
        jobs.work("courier", seconds=5)
    assert len(gateway.got) == 3 and len({m["reference"] for _h, m in gateway.got}) == 1
    assert QuarantinedJob.objects.get().error == f"answered_{status}"
    # None of the codes that may have left is the one that is known last but the last.
    gateway.status = 202
    age_code(identity, 61)
    codes.resend(user=world.liu, by=BY)
    work()
    assert codes.confirm(user=world.liu, code=gateway.got[-1][1]["code"], by=BY).may_publish


def test_a_gateway_that_is_away_harms_nobody(world, settings):
    settings.SMS_GATEWAY_URL = "http://127.0.0.1:9/"
    identity = handed_in(world)
    jobs.work("courier", seconds=5)
    assert Job.objects.get(kind=codes.JOB).attempts == 1
    assert Identity.objects.get(pk=identity.pk).state == "pending"


# The API


def test_the_way_over_the_api(world, api, outbox_of_codes):
    assert api.post("users/liu/identity", {"method": "mobile", "number": MOBILE}).status_code == 202
    assert api.post("users/liu/identity/code", {"code": "123456"}).json()["code"] == "code_not_sent"
    work()
    code = outbox_of_codes[0][1]
    told = api.post("users/liu/identity/code", {"code": wrong(code)})
    assert (told.status_code, told.json()["code"], told.json()["tries_left"]) == (422, "code_wrong", 4)
    soon = api.post("users/liu/identity/code/resend", {})
    assert (soon.status_code, soon.json()["code"]) == (429, "code_too_soon") and int(soon["Retry-After"]) <= 60
    told = api.post("users/liu/identity/code", {"code": code})
    assert (told.status_code, told.json()) == (200, {"identity_status": "verified"})
    assert api.get("users/liu").json()["may_publish"] is True


def test_another_code_over_the_api(world, api, outbox_of_codes):
    api.post("users/liu/identity", {"method": "mobile", "number": MOBILE})
    work()
    age_code(world.liu.identities.get(), 61)
    told = api.post("users/liu/identity/code/resend", {})
    assert (told.status_code, told.json()) == (202, {"identity_status": "pending", "next_in": 120})


@pytest.mark.parametrize("path", ["code", "code/resend"])
def test_only_the_users_own_service_with_the_right_scope_asks(world, api, path):
    body = {"code": "123456"} if path == "code" else {}
    assert api.post(f"users/nobody/identity/{path}", body).status_code == 404
    assert api.post(f"users/ma/identity/{path}", body).status_code == 404  # of another service
    assert api.get(f"users/liu/identity/{path}").status_code == 405
    assert api.post(f"users/liu/identity/{path}", {"x": 1}).status_code == 422
    from accounts import keys
    from tests.conftest import Api

    _key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    assert Api(secret).post(f"users/liu/identity/{path}", body).status_code == 403
    assert Api("mj_no_key").post(f"users/liu/identity/{path}", body).status_code == 401
