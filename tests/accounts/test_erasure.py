"""Freezing and erasing (GEN-09): not a day before the retention period is over, and then for good, in backups too."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F

from accounts import appeals, devices, documents, erasure, guardians, identities, measures, person_requests, users
from accounts.models import Appeal, Identity, IdentityDocument, Notice, PersonRequest, User, UserDevice
from core import crypto, vault
from core.errors import Conflict, Refusal
from core.models import AuditEvent, DataKey, Evidence
from moderation.models import Content
from tests.world import BLOCKED, CLEAN, ID_NUMBER, SCAM

NAME = "试名"
ONE_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


@pytest.fixture(autouse=True)
def places_of_its_own(settings, tmp_path):
    """The journal and the files of these tests lie apart."""
    settings.DATA_DIR = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }
    return tmp_path


def deletion(world, user):
    """A deletion that two people decided."""
    request, _created = person_requests.receive(user=user, kind="delete", detail="请删除我的一切", by="client:t")
    person_requests.propose_deletion(request_id=request.pk, by=world.chen)
    person_requests.approve_deletion(request_id=request.pk, by=world.zhou)
    user.refresh_from_db()
    return request


def days_pass(days):
    """Time goes by: frozen records get older. The database's own clock can't be turned, so their dates are."""
    passed = timedelta(days=days)
    User.objects.filter(frozen_at__isnull=False).update(
        frozen_at=F("frozen_at") - passed, retain_until=F("retain_until") - passed
    )


def lived(world, user):
    """A user with everything that a person can leave behind."""
    user.contact_sealed = vault.seal("mail@example.cn", subject=f"user:{user.pk}", context=f"user:{user.pk}:contact")
    user.contact_masked, user.profession, user.institution = "m***@example.cn", "医生", "某医院"
    user.region = user.address_region = "上海"
    user.save()
    devices.seen(user=user, device="device-77")
    picture = documents.take(service=world.service, data=ONE_PIXEL, media_type="image/png", by="client:t")
    identity = user.identities.get()
    documents.claim(ids=[str(picture.pk)], identity=identity, by="client:t")
    guardians.record(user=user, relation="mother", name="欧阳监护", document_id=picture.pk, by=world.zhou)
    measures.apply(user=user, kind="warn", ground="测试警示", by=world.zhou)
    appeals.file(measure=user.measures.get(), statement=f"我是{NAME}，号码{ID_NUMBER}", by="client:t")
    return identity


def every_row_about(user):
    """All rows of all tables as text."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" AS t WHERE t::text LIKE %s', [f"%{user.pk}%"])
            found += [(table, row[0]) for row in cursor.fetchall()]
    return found


# Frozen


def test_a_frozen_account_is_closed_at_once_and_its_record_only_kept(world, api, login):
    deletion(world, world.wen)
    assert (world.wen.account_status, world.wen.may_publish) == ("closed", False)
    assert world.wen.retain_until - world.wen.frozen_at == timedelta(days=183)
    assert api.post("submissions", world.body(user="wen")).status_code == 403
    assert api.get("users/wen").json()["account_status"] == "closed"
    identity = world.wen.identities.get()
    with pytest.raises(Conflict):
        identities.reveal_for_decision(identity_id=identity.pk, reason="x", by=world.zhou)
    page = login("zhou").get(f"/users/{world.wen.pk}/").content.decode()
    assert ID_NUMBER not in page and identity.number_masked in page
    for kind in ("copy", "correct"):
        with pytest.raises(Conflict) as refused:
            person_requests.receive(user=world.wen, kind=kind, detail="x", by="client:t")
        assert refused.value.code == "user_frozen"
    line = AuditEvent.objects.get(action="user.frozen")
    assert line.actor == "staff:zhou" and line.data["retain_until"].startswith(str(world.wen.retain_until.date()))
    assert "请删除" not in str(line.data)


def test_lifting_a_measure_never_opens_a_frozen_account(world):
    measure = measures.apply(user=world.wen, kind="suspend", ground="x", by=world.zhou)
    deletion(world, world.wen)
    measures.lift(measure_id=measure.pk, reason="x", by=world.zhou)
    world.wen.refresh_from_db()
    assert world.wen.account_status == "closed"


def test_a_proof_that_waits_leaves_the_desk(world):
    waiting = identities.submit(user=world.liu, method="mobile", number="13912345678", name=NAME, by="client:t")
    deletion(world, world.liu)
    waiting.refresh_from_db()
    assert waiting.state == "replaced" and world.liu.identity_status == "unverified"
    assert not identities.waiting().filter(user=world.liu).exists()


def test_asking_to_delete_twice_is_one_request(world):
    request = deletion(world, world.wen)
    again, created = person_requests.receive(user=world.wen, kind="delete", by="client:t")
    assert again.pk == request.pk and not created


# Erased


def test_not_a_day_before_and_surely_a_day_after(world):
    deletion(world, world.wen)
    days_pass(182)
    with pytest.raises(Conflict) as refused:
        erasure.erase(user_id=world.wen.pk, by="system:t")
    assert refused.value.code == "retained" and erasure.erase_due() == 0
    assert DataKey.objects.get(pk=f"user:{world.wen.pk}").wrapped is not None
    assert not erasure.journal_path().exists()
    days_pass(2)
    assert erasure.erase_due() == 1 and erasure.erase_due() == 0
    world.wen.refresh_from_db()
    assert world.wen.erased_at and world.wen.display_name == "已注销"
    with pytest.raises(Conflict):
        erasure.erase(user_id=world.wen.pk, by="system:t")


def test_an_account_that_nobody_asked_to_delete_is_never_erased(world):
    with pytest.raises(Conflict):
        erasure.erase(user_id=world.wen.pk, by="system:t")
    assert erasure.erase_due() == 0


def test_the_retention_is_an_option(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_RETENTION_DAYS", "10")
    deletion(world, world.wen)
    days_pass(11)
    assert erasure.erase_due() == 1


def test_what_holds_a_record_is_stronger_than_the_clock(world, monkeypatch):
    monkeypatch.setitem(erasure.HOLDS, "case", lambda user: user.external_id == "wen")
    deletion(world, world.wen)
    deletion(world, world.qian)
    days_pass(200)
    assert erasure.erase_due() == 1  # the other one; the held one stops nobody
    world.wen.refresh_from_db()
    assert world.wen.erased_at is None
    monkeypatch.setitem(erasure.HOLDS, "case", lambda user: False)
    assert erasure.erase_due() == 1


def test_a_failure_changes_nothing_and_stops_nobody(world, monkeypatch):
    def broken(user):
        if user.external_id == "wen":
            raise RuntimeError

    monkeypatch.setitem(erasure.PARTS, "broken", lambda user: broken(user) or 0)
    deletion(world, world.wen)
    deletion(world, world.qian)
    days_pass(200)
    assert erasure.erase_due() == 1
    world.wen.refresh_from_db()
    assert world.wen.erased_at is None and world.wen.display_name == "闻歌"
    assert DataKey.objects.get(pk=f"user:{world.wen.pk}").wrapped is not None


def test_nothing_personal_is_left_anywhere(world, django_capture_on_commit_callbacks, places_of_its_own):
    identity = lived(world, world.wen)
    sealed_before = bytes(identity.number_sealed)
    contact_before = bytes(world.wen.contact_sealed)
    kept, case, held = world.submit(CLEAN), world.submit(BLOCKED), world.submit(SCAM)
    assert (kept.state, case.state, held.state) == ("released", "blocked", "in_review")
    request = deletion(world, world.wen)
    days_pass(184)
    with django_capture_on_commit_callbacks(execute=True):
        counts = erasure.erase(user_id=world.wen.pk, by="system:t")
    assert counts["identities"] == counts["documents"] == counts["guardians"] == counts["devices"] == 1
    assert counts["requests"] == 1 and counts["submissions"] == 1

    subject = f"user:{world.wen.pk}"
    for sealed, context in ((sealed_before, f"identity:{identity.pk}:number"), (contact_before, f"{subject}:contact")):
        with pytest.raises(vault.Shredded):  # as anybody would try who kept an old copy of the row
            vault.unseal(sealed, subject=subject, context=context)
    words = (
        ID_NUMBER,
        NAME,
        "闻歌",
        "欧阳",
        "医生",
        "某医院",
        "上海",
        "example.cn",
        "device-77",
        "请删除",
        "110*",
        "试*",
    )
    digests = (
        crypto.digest(ID_NUMBER, "identity.id_number").hex(), devices.digest("device-77").hex(),
    )  # fmt: skip
    rows = every_row_about(world.wen)
    assert len(rows) > 15
    for table, row in rows:
        for word in (*words, *digests):
            assert word not in row, (table, word)
    assert not UserDevice.objects.filter(user=world.wen).exists()
    assert identities.with_number("id_number", ID_NUMBER).filter(user=world.wen).count() == 0
    assert identities.with_number("id_number", ID_NUMBER).filter(user=world.ma).count() == 1  # another person's stays
    document = IdentityDocument.objects.get(identity=identity)
    assert document.removed_at and document.key_sealed is None
    assert not Evidence.objects.filter(pk=document.sha256).exists()
    assert not [path for path in (places_of_its_own / "evidence").rglob("*") if path.is_file()]
    assert Content.objects.get(pk=kept.pk).output_text == ""
    assert Content.objects.get(pk=case.pk).output_text == BLOCKED  # a case with its evidence (DS-10d)
    assert Content.objects.get(pk=held.pk).output_text == SCAM
    assert (
        Appeal.objects.get(measure__user=world.wen).statement
        == Notice.objects.filter(user=world.wen)[0].body
        == "已注销"
    )
    assert world.wen.measures.get().ground == "测试警示"
    request.refresh_from_db()
    assert request.state == "done" and request.detail_sealed is None
    person = User.objects.get(pk=world.wen.pk)
    assert (person.external_id, person.account_status) == ("wen", "closed")


def test_the_account_registered_again_is_the_closed_one_and_can_not_shed_its_measures(world, api):
    deletion(world, world.wen)
    days_pass(184)
    erasure.erase_due()
    answer = api.post("users", {"external_id": "wen", "kind": "person", "display_name": "新名"})
    assert answer.status_code == 200
    assert answer.json()["account_status"] == "closed" and answer.json()["display_name"] == "已注销"
    with pytest.raises((Refusal, vault.Shredded)):
        identities.submit(
            user=User.objects.get(pk=world.wen.pk), method="mobile", number="13912345678", name=NAME, by="client:t"
        )
    assert not Identity.objects.filter(user=world.wen, state="pending").exists()


def test_the_ledger_says_that_it_happened_and_was_not_touched(world):
    deletion(world, world.wen)
    before = list(AuditEvent.objects.order_by("id").values())
    days_pass(184)
    erasure.erase_due()
    after = list(AuditEvent.objects.order_by("id").values())
    assert after[: len(before)] == before
    line = AuditEvent.objects.get(action="user.erased")
    assert line.actor == "system:clock" and line.data["emptied"]["identities"] == 1


def test_the_pages_show_an_erased_user_and_the_answered_request(world, login):
    request = deletion(world, world.wen)
    days_pass(184)
    erasure.erase_due()
    page = login("zhou").get(f"/users/{world.wen.pk}/")
    assert page.status_code == 200 and "已注销" in page.content.decode()
    assert login("chen").get(f"/users/requests/{request.pk}/").status_code == 200
    assert login("chen").get("/users/?q=wen").status_code == 200


# After an older backup was restored


def test_an_erasure_that_a_restored_backup_has_forgotten_is_carried_out_again(world):
    lived(world, world.wen)
    backup = DataKey.objects.get(pk=f"user:{world.wen.pk}")
    deletion(world, world.wen)
    days_pass(184)
    with_everything = User.objects.get(pk=world.wen.pk)
    old_identity = Identity.objects.get(user=world.wen)
    assert erasure.erase_due() == 1
    journal = erasure.journal_path()
    assert [str(world.wen.pk)] == [str(pk) for pk in erasure.read_journal(journal)]
    assert journal.stat().st_mode & 0o777 == 0o600
    # The backup: rows and the data key as they were, and no line in the ledger about the erasure.
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        AuditEvent.objects.filter(action="user.erased").delete()
        cursor.execute("SET session_replication_role = DEFAULT")
    backup.save(force_update=True)
    with_everything.frozen_at = with_everything.retain_until = None
    with_everything.save()
    old_identity.save()
    PersonRequest.objects.all().delete()
    assert identities.with_number("id_number", ID_NUMBER).filter(user=world.wen).exists()

    out = StringIO()
    call_command("replay_erasures", stdout=out)
    assert "1 erasures on record, 1 carried out again" in out.getvalue()
    world.wen.refresh_from_db()
    assert world.wen.erased_at and world.wen.account_status == "closed" and world.wen.display_name == "已注销"
    assert DataKey.objects.get(pk=f"user:{world.wen.pk}").wrapped is None
    assert not identities.with_number("id_number", ID_NUMBER).filter(user=world.wen).exists()
    out = StringIO()
    call_command("replay_erasures", stdout=out)
    assert "1 erasures on record, 0 carried out again" in out.getvalue()


def test_the_ledger_alone_and_another_journal_alone_are_enough(world, tmp_path):
    deletion(world, world.wen)
    days_pass(184)
    erasure.erase_due()
    User.objects.filter(pk=world.wen.pk).update(erased_at=None)
    erasure.journal_path().unlink()
    call_command("replay_erasures", stdout=StringIO())
    world.wen.refresh_from_db()
    assert world.wen.erased_at  # told by the ledger
    other = tmp_path / "from-the-backup.jsonl"
    other.write_text(json.dumps({"user": str(world.qian.pk)}) + '\nnonsense\n{"user": 5}\n{"cut o')
    call_command("replay_erasures", str(other), stdout=StringIO())
    world.qian.refresh_from_db()
    assert world.qian.erased_at


def test_users_that_a_backup_does_not_know_are_passed_over(world, tmp_path):
    from core.ids import uuid7

    other = tmp_path / "j.jsonl"
    other.write_text(json.dumps({"user": str(uuid7())}) + "\n")
    out = StringIO()
    call_command("replay_erasures", str(other), stdout=out)
    assert "1 erasures on record, 0 carried out again" in out.getvalue()


def test_a_line_that_a_crash_cut_off_spoils_no_other(world):
    erasure.journal_path().write_text('{"user": "cut o')
    deletion(world, world.wen)
    days_pass(184)
    erasure.erase_due()
    assert list(erasure.read_journal(erasure.journal_path())) == [world.wen.pk]


def test_two_clocks_at_once_erase_once(open_world, at_once):
    deletion(open_world, open_world.wen)
    days_pass(184)
    results = at_once(*[lambda: erasure.erase(user_id=open_world.wen.pk, by="system:t") for _ in range(3)])
    assert sum(isinstance(r, dict) for r in results) == 1
    assert sum(isinstance(r, Conflict) for r in results) == 2
    assert users.representation(User.objects.get(pk=open_world.wen.pk))["display_name"] == "已注销"
