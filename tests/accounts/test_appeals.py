"""Appeals (DS-12a, GEN-12; contract.md rulings 9 and 10): who may file, until when, who decides, and that success undoes
that measure and nothing else."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import appeals, attempts, measures, notices
from accounts.models import Appeal, Measure, Notice, PublicAttempt, User
from core import audit, links, outbox
from core.calendar import add_working_days
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent, OutboxEvent
from tests.world import work

WHY = "视频不是我发布的，账号被盗用"


def put(world, user=None, by=None, **given):
    given = {"kind": "suspend", "ground": "发布诈骗广告", "until_lifted": True} | given
    return measures.apply(user=user or world.wen, by=by or world.xu, **given)


def file(measure, statement=WHY):
    return appeals.file(measure=measure, statement=statement, by=f"user:{measure.user_id}")[0]


def token_of(measure):
    return links.make("notice", measure.notices.get(kind="measure_applied").pk)


def page_of(measure):
    return reverse("public_appeal", args=[token_of(measure)])


def account(user):
    return User.objects.get(pk=user.pk).account_status


def run_out(measure):
    Measure.objects.filter(pk=measure.pk).update(
        starts_at=timezone.now() - timedelta(days=2), ends_at=timezone.now() - timedelta(seconds=1)
    )
    assert measures.expire_due() == 1


# Filing


def test_an_appeal_names_the_first_decider_and_when_the_answer_is_due(world):
    measure = put(world)
    appeal = file(measure)
    assert re.fullmatch(r"A-\d{4}-\d{5,}", appeal.number)
    assert (appeal.first_decider, appeal.state, appeal.statement) == (world.xu, "open", WHY)
    assert appeal.due_at == add_working_days(timezone.now(), 15)
    receipt = measure.notices.get(kind="appeal_received")
    assert appeal.number in receipt.title
    event = next(e for e in audit.of(f"user:{world.wen.pk}") if e.action == "appeal.received")
    assert (event.actor, event.data["number"], event.reason) == (f"user:{world.wen.pk}", appeal.number, "")


def test_a_second_one_while_the_first_is_open_is_the_first(world):
    measure = put(world)
    first = file(measure)
    again, created = appeals.file(measure=measure, statement="另一种说法", by="user:x")
    assert (again.pk, created, again.statement) == (first.pk, False, WHY)
    other = put(world, kind="warn")
    assert file(other).pk != first.pk  # one per measure, not per user


@pytest.mark.parametrize("said", ["", "  \n", "x" * 4001, "a\x00b"])
def test_a_statement_that_says_nothing_or_too_much_is_refused(world, said):
    with pytest.raises(Refusal) as refused:
        file(put(world), said)
    assert refused.value.errors[0]["field"] == "statement" and not Appeal.objects.exists()


@pytest.mark.parametrize("kind", ["warn", "limit", "suspend", "close"])
def test_every_measure_can_be_appealed_by_its_user_however_restricted(world, kind):
    measure = put(world, kind=kind, until_lifted=None, **({"functions": ["writing"]} if kind == "limit" else {}))
    assert file(measure).state == "open"


def test_the_limit_is_the_one_that_was_published_with_the_measure(world, monkeypatch):
    measure = put(world)
    published = measure.appeal_until
    assert published == add_working_days(timezone.now(), 15)
    monkeypatch.setenv("MINGJIAN_APPEAL_DAYS", "1")
    Measure.objects.filter(pk=measure.pk).update(starts_at=timezone.now() - timedelta(days=10))
    measure.refresh_from_db()
    assert appeals.limit(measure) == published
    assert file(measure).state == "open"
    assert put(world).appeal_until == add_working_days(timezone.now(), 1)


def test_after_the_limit_it_is_too_late_to_the_second(world):
    measure = put(world)
    Measure.objects.filter(pk=measure.pk).update(appeal_until=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Conflict) as refused:
        file(measure)
    assert refused.value.code == "appeal_too_late"
    Measure.objects.filter(pk=measure.pk).update(appeal_until=timezone.now() + timedelta(seconds=30))
    assert file(measure).state == "open"


def test_a_measure_older_than_the_record_of_limits_has_the_options(world):
    measure = put(world)
    Measure.objects.filter(pk=measure.pk).update(appeal_until=None)
    measure.refresh_from_db()
    assert appeals.limit(measure) == add_working_days(measure.starts_at, 15)


def test_one_answer_per_measure_is_final_but_one_taken_back_is_not(world):
    measure = put(world)
    first = file(measure)
    assert appeals.withdraw(appeal_id=first.pk, by=f"user:{world.wen.pk}").state == "withdrawn"
    with pytest.raises(Conflict):
        appeals.withdraw(appeal_id=first.pk, by=f"user:{world.wen.pk}")
    second = file(measure)
    assert second.pk != first.pk and second.number != first.number
    appeals.decide(appeal_id=second.pk, outcome="refuse", reason="证据充分", by=world.chen)
    with pytest.raises(Conflict) as refused:
        file(measure)
    assert refused.value.code == "appeal_decided" and account(world.wen) == "suspended"


# Deciding


def test_accepting_lifts_that_measure_at_once_and_lets_waiting_items_go_on(world):
    item = world.take()
    measure = put(world)
    work()
    item.refresh_from_db()
    assert item.state == "in_review"  # suspended users' items wait
    appeal = file(measure)
    OutboxEvent.objects.all().delete()
    decided = appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="经核实账号被盗用", by=world.chen)
    measure.refresh_from_db()
    assert (decided.state, decided.decided_by, measure.state, measure.lifted_by) == (
        "accepted", world.chen, "lifted", world.chen
    )  # fmt: skip
    assert measure.overturned_at is not None and measure.lift_reason == "经核实账号被盗用"
    assert account(world.wen) == "active"
    topics = list(OutboxEvent.objects.filter(subject=str(world.wen.pk)).values_list("topic", flat=True))
    assert sorted(topics) == ["internal.user_may_publish", "measure.lifted", "notice.created"]
    told = measure.notices.get(kind="appeal_decided")
    assert "经核实账号被盗用" in told.body
    outbox.relay()
    work()
    item.refresh_from_db()
    assert item.state == "released"


def test_accepting_undoes_nothing_else(world):
    limit = put(world, kind="limit", functions=["writing"], until_lifted=None)
    strict, other = put(world), put(world, user=world.liu)
    appeal = file(strict)
    appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="属实", by=world.chen)
    for untouched in (limit, other):
        untouched.refresh_from_db()
        assert (untouched.state, untouched.overturned_at) == ("in_force", None)
    assert (account(world.wen), account(world.liu)) == ("limited", "suspended")


def test_refusing_changes_nothing_but_the_appeal(world):
    measure = put(world)
    appeal = file(measure)
    decided = appeals.decide(appeal_id=appeal.pk, outcome="refuse", reason="证据充分", by=world.zhou)
    measure.refresh_from_db()
    assert (decided.state, measure.state, measure.overturned_at) == ("refused", "in_force", None)
    assert account(world.wen) == "suspended"
    assert "证据充分" in measure.notices.get(kind="appeal_decided").body


@pytest.mark.parametrize("ending", ["expire", "lift"])
def test_what_ended_before_the_answer_is_overturned_in_the_record(world, ending):
    measure = put(world)
    appeal = file(measure)
    if ending == "expire":
        run_out(measure)
    else:
        measures.lift(measure_id=measure.pk, reason="已整改", by=world.xu)
    appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="属实", by=world.chen)
    measure.refresh_from_db()
    assert measure.state == "overturned" and measure.overturned_at is not None
    assert measure.lift_reason == ("" if ending == "expire" else "已整改")
    assert measures.representation(measure)["state"] == "overturned"


@pytest.mark.parametrize("ending", ["expire", "lift"])
def test_what_has_ended_can_still_be_appealed(world, ending):
    measure = put(world)
    if ending == "expire":
        run_out(measure)
    else:
        measures.lift(measure_id=measure.pk, reason="已整改", by=world.xu)
    assert file(measure).state == "open"


def test_the_first_decider_decides_nothing(world):
    appeal = file(put(world))
    with pytest.raises(Forbidden) as refused:
        appeals.decide(appeal_id=appeal.pk, outcome="refuse", reason="我没错", by=world.xu)
    assert refused.value.code == "first_decider"
    appeal.refresh_from_db()
    assert appeal.state == "open"


@pytest.mark.parametrize("who", ["lin", "he", "fang"])
def test_without_the_grant_nobody_decides(world, who):
    appeal = file(put(world))
    with pytest.raises(Forbidden):
        appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="x", by=world.staff[who])


@pytest.mark.parametrize(
    ("given", "field"),
    [({"outcome": "maybe", "reason": "x"}, "outcome"), ({"outcome": "accept", "reason": " "}, "reason")],
)
def test_an_answer_without_what_it_needs_is_refused(world, given, field):
    appeal = file(put(world))
    with pytest.raises(Refusal) as refused:
        appeals.decide(appeal_id=appeal.pk, by=world.chen, **given)
    assert refused.value.errors[0]["field"] == field


def test_an_appeal_that_is_not_there(world):
    with pytest.raises(NotFound):
        appeals.decide(appeal_id=uuid7(), outcome="accept", reason="x", by=world.chen)
    with pytest.raises(NotFound):
        appeals.withdraw(appeal_id=uuid7(), by="user:x")


def test_a_failure_half_way_leaves_everything_as_it_was(world, monkeypatch):
    measure = put(world)
    appeal = file(measure)

    def broken(**_given):
        raise RuntimeError("after the lifting, before the notice")

    monkeypatch.setattr(appeals.notices, "tell", broken)
    with pytest.raises(RuntimeError):
        appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="x", by=world.chen)
    appeal.refresh_from_db()
    measure.refresh_from_db()
    assert (appeal.state, measure.state, account(world.wen)) == ("open", "in_force", "suspended")


# What the database holds by itself


def sql(statement, *params):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, params)


def test_no_sql_decides_by_the_first_decider_or_renames_them(world):
    measure = put(world)
    appeal = file(measure)
    done = "UPDATE accounts_appeal SET state = 'accepted', decided_by_id = %s, decided_at = now(), reason = 'x' WHERE id = %s"
    with pytest.raises(IntegrityError, match="somebody_else_decides_an_appeal"):
        sql(done, world.xu.pk, appeal.pk)
    with pytest.raises(IntegrityError, match="names who decided first"):
        sql("UPDATE accounts_appeal SET first_decider_id = %s WHERE id = %s", world.bai.pk, appeal.pk)
    with pytest.raises(IntegrityError, match="a_decided_appeal_names_who_when_and_why"):
        sql("UPDATE accounts_appeal SET state = 'refused' WHERE id = %s", appeal.pk)
    sql(done, world.chen.pk, appeal.pk)


def test_no_sql_files_a_second_open_one_or_one_for_another_first_decider(world):
    measure = put(world)
    new = (
        "INSERT INTO accounts_appeal (id, number, measure_id, first_decider_id, state, statement, due_at, reason)"
        " VALUES (%s, %s, %s, %s, 'open', 'x', now(), '')"
    )
    with pytest.raises(IntegrityError, match="names who decided first"):
        sql(new, uuid7(), "A-1", measure.pk, world.bai.pk)
    file(measure)
    with pytest.raises(IntegrityError, match="one_open_appeal_per_measure"):
        sql(new, uuid7(), "A-2", measure.pk, world.xu.pk)


# Several at once


def test_many_at_once_file_one(open_world, at_once):
    measure = put(open_world)
    results = at_once(*(lambda n=n: appeals.file(measure=measure, statement=f"{n}", by="user:x") for n in range(6)))
    assert sorted(created for _appeal, created in results) == [False] * 5 + [True]
    assert len({appeal.pk for appeal, _created in results}) == 1
    assert Notice.objects.filter(kind="appeal_received").count() == 1


def test_two_answers_at_once_are_one(open_world, at_once):
    world = open_world
    appeal = file(put(world))
    results = at_once(
        lambda: appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="属实", by=world.chen),
        lambda: appeals.decide(appeal_id=appeal.pk, outcome="refuse", reason="不实", by=world.zhou),
    )
    assert sorted(type(r).__name__ for r in results) == ["Appeal", "Conflict"]
    won = next(r for r in results if isinstance(r, Appeal))
    assert account(world.wen) == ("active" if won.state == "accepted" else "suspended")
    assert Notice.objects.filter(kind="appeal_decided").count() == 1


def test_answer_lifting_and_expiry_at_once_end_it_once(open_world, at_once):
    world = open_world
    measure = put(world, ends_at=timezone.now() + timedelta(days=1), until_lifted=None)
    appeal = file(measure)
    Measure.objects.filter(pk=measure.pk).update(ends_at=timezone.now() - timedelta(seconds=1))
    results = at_once(
        lambda: appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="属实", by=world.chen),
        lambda: measures.lift(measure_id=measure.pk, reason="x", by=world.chen),
        measures.expire_due,
    )
    assert isinstance(results[0], Appeal), results
    measure.refresh_from_db()
    assert measure.overturned_at is not None and account(world.wen) == "active"
    assert OutboxEvent.objects.filter(topic="measure.lifted", subject=str(world.wen.pk)).count() == 1


# The public page


def test_the_page_says_what_was_done_why_and_how_to_appeal(world):
    measure = put(
        world, clause="服务协议 3.2", remedy="删除广告", material="整改说明", ends_at=timezone.now() + timedelta(days=7),
        until_lifted=None,
    )  # fmt: skip
    answer = Client().get(page_of(measure), headers={"accept-language": "en"})
    text = answer.content.decode()
    for said in (
        "Service suspended",
        "发布诈骗广告",
        "服务协议 3.2",
        "删除广告",
        "整改说明",
        "wen",
        "Tuyan Studio",
        "Send the appeal",
    ):
        assert said in text, said
    assert (
        world.wen.display_name not in text
        and world.xu.display_name not in text
        and "xu" not in re.findall(r"\w+", text)
    )
    assert answer["Cache-Control"] == "no-store" and "noindex" in answer["X-Robots-Tag"]
    assert answer["Referrer-Policy"] == "no-referrer"
    assert 'name="robots" content="noindex' in text
    notice = measure.notices.get()
    assert notice.read_at is not None


def test_looking_only_at_the_head_does_not_count_as_opened(world):
    measure = put(world)
    assert Client().head(page_of(measure)).status_code == 200
    assert measure.notices.get().read_at is None


def test_a_wrong_link_is_404_and_says_nothing(world):
    measure = put(world)
    good = token_of(measure)
    for bad in (good[:-1] + ("A" if good[-1] != "A" else "B"), "x" * 48, links.make("request", measure.pk)):
        for method in ("get", "post"):
            assert getattr(Client(), method)(f"/public/appeal/{bad}/").status_code == 404
    assert Client().post(f"/public/appeal/{'x' * 48}/withdraw/").status_code == 404


def test_a_notice_without_a_measure_has_a_page_and_no_form(world):
    notice = notices.tell(user=world.wen, kind="identity_rejected", reason="姓名与号码不符")
    address = reverse("public_appeal", args=[links.make("notice", notice.pk)])
    text = Client().get(address).content.decode()
    assert "姓名与号码不符" in text and "<textarea" not in text
    assert Client().post(address, {"statement": WHY}).status_code == 404


def test_the_way_from_the_link_to_the_answer(world):
    measure = put(world)
    stranger, address = Client(), page_of(measure)
    sent = stranger.post(address, {"statement": WHY, "website": ""})
    assert (sent.status_code, sent["Location"]) == (302, address)
    appeal = Appeal.objects.get()
    text = stranger.get(address).content.decode()
    assert appeal.number in text and 'data-state="open"' in text and 'name="statement"' not in text
    assert WHY not in text  # the holder of the link may be another than the writer
    appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="经核实属实", by=world.chen)
    text = stranger.get(address).content.decode()
    assert 'data-state="lifted"' in text and 'data-state="active"' in text and 'data-state="accepted"' in text
    assert "经核实属实" in text
    again = stranger.post(address, {"statement": WHY})
    assert again.status_code == 409 and 'role="alert"' in again.content.decode()


def test_taking_back_from_the_page(world):
    measure = put(world)
    stranger, address = Client(), page_of(measure)
    assert stranger.post(address + "withdraw/").status_code == 404  # nothing to take back
    stranger.post(address, {"statement": WHY})
    assert stranger.get(address + "withdraw/").status_code == 405
    assert stranger.post(address + "withdraw/").status_code == 302
    assert Appeal.objects.get().state == "withdrawn"
    assert stranger.post(address + "withdraw/").status_code == 409
    assert 'name="statement"' in stranger.get(address).content.decode()


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"statement": ""}, 422),
        ({"statement": "x" * 4001}, 422),
        ({"statement": WHY, "website": "https://spam.example"}, 422),
        ({"statement": "a\x00b"}, 422),
    ],
)
def test_the_form_refuses_beside_the_field(world, given, status):
    answer = Client().post(page_of(put(world)), given)
    assert answer.status_code == status and 'role="alert"' in answer.content.decode()
    assert answer["Referrer-Policy"] == "no-referrer" and not Appeal.objects.exists()


def test_after_the_limit_the_page_shows_no_form_and_says_when_it_ended(world):
    measure = put(world)
    Measure.objects.filter(pk=measure.pk).update(appeal_until=timezone.now() - timedelta(seconds=1))
    answer = Client().get(page_of(measure), headers={"accept-language": "en"})
    assert 'name="statement"' not in answer.content.decode() and "The time to appeal ended" in answer.content.decode()
    assert Client().post(page_of(measure), {"statement": WHY}).status_code == 409


def test_the_form_needs_its_token_but_not_the_origin_that_no_referrer_hides(world):
    measure = put(world)
    browser, address = Client(enforce_csrf_checks=True), page_of(measure)
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', browser.get(address).content.decode())[1]
    assert browser.post(address, {"statement": WHY}, headers={"origin": "null"}).status_code == 403
    body = {"statement": WHY, "csrfmiddlewaretoken": token}
    assert browser.post(address, body, headers={"origin": "https://elsewhere.example"}).status_code == 403
    elsewhere = Client(enforce_csrf_checks=True)
    assert elsewhere.post(address, body, headers={"origin": "null"}).status_code == 403
    assert not Appeal.objects.exists()
    assert browser.post(address, body, headers={"origin": "null"}).status_code == 302


def test_the_language_is_chosen_by_a_link(world):
    browser, address = Client(), page_of(put(world))
    answer = browser.get(address + "?language=en")
    assert (answer.status_code, answer["Location"]) == (302, address)
    assert "Send the appeal" in browser.get(address).content.decode()
    assert browser.get(address + "?language=xx").status_code == 200


def test_tries_are_counted_per_link_and_per_address(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_APPEAL_TRIES", "2")
    measure = put(world)
    for _time in range(2):
        assert Client().post(page_of(measure), {"statement": WHY}).status_code == 302
    answer = Client().post(page_of(measure), {"statement": WHY})
    assert (answer.status_code, answer["Retry-After"]) == (429, "3600")
    other = put(world, user=world.liu)
    monkeypatch.setenv("MINGJIAN_APPEAL_TRIES_PER_ADDRESS", "4")
    assert Client().post(page_of(other), {"statement": WHY}).status_code == 302
    assert Client().post(page_of(other), {"statement": WHY}).status_code == 429
    assert Client(REMOTE_ADDR="10.1.1.1").post(page_of(other), {"statement": WHY}).status_code == 302
    assert not PublicAttempt.objects.filter(digest__contains=b"127.0.0.1").exists()
    PublicAttempt.objects.update(at=timezone.now() - timedelta(hours=2))
    assert Client().post(page_of(measure), {"statement": WHY}).status_code == 302
    PublicAttempt.objects.update(at=timezone.now() - timedelta(hours=25))
    assert attempts.forget_old() > 5 and not PublicAttempt.objects.exists()


# The API


def test_a_program_appeals_with_the_notices_token_and_no_key(world):
    measure = put(world)
    answer = Client().post(
        "/api/v1/appeals", {"token": token_of(measure), "statement": WHY}, content_type="application/json"
    )
    appeal = Appeal.objects.get()
    told = answer.json()
    assert answer.status_code == 201
    assert (told["number"], told["due_at"]) == (appeal.number, appeal.due_at.isoformat().replace("+00:00", "Z"))
    assert appeal.number in Client().get(told["status_url"].removeprefix("http://testserver")).content.decode()
    again = Client().post(
        "/api/v1/appeals", {"token": token_of(measure), "statement": "x"}, content_type="application/json"
    )
    assert again.status_code == 200 and again.json() == told


def test_a_service_appeals_for_its_user_with_a_key(world, api):
    measure = put(world, user=world.qian)
    body = {"measure": str(measure.pk), "user": "qian", "statement": WHY}
    answer = api.post("appeals", body)
    assert answer.status_code == 201 and answer.json()["status_url"].startswith("http")
    event = AuditEvent.objects.get(action="appeal.received")
    assert event.actor.startswith("client:")
    assert api.post("appeals", body).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"measure": "{ma}", "user": "ma", "statement": WHY}, 404, "not_found"),
        ({"measure": "{ma}", "user": "wen", "statement": WHY}, 404, "not_found"),
        ({"measure": "{wen}", "user": "liu", "statement": WHY}, 404, "not_found"),
        ({"measure": "x", "user": "wen", "statement": WHY}, 422, "fields_invalid"),
        ({"user": "wen", "statement": WHY}, 422, "fields_invalid"),
        ({"measure": "{wen}", "statement": WHY}, 422, "fields_invalid"),
        ({"measure": "{wen}", "user": "wen"}, 422, "fields_invalid"),
        ({"measure": "{wen}", "user": "wen", "statement": " "}, 422, "fields_invalid"),
        ({"measure": "{wen}", "user": "wen", "statement": "x" * 4001}, 422, "fields_invalid"),
        ({"measure": "{wen}", "user": "wen", "statement": WHY, "more": 1}, 422, "fields_invalid"),
        ({"token": "x" * 48, "statement": WHY}, 404, "not_found"),
    ],
)
def test_what_the_api_refuses(world, api, body, status, code):
    ids = {"{wen}": str(put(world).pk), "{ma}": str(put(world, user=world.ma).pk)}
    answer = api.post("appeals", {name: ids.get(value, value) for name, value in body.items()})
    assert (answer.status_code, answer.json()["code"]) == (status, code) and not Appeal.objects.exists()


def test_without_a_key_only_a_token_lets_in(world):
    measure = put(world)

    def post(body, **headers):
        return Client(**headers).post("/api/v1/appeals", body, content_type="application/json").status_code

    assert post({"measure": str(measure.pk), "user": "wen", "statement": WHY}) == 401
    assert post({"token": token_of(measure), "statement": WHY}, HTTP_AUTHORIZATION="Bearer mj_wrong_key") == 401
    assert Client().get("/api/v1/appeals").status_code == 405
    assert not Appeal.objects.exists()


def test_tries_by_token_are_limited_on_the_api_too(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_APPEAL_TRIES", "1")
    body = {"token": token_of(put(world)), "statement": WHY}
    assert Client().post("/api/v1/appeals", body, content_type="application/json").status_code == 201
    answer = Client().post("/api/v1/appeals", body, content_type="application/json")
    assert (answer.status_code, answer["Retry-After"]) == (429, "3600")


# The staff's pages


def test_the_list_shows_the_most_urgent_first_and_its_clock(world, login):
    late, soon, later = (file(put(world, user=user)) for user in (world.wen, world.liu, world.ma))
    now = timezone.now()
    for appeal, due in ((late, -1), (soon, 1), (later, 9)):
        Appeal.objects.filter(pk=appeal.pk).update(due_at=now + timedelta(days=due))
    text = login("chen").get("/users/appeals/").content.decode()
    assert re.findall(r'/users/appeals/([0-9a-f-]{36})/"', text) == [str(a.pk) for a in (late, soon, later)]
    assert text.count('class="overdue"') == 1 and text.count('class="soon"') == 1


def test_an_empty_list_says_so(world, login):
    assert "empty-state" in login("chen").get("/users/appeals/").content.decode()


def test_the_page_shows_the_measure_as_it_was_and_what_the_user_was_told(world, login):
    item = world.submit()
    earlier = put(world, kind="warn", ground="首次提醒", until_lifted=None)
    measure = put(world, clause="服务协议 3.2", cause=f"submission:{item.pk}", severity=3, remedy="删除")
    appeal = file(measure)
    measures.lift(measure_id=measure.pk, reason="到期前解除", by=world.xu)
    text = login("chen").get(f"/users/appeals/{appeal.pk}/").content.decode()
    for said in (WHY, "发布诈骗广告", "服务协议 3.2", "首次提醒", "到期前解除", f"/submissions/{item.pk}/"):
        assert said in text, said
    assert text.index('data-state="lifted"') < text.index('data-state="in_force"')  # now, then as it was
    assert measure.notices.get(kind="measure_applied").title in text
    assert earlier.state == "in_force" and 'name="outcome"' in text


def test_the_first_decider_reads_and_is_told_why_they_do_not_decide(world, login):
    appeal = file(put(world))
    browser, address = login("xu"), f"/users/appeals/{appeal.pk}/"
    text = browser.get(address).content.decode()
    assert WHY in text and 'name="outcome"' not in text and 'role="note"' in text
    answer = browser.post(address + "decide/", {"outcome": "refuse", "reason": "我没错"})
    assert answer.status_code == 403 and 'role="alert"' in answer.content.decode()
    appeal.refresh_from_db()
    assert appeal.state == "open"


def test_the_auditor_reads_without_a_form(world, login):
    appeal = file(put(world))
    text = login("he").get(f"/users/appeals/{appeal.pk}/").content.decode()
    assert WHY in text and 'name="outcome"' not in text
    assert login("he").post(f"/users/appeals/{appeal.pk}/decide/", {}).status_code == 403
    assert login("lin").get("/users/appeals/").status_code == 403


def test_an_answer_from_the_page(world, login):
    appeal = file(put(world))
    browser, address = login("chen"), f"/users/appeals/{appeal.pk}/decide/"
    missing = browser.post(address, {"outcome": "accept"})
    assert missing.status_code == 422 and 'role="alert"' in missing.content.decode()
    done = browser.post(address, {"outcome": "accept", "reason": "属实"})
    assert (done.status_code, done["Location"]) == (302, "/users/appeals/")
    assert account(world.wen) == "active"
    late = login("zhou").post(address, {"outcome": "refuse", "reason": "不实"})
    assert late.status_code == 409 and 'role="alert"' in late.content.decode()
    assert browser.get(f"/users/appeals/{uuid7()}/").status_code == 404


def test_the_list_costs_the_same_however_many_wait(world, login, django_assert_max_num_queries):
    browser = login("chen")
    browser.get("/users/appeals/")
    for number in range(10):
        file(put(world, kind="warn", ground=f"第{number}次", until_lifted=None))
    with django_assert_max_num_queries(8):
        assert browser.get("/users/appeals/").status_code == 200
