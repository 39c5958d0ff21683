"""Nobody publishes who has not accepted what must be accepted (DS-08b; contract.md rulings 2 and 4)."""

from __future__ import annotations

import json
import threading

import pytest
from django.db import connection, transaction

from accounts import acceptances, measures, users
from accounts.models import User
from core import gates, jsonbody
from core.models import AuditEvent, Job
from governance import documents
from moderation import intake, queue, screening
from moderation.decisions import HELD, HELD_WORDS, decide
from moderation.models import Submission
from tests.world import SCAM, work


@pytest.fixture
def terms(world):
    return published(world)


def published(world, code="terms", service=None):
    made = documents.create(
        code=code, kind="agreement", title="服务协议", service=service or world.service, by=world.chen
    )
    documents.publish(document=made, text="第一版", by=world.chen)
    documents.publish(document=made, text="第二版", by=world.chen)
    return made


def accept(world, version, user=None, document="terms"):
    acceptances.accept(user=user or world.wen, document=document, version=version, by="client:test")


def settled():
    """Everything due is done, and the news passed on."""
    from core import outbox

    work()
    while outbox.relay():
        work()


def test_without_the_acceptance_an_item_is_refused_and_uses_up_nothing(world, api, terms):
    documents.require(document=terms, number=2, by=world.chen)
    accept(world, 1)
    body = world.body()
    answer = api.post("submissions", body)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (403, "acceptance_required")
    assert (told["document"], told["version"]) == ("terms", 2)
    assert not Submission.objects.exists()
    accept(world, 2)
    assert api.post("submissions", body).status_code == 202


def test_a_later_version_than_the_required_one_is_enough(world, api, terms):
    documents.require(document=terms, number=1, by=world.chen)
    accept(world, 2)
    assert api.post("submissions", world.body()).status_code == 202


def test_the_documents_of_all_services_count_and_those_of_another_do_not(world, api):
    foreign = published(world, "foreign", world.other_service)
    documents.require(document=foreign, number=1, by=world.chen)
    assert api.post("submissions", world.body()).status_code == 202
    house = documents.create(code="house", kind="rules", title="规则", by=world.chen)
    documents.publish(document=house, text="x", by=world.chen)
    documents.require(document=house, number=1, by=world.chen)
    assert api.post("submissions", world.body()).json()["document"] == "house"


def test_of_several_the_first_by_code_is_named(world, api, terms):
    documents.require(document=terms, number=2, by=world.chen)
    rules = published(world, "rules")
    documents.require(document=rules, number=1, by=world.chen)
    assert api.post("submissions", world.body()).json()["document"] == "rules"
    accept(world, 1, document="rules")
    assert api.post("submissions", world.body()).json()["document"] == "terms"


def test_the_order_of_refusals_is_the_contracts(world, api, terms):
    """Replay, gate, fields, account, function, identity, acceptance, prompts."""
    accepted_before = world.body()
    api.post("submissions", accepted_before)
    documents.require(document=terms, number=1, by=world.chen)

    def code(**changes):
        return api.post("submissions", world.body(**changes)).json()["code"]

    assert api.post("submissions", accepted_before).status_code == 200
    assert code(technology="voice") == "fields_invalid"
    assert code(user="qian") == "account_suspended"
    assert code(user="liu") == "identity_not_verified"
    assert code(function="portrait", technology="biometric_image_video") == "acceptance_required"
    assert code(news={"source_unit": "", "url": ""}) == "acceptance_required"
    measures.apply(user=world.wen, kind="limit", ground="测试", functions=["writing"], by=world.zhou)
    assert code() == "function_limited"
    gates.close_gate(capability="release", by=world.chen, directive="令1号")
    assert code() == "gate_closed"
    assert api.post("submissions", accepted_before).status_code == 200


def test_in_a_batch_each_line_is_asked_for_its_own_user(world, api, terms):
    documents.require(document=terms, number=1, by=world.chen)
    User.objects.filter(pk=world.liu.pk).update(identity_status="verified")
    accept(world, 1, user=world.liu)
    rows = [world.body(), world.body(user="liu"), world.body()]
    raw = b"\n".join(json.dumps(row).encode() for row in rows)
    answer = api.post("submissions/batch", raw=raw, content_type="application/x-ndjson")
    said = [json.loads(line) for line in answer.content.splitlines()]
    assert [line["status"] for line in said] == [403, 202, 403]
    assert said[0]["problem"]["document"] == "terms"


def take(world, user):
    line = intake.read_line(jsonbody.encode(world.body(user=user)))
    return intake.take(service=world.service, lines=[line], by="client:test")[0]


@pytest.mark.parametrize("required", [False, True])
def test_intake_asks_nothing_more_for_it(world, terms, django_assert_num_queries, required):
    take(world, "wen")  # functions and policy are remembered now
    if required:
        documents.require(document=terms, number=1, by=world.chen)
        accept(world, 1)
    with django_assert_num_queries(2):
        assert isinstance(take(world, "wen"), intake.Taken)


def test_where_nothing_is_required_no_acceptance_is_looked_at(world, terms):
    """The plan's gate: the part about acceptances never runs."""
    from core.sql import load

    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF, COSTS OFF) " + load("moderation/intake_context"),
            {"service": world.service.pk, "external_ids": ["x"], "users": ["wen"]},
        )
        plan = cursor.fetchone()[0]
    ran = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == "accounts_acceptance"]
    assert ran and all(node["Actual Loops"] == 0 for node in ran)
    documents.require(document=terms, number=1, by=world.chen)
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF, COSTS OFF) " + load("moderation/intake_context"),
            {"service": world.service.pk, "external_ids": ["x"], "users": ["wen"]},
        )
        plan = cursor.fetchone()[0]
    assert any(n["Actual Loops"] for n in nodes(plan[0]["Plan"]) if n.get("Relation Name") == "accounts_acceptance")


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def test_what_is_required_while_an_item_is_under_way_holds_it_until_the_acceptance(world, terms):
    item = world.take()
    documents.require(document=terms, number=2, by=world.chen)
    settled()
    item.refresh_from_db()
    assert (item.state, item.held_for, item.label) == ("in_review", "acceptance_required", None)
    assert "acceptance_required" in HELD_WORDS
    accept(world, 1)
    settled()
    item.refresh_from_db()
    assert item.held_for == "acceptance_required"
    accept(world, 2)
    settled()
    item.refresh_from_db()
    assert (item.state, item.held_for) == ("released", "")
    assert (
        item.label
        and AuditEvent.objects.filter(action="submission.evaluated_again", subject=f"submission:{item.pk}").exists()
    )


def test_a_requirement_that_is_taken_back_frees_what_waits(world, terms):
    item = world.take()
    documents.require(document=terms, number=2, by=world.chen)
    settled()
    documents.require(document=terms, number=None, by=world.chen)
    settled()
    item.refresh_from_db()
    assert item.state == "released"


def test_a_person_releases_nothing_either(world, terms):
    item = world.submit(SCAM)
    documents.require(document=terms, number=1, by=world.chen)
    held = queue.next_task(by=world.lin)
    outcome = decide(submission_id=item.pk, token=held.token, outcome="release", by=world.lin)
    assert outcome.result == HELD
    item.refresh_from_db()
    assert (item.state, item.held_for, item.label) == ("in_review", "acceptance_required", None)


def test_release_costs_as_many_queries_as_without(world, terms, django_assert_num_queries):
    def looked():
        item = Submission.objects.select_related("content", "function", "service__provider").get(pk=world.take().pk)
        return screening.look(item)

    one, other = looked(), looked()
    with transaction.atomic():
        with django_assert_num_queries(2):  # the users' rows; gates and acceptances together
            screening.hold_back([one])
    documents.require(document=terms, number=1, by=world.chen)
    accept(world, 1)
    with transaction.atomic():
        with django_assert_num_queries(2):
            screening.hold_back([other])
    assert (one.held_for, other.held_for) == ("", "")


def test_an_acceptance_at_the_moment_of_the_release_is_never_lost(open_world):
    """The yes and the release meet at the user's row: whichever is second sees the first one."""
    world = open_world
    made = published(world)
    item = world.take()
    documents.require(document=made, number=1, by=world.chen)
    holding, go_on = threading.Event(), threading.Event()

    def yes():
        try:
            with transaction.atomic():
                accept(world, 1)
                holding.set()
                go_on.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=yes)
    thread.start()
    assert holding.wait(10)
    screener = threading.Thread(target=lambda: (work(), connection.close()))
    screener.start()
    # The screener waits for the user's row now; only then the acceptance is committed.
    waited = wait_until(lambda: waiting_for_a_lock() > 0)
    go_on.set()
    thread.join(10)
    screener.join(20)
    assert waited and not thread.is_alive() and not screener.is_alive()
    settled()
    item.refresh_from_db()
    assert (item.state, item.held_for) == ("released", "")
    assert not Job.objects.filter(subject=str(item.pk)).exists()


def waiting_for_a_lock():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]


def wait_until(true, seconds=10.0):
    import time

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_a_new_user_meets_the_gate_too(world, api, terms):
    documents.require(document=terms, number=1, by=world.chen)
    user, _new = users.register(
        service=world.service, external_id="new", kind="person", display_name="新客", by="client:test"
    )
    User.objects.filter(pk=user.pk).update(identity_status="verified")
    assert api.post("submissions", world.body(user="new")).json()["code"] == "acceptance_required"
