"""Requests of persons about their own data (GA-11, GEN-08): taken, worked on, answered, followed by a link."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from accounts import acceptances, appeals, measures, person_bundle, person_requests, reveals
from accounts.models import Notice, PersonRequest, User
from core import calendar, crypto, links
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.models import AuditEvent, CalendarDay, Evidence, Job
from governance import documents as governed
from tests.accounts.test_erasure import lived
from tests.world import CLEAN, ID_NUMBER, work

SECRET_WORDS = "我叫欧阳试名，电话13912345678，请改正"


@pytest.fixture(autouse=True)
def evidence_of_its_own(settings, tmp_path):
    """Bundles of these tests lie apart."""
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }
    return tmp_path / "evidence"


def asked(world, kind="copy", detail="", user=None):
    return person_requests.receive(user=user or world.wen, kind=kind, detail=detail, by="client:test")[0]


def answered(world, kind="copy", user=None):
    """A request whose bundle is ready."""
    request = asked(world, kind, user=user)
    person_requests.make_bundle(request_id=request.pk, by=world.chen)
    work()
    request.refresh_from_db()
    return request


def opened(pieces) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(pieces)))


def data_of(pieces):
    return json.loads(opened(pieces).read("data.json"))


# Taking


def test_a_service_hands_a_request_in_and_gets_number_date_and_address(world, api):
    answer = api.post("users/wen/requests", {"kind": "copy"})
    assert answer.status_code == 201
    body = answer.json()
    request = PersonRequest.objects.get()
    assert body["number"] == request.number and request.number.startswith("D-")
    assert body["kind"] == "copy" and body["state"] == "received"
    assert body["due_at"].endswith("+00:00") and body["received_at"].endswith("+00:00")
    assert body["status_url"].endswith(reverse("public_request", args=[links.make("request", request.pk)]))
    again = api.post("users/wen/requests", {"kind": "copy"})
    assert again.status_code == 200 and again.json()["number"] == request.number
    assert api.post("users/wen/requests", {"kind": "correct", "detail": "x"}).status_code == 201
    listed = api.get("users/wen/requests").json()["results"]
    assert [row["kind"] for row in listed] == ["correct", "copy"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "see"}, "kind"),
        ({}, "kind"),
        ({"kind": "copy", "detail": 5}, "detail"),
        ({"kind": "correct"}, "detail"),
        ({"kind": "correct", "detail": "x" * 4001}, "detail"),
        ({"kind": "correct", "detail": "a\x00"}, "detail"),
        ({"kind": "copy", "else": 1}, "else"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(world, api, body, field):
    answer = api.post("users/wen/requests", body)
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == field
    assert not PersonRequest.objects.exists()


def test_a_stranger_s_user_is_not_found(world, api):
    assert api.post("users/ma/requests", {"kind": "copy"}).status_code == 404
    assert api.get("users/nobody/requests").status_code == 404


def test_the_limit_counts_working_days(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_REQUEST_ANSWER_DAYS", "2")
    request = asked(world)
    request.refresh_from_db()
    assert request.due_at == calendar.add_working_days(request.received_at, 2)
    first_day = request.due_at - timedelta(days=1)
    CalendarDay.objects.update_or_create(
        date=first_day.astimezone(calendar.SHANGHAI).date(), defaults={"working": False}
    )
    later = asked(world, "access")
    assert later.due_at > request.due_at


def test_what_the_person_wrote_is_sealed_under_their_own_key(world):
    request = asked(world, "correct", SECRET_WORDS)
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts_personrequest::text FROM accounts_personrequest")
        (row,) = cursor.fetchone()
    assert "13912345678" not in row and SECRET_WORDS.encode().hex() not in row
    assert person_requests.detail_of(request, by=world.chen) == ""  # not before somebody took it up
    person_requests.take_up(request_id=request.pk, by=world.chen)
    request.refresh_from_db()
    assert person_requests.detail_of(request, by=world.zhou) == SECRET_WORDS
    with pytest.raises(Forbidden):
        person_requests.detail_of(request, by=world.he)


# Answering


def test_a_correction_is_answered_in_words_that_the_person_reads_and_the_ledger_does_not_hold(world):
    request = asked(world, "correct", SECRET_WORDS)
    person_requests.take_up(request_id=request.pk, by=world.chen)
    done = person_requests.finish(request_id=request.pk, answer="改为欧阳试名", by=world.chen)
    assert (done.state, done.decided_by) == ("done", world.chen)
    assert Notice.objects.get(user=world.wen, kind="request_answered").body.count("改为欧阳试名") == 1
    lines = AuditEvent.objects.filter(action__startswith="person_request.")
    assert [line.action.split(".")[1] for line in lines.filter(subject=f"user:{world.wen.pk}").order_by("id")] == [
        "received", "taken_up", "answered",
    ]  # fmt: skip
    assert "欧阳" not in str(list(lines.values()))


def test_a_refusal_gives_reasons(world):
    request = asked(world, "delete")
    with pytest.raises(Refusal) as refused:
        person_requests.refuse(request_id=request.pk, answer="  ", by=world.chen)
    assert refused.value.errors[0]["field"] == "answer"
    done = person_requests.refuse(request_id=request.pk, answer="法律要求保存", by=world.chen)
    assert done.state == "refused"
    assert "法律要求保存" in Notice.objects.get(user=world.wen, kind="request_answered").body
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonRequest.objects.filter(pk=request.pk).update(answer="")


def test_a_settled_request_stays_as_it_is(world):
    request = asked(world, "delete")
    person_requests.refuse(request_id=request.pk, answer="x", by=world.chen)
    for act in (
        lambda: person_requests.refuse(request_id=request.pk, answer="y", by=world.chen),
        lambda: person_requests.take_up(request_id=request.pk, by=world.chen),
        lambda: person_requests.propose_deletion(request_id=request.pk, by=world.chen),
        lambda: person_requests.approve_deletion(request_id=request.pk, by=world.zhou),
    ):
        with pytest.raises(Conflict):
            act()
    assert person_requests.receive(user=world.wen, kind="delete", by="client:t")[1]  # but one may ask again


@pytest.mark.parametrize("kind", ["correct", "delete"])
def test_only_seeing_and_copying_make_a_bundle(world, kind):
    with pytest.raises(Conflict):
        person_requests.make_bundle(request_id=asked(world, kind, "x").pk, by=world.chen)


def test_those_without_the_grant_do_nothing(world):
    request = asked(world)
    for act in (person_requests.take_up, person_requests.make_bundle, person_requests.propose_deletion):
        with pytest.raises(Forbidden):
            act(request_id=request.pk, by=world.lin)
    with pytest.raises(Forbidden):
        person_requests.download(request_id=request.pk, reason="x", by=world.he)


def test_two_at_once_make_one_request(open_world, at_once):
    calls = [lambda: person_requests.receive(user=open_world.wen, kind="copy", by="client:t")[1] for _ in range(5)]
    assert sorted(at_once(*calls)) == [False] * 4 + [True]
    assert PersonRequest.objects.count() == 1


# The bundle


def test_the_bundle_holds_everything_in_a_form_that_people_and_programs_read(world, api):
    measures.apply(user=world.wen, kind="warn", ground="测试警示", by=world.zhou)
    appeals.file(measure=world.wen.measures.get(), statement="冤枉<script>", by="client:t")
    world.submit(CLEAN)
    reveals.note(user_id=world.wen.pk, reason="内部理由", by=world.zhou)
    asked(world, "correct", SECRET_WORDS)
    request = answered(world)
    assert request.state == "done" and request.decided_by == world.chen
    archive = opened(person_requests.download_by_link(request=request))
    assert archive.namelist() == ["index.html", "data.json"] and archive.testzip() is None
    data = json.loads(archive.read("data.json"))
    assert set(data) == {"made_at", *person_bundle.SECTIONS}
    assert data["account"][0]["external_id"] == "wen"
    assert data["identities"][0]["number"] == ID_NUMBER and data["identities"][0]["name"] == "试名"
    assert data["measures"][0]["ground"] == "测试警示" and data["appeals"][0]["statement"] == "冤枉<script>"
    assert data["submissions"][0]["output"] == CLEAN
    assert {row["detail"] for row in data["requests"]} == {SECRET_WORDS, ""}
    assert data["looks"] == [{"at": data["looks"][0]["at"], "what": "reveal", "by_role": "identity_admin"}]
    page = archive.read("index.html").decode()
    assert ID_NUMBER in page and "您的个人信息" in page and "Real identity" in page and CLEAN in page
    assert "冤枉&lt;script&gt;" in page and "<script" not in page
    for whole in (page, archive.read("data.json").decode()):
        assert "周予" not in whole and "zhou" not in whole and "内部理由" not in whole


def test_the_bundle_holds_what_lies_sealed_and_what_was_accepted(world):
    terms = governed.create(code="terms", kind="agreement", title="服务协议", service=world.service, by=world.chen)
    governed.publish(document=terms, text="第一版", by=world.chen)
    acceptances.accept(user=world.wen, document="terms", version=1, address="203.0.113.7", by="client:t")
    lived(world, world.wen)
    data = data_of(iter([b"".join(person_bundle.build(User.objects.get(pk=world.wen.pk)))]))
    assert data["account"][0]["contact"] == "mail@example.cn" and data["account"][0]["profession"] == "医生"
    assert data["acceptances"][0]["address"] == "203.0.113.7" and data["acceptances"][0]["version"] == 1
    assert data["guardians"][0]["name"] == "欧阳监护" and len(data["devices"]) == 1
    assert data["identities"][0]["documents"] == ["other"]
    assert data["notices"] and data["measures"] and data["appeals"]


def test_the_page_of_a_request_is_read_in_either_language(world):
    address = reverse("public_request", args=[links.make("request", asked(world).pk)])
    browser = Client()
    assert browser.get(f"{address}?language=en")["Location"] == address
    assert 'lang="en"' in browser.get(address).content.decode()[:200]


def test_the_bundle_lies_in_the_store_as_ciphertext_only(world, evidence_of_its_own):
    request = answered(world)
    (file,) = [path for path in evidence_of_its_own.rglob("*") if path.is_file()]
    assert file.name == request.bundle_sha256
    raw = file.read_bytes()
    assert b"PK" not in raw[:64] and ID_NUMBER.encode() not in raw and b"index.html" not in raw


def test_asking_twice_for_the_bundle_makes_one_job(world):
    request = asked(world)
    for _ in range(2):
        person_requests.make_bundle(request_id=request.pk, by=world.chen)
    assert Job.objects.filter(kind="person.bundle").count() == 1
    assert Job.objects.get(kind="person.bundle").payload == {}


def test_a_request_that_was_refused_meanwhile_gets_no_bundle(world):
    request = asked(world)
    person_requests.make_bundle(request_id=request.pk, by=world.chen)
    person_requests.refuse(request_id=request.pk, answer="x", by=world.chen)
    work()
    request.refresh_from_db()
    assert (
        request.state == "refused"
        and not request.bundle_sha256
        and not Job.objects.filter(kind="person.bundle").exists()
    )


def test_a_colleague_takes_the_bundle_with_a_reason_and_it_counts_as_a_look(world):
    request = answered(world)
    with pytest.raises(Refusal):
        person_requests.download(request_id=request.pk, reason=" ", by=world.chen)
    data = data_of(person_requests.download(request_id=request.pk, reason="寄给本人", by=world.chen))
    assert data["account"][0]["external_id"] == "wen"
    look = world.wen.looks.get()
    assert (look.kind, look.reason, look.staff) == ("bundle", "寄给本人", world.chen)
    assert AuditEvent.objects.get(action="person_request.downloaded").reason == "寄给本人"


def test_after_fourteen_days_there_is_nothing_to_fetch_and_the_file_is_removed(world, evidence_of_its_own):
    request = answered(world)
    PersonRequest.objects.filter(pk=request.pk).update(decided_at=Now() - timedelta(days=13, hours=23))
    assert person_requests.remove_old_bundles() == 0
    request.refresh_from_db()
    assert data_of(person_requests.download_by_link(request=request))
    PersonRequest.objects.filter(pk=request.pk).update(decided_at=Now() - timedelta(days=14, seconds=1))
    request.refresh_from_db()
    with pytest.raises(NotFound):
        person_requests.download_by_link(request=request)
    with pytest.raises(NotFound):
        person_requests.download(request_id=request.pk, reason="x", by=world.chen)
    assert person_requests.remove_old_bundles() == 1 and person_requests.remove_old_bundles() == 0
    assert not [path for path in evidence_of_its_own.rglob("*") if path.is_file()]
    assert not Evidence.objects.filter(pk=request.bundle_sha256).exists()


def test_a_bundle_of_another_request_does_not_open_with_this_key(world):
    mine, other = answered(world), answered(world, user=world.qian)
    mine.bundle_key_sealed = other.bundle_key_sealed
    with pytest.raises(crypto.Unreadable):
        list(person_requests.download_by_link(request=mine))
    mine.refresh_from_db()
    mine.bundle_sha256 = other.bundle_sha256
    with pytest.raises(person_bundle.sealed_files.Damaged):
        list(person_requests.download_by_link(request=mine))


# The page behind the link


def test_the_person_follows_the_request_and_fetches_the_data_by_the_link(world):
    request = asked(world)
    address = reverse("public_request", args=[links.make("request", request.pk)])
    page = Client().get(address)
    assert page.status_code == 200 and request.number in page.content.decode()
    assert page["Cache-Control"] == "no-store" and page["Referrer-Policy"] == "no-referrer"
    fetch = reverse("public_request_fetch", args=[links.make("request", request.pk)])
    assert Client().post(fetch).status_code == 404
    person_requests.make_bundle(request_id=request.pk, by=world.chen)
    work()
    assert fetch in Client().get(address).content.decode()
    assert Client().get(fetch).status_code == 405
    answer = Client().post(fetch)
    assert answer["Content-Type"] == "application/zip" and "attachment" in answer["Content-Disposition"]
    assert answer["Cache-Control"] == "no-store"
    assert data_of(answer.streaming_content)["account"][0]["external_id"] == "wen"
    assert AuditEvent.objects.get(action="person_request.fetched").actor == "public:link"


def test_a_link_that_was_not_made_here_opens_nothing(world):
    request = asked(world)
    for token in ("x", links.make("notice", request.pk), links.make("request", world.wen.pk)):
        assert Client().get(reverse("public_request", args=[token])).status_code == 404
        assert Client().post(reverse("public_request_fetch", args=[token])).status_code == 404


def test_the_link_stands_in_no_table(world):
    request = answered(world)
    token = links.make("request", request.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE %s', [f"%{token}%"])
            assert cursor.fetchone()[0] == 0, table


# The desk's pages


def test_the_list_shows_what_is_due_first_and_what_is_late(world, login):
    soon, late, later = asked(world, "copy"), asked(world, "delete"), asked(world, "copy", user=world.qian)
    PersonRequest.objects.filter(pk=soon.pk).update(due_at=Now() + timedelta(days=1))
    PersonRequest.objects.filter(pk=late.pk).update(due_at=Now() - timedelta(days=1))
    PersonRequest.objects.filter(pk=later.pk).update(due_at=Now() + timedelta(days=20))
    page = login("chen").get("/users/requests/").content.decode()
    assert page.index(late.number) < page.index(soon.number) < page.index(later.number)
    assert page.count('class="overdue"') == 1 and page.count('class="soon"') == 1


def test_a_request_is_worked_on_from_its_page(world, login):
    chen = login("chen")
    request = asked(world, "correct", SECRET_WORDS)
    address = reverse("person_request", args=[request.pk])
    assert SECRET_WORDS not in chen.get(address).content.decode()
    assert chen.post(reverse("person_request_take", args=[request.pk])).status_code == 302
    assert SECRET_WORDS in chen.get(address).content.decode()
    assert SECRET_WORDS not in login("he").get(address).content.decode()
    wrong = chen.post(reverse("person_request_finish", args=[request.pk]), {"answer": ""})
    assert wrong.status_code == 422 and 'role="alert"' in wrong.content.decode()
    assert chen.post(reverse("person_request_finish", args=[request.pk]), {"answer": "已改正"}).status_code == 302
    assert "已改正" in chen.get(address).content.decode()
    assert chen.get("/users/requests/").content.decode().count(request.number) == 1
    assert chen.get(reverse("person_request", args=[world.wen.pk])).status_code == 404


def test_a_bundle_is_fetched_from_the_page(world, login):
    request = answered(world)
    address = reverse("person_request_download", args=[request.pk])
    assert login("chen").post(address, {"reason": ""}).status_code == 422
    answer = login("chen").post(address, {"reason": "本人到场"})
    assert answer.status_code == 200 and data_of(answer.streaming_content)["account"]


def test_deleting_takes_two_different_people_on_the_pages_too(world, login):
    request = asked(world, "delete")
    propose, approve = (reverse(f"person_request_{act}", args=[request.pk]) for act in ("propose", "approve"))
    assert login("chen").post(approve).status_code == 409  # nobody proposed it
    assert login("chen").post(propose).status_code == 302
    assert login("zhou").post(propose).status_code == 409
    assert login("chen").post(approve).status_code == 403
    assert User.objects.get(pk=world.wen.pk).frozen_at is None
    assert login("zhou").post(approve).status_code == 302
    assert User.objects.get(pk=world.wen.pk).account_status == "closed"


def test_the_database_holds_that_two_people_delete(world):
    request = asked(world, "delete")
    for given in ({}, {"decided_by": world.chen}, {"proposed_by": world.chen, "decided_by": world.chen}):
        for state in ("frozen", "done"):
            with pytest.raises(IntegrityError), transaction.atomic():
                PersonRequest.objects.filter(pk=request.pk).update(state=state, **given)
