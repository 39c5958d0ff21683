"""Pictures of documents: only what is a picture is taken, nothing readable lies anywhere, and who may not see one sees
nothing (DS-09a, security.md §4)."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from accounts import documents, identities, overturns, picture_headers, users, verification
from accounts.models import Identity, IdentityDocument, Staff, VerificationLease
from core import crypto, evidence, vault
from core.errors import Refusal
from core.models import AuditEvent, Evidence
from tests.accounts.pictures import jpeg, png
from tests.world import ID_NUMBER, OTHER_ID_NUMBER

PICTURE = png()


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }
    return tmp_path / "evidence"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def taken(world, data=PICTURE, kind="front", service=None):
    return documents.take(
        service=service or world.service, data=data, media_type="image/png", kind=kind, by="client:test"
    )


def handed_in(world, *pictures, name="newcomer", number=ID_NUMBER):
    """A pending identity that named these pictures."""
    user, _new = users.register(
        service=world.service, external_id=name, kind="person", display_name="新人", by="client:test"
    )
    identity = identities.submit(user=user, method="id_number", number=number, name="某名", by="client:test")
    claim(identity, *pictures)
    return identity


def claim(identity, *pictures):
    with transaction.atomic():
        documents.claim(ids=[str(one.pk) for one in pictures], identity=identity, by="client:test")
    for one in pictures:
        one.refresh_from_db()


# The headers


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (png(60, 40), ("image/png", 60, 40)),
        (png(60_000, 60_000, real=False), ("image/png", 60_000, 60_000)),
        (jpeg(60, 40), ("image/jpeg", 60, 40)),
        (jpeg(3000, 2000, frame=0xC2), ("image/jpeg", 3000, 2000)),
        (jpeg(7, 5, before=b"\xff\xe1\xff\xff" + b"\xff\xc0" * 32766 + b"\x00"), ("image/jpeg", 7, 5)),
        (jpeg(7, 5, before=b"\xff\xc4\x00\x05\x00\x00\x00\xff\xff\xff"), ("image/jpeg", 7, 5)),
        (png(60, 40)[:32], ("image/png", 0, 0)),
        (b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIDAT" + b"\x00" * 40, ("image/png", 0, 0)),
        (jpeg(60, 40)[:24], ("image/jpeg", 0, 0)),
        (b"\xff\xd8\xff\xda\x00\x02" + jpeg(60, 40)[2:], ("image/jpeg", 0, 0)),
        (b"\xff\xd8\xff\xe0\x00\x00", ("image/jpeg", 0, 0)),
        (b"\xff\xd8\xff", ("image/jpeg", 0, 0)),
        (b"GIF89a" + b"\x00" * 40, None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"%PDF-1.7", None),
        (b"\x89PNG", None),
        (b"", None),
    ],
)
def test_a_header_is_read_and_nothing_else(data, header):
    assert picture_headers.read(data) == header


def test_no_header_makes_the_reader_fail():
    whole = jpeg(60, 40, before=b"\xff\xe1\x00\x06abcd")
    for cut in range(len(whole)):
        picture_headers.read(whole[:cut])
        picture_headers.read(whole[:cut] + os.urandom(16))


# Taking them


def upload(api, data, content_type="image/png", query=""):
    return api.post(f"uploads{query}", raw=data, content_type=content_type)


def test_a_picture_is_taken_and_only_ciphertext_lies_on_the_disk(world, api, storage):
    answer = upload(api, PICTURE, query="?kind=front")
    assert answer.status_code == 201
    assert answer.json() == {"id": answer.json()["id"], "media_type": "image/png", "size": len(PICTURE)}
    document = IdentityDocument.objects.get(pk=answer.json()["id"])
    assert (document.kind, document.identity, document.service) == ("front", None, world.service)
    (stored,) = files(storage)
    raw = stored.read_bytes()
    assert b"PNG" not in raw and b"IHDR" not in raw and PICTURE[20:60] not in raw
    assert not any(raw in bytes(document.key_sealed) for raw in (PICTURE[:16],))
    assert b"".join(documents.stream(document)) == PICTURE
    line = AuditEvent.objects.get(action="document.taken")
    assert line.subject == f"document:{document.pk}" and line.data["size"] == len(PICTURE)


def test_the_same_picture_twice_is_two_files_with_two_keys(world, storage):
    first, second = taken(world), taken(world)
    assert first.sha256 != second.sha256 and len(files(storage)) == 2
    assert bytes(first.key_sealed) != bytes(second.key_sealed)


def multipart(parts, boundary="xx"):
    body = b""
    for name, filename, media_type, data in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if filename:
            body += f'; filename="{filename}"\r\nContent-Type: {media_type}'.encode()
        body += b"\r\n\r\n" + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def test_a_form_with_a_file_is_the_same_and_never_writes_it_in_the_clear(world, api, monkeypatch, storage):
    def no_file(*_args, **_kwargs):
        raise AssertionError("the picture reached a temporary file")

    monkeypatch.setattr("django.core.files.uploadedfile.TemporaryUploadedFile.__init__", no_file)
    large = png(1200, 1200)[:-12] + os.urandom(1_500_000)
    body, content_type = multipart([("kind", "", "", b"passport"), ("file", "x.png", "image/png", large)])
    answer = upload(api, body, content_type)
    assert answer.status_code == 201 and answer.json()["size"] == len(large)
    assert IdentityDocument.objects.get(pk=answer.json()["id"]).kind == "passport"


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"<svg/>", "image/svg+xml", 415, "unsupported_media_type"),
        (PICTURE, "image/webp", 415, "unsupported_media_type"),
        (PICTURE, "application/json", 415, "unsupported_media_type"),
        (PICTURE, "", 415, "unsupported_media_type"),
        (PICTURE, "image/jpeg", 422, "type_mismatch"),
        (jpeg(), "image/png", 422, "type_mismatch"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png", 422, "not_a_picture"),
        (b"GIF89a" + b"\x00" * 60, "image/png", 422, "not_a_picture"),
        (PICTURE[:20], "image/png", 422, "unreadable"),
        (png(0, 40, real=False), "image/png", 422, "unreadable"),
        (png(8000, 5001, real=False), "image/png", 422, "too_many_pixels"),
        (jpeg(65_535, 65_535), "image/jpeg", 422, "too_many_pixels"),
        (b"nonsense", "multipart/form-data; boundary=xx", 422, "required"),
        (b"nonsense", "multipart/form-data", 400, "malformed_multipart"),
        (b"x", "multipart/form-data; boundary=\xff", 400, "malformed_multipart"),
    ],
)
def test_what_is_no_picture_is_refused_and_leaves_nothing(world, api, storage, data, content_type, status, code):
    answer = upload(api, data, content_type)
    problem = answer.json()
    assert answer.status_code == status, problem
    assert code in {problem["code"], *(error["code"] for error in problem.get("errors", []))}
    assert not IdentityDocument.objects.exists() and not files(storage)


def test_an_empty_picture_is_refused(world, api, storage):
    answer = upload(api, *multipart([("file", "a.png", "image/png", b"")]))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "required")
    with pytest.raises(Refusal):
        taken(world, b"")
    assert not files(storage)


def test_forty_million_pixels_are_enough(world, api):
    assert upload(api, png(8000, 5000, real=False)).status_code == 201


def test_parts_of_a_form_are_held_to_the_same_rules(world, api, storage):
    for name, media_type, data, status in (
        ("file", "image/svg+xml", PICTURE, 415),
        ("file", "application/octet-stream", PICTURE, 415),
        ("file", "image/jpeg", PICTURE, 422),
        ("other", "image/png", PICTURE, 422),
    ):
        assert upload(api, *multipart([(name, "a", media_type, data)])).status_code == status, (name, media_type)
    body = multipart([("kind", "", "", b"nonsense"), ("file", "a", "image/png", PICTURE)])
    assert upload(api, *body).json()["errors"][0]["field"] == "kind"
    assert not files(storage)


def test_the_limit_in_bytes_counts_raw_and_in_a_form(world, api, monkeypatch, storage):
    monkeypatch.setenv("MINGJIAN_MAX_DOCUMENT", str(len(PICTURE)))
    assert upload(api, PICTURE).status_code == 201
    assert upload(api, PICTURE + b"\x00").status_code == 413
    assert upload(api, *multipart([("file", "a.png", "image/png", PICTURE)])).status_code == 201
    assert upload(api, *multipart([("file", "a.png", "image/png", PICTURE + b"\x00")])).status_code == 413
    assert upload(api, *multipart([("file", "a.png", "image/png", PICTURE + b"\x00" * 40_000)])).status_code == 413
    assert len(files(storage)) == 2


def test_uploading_needs_the_scope_to_write_users(world, login):
    from accounts import keys
    from tests.conftest import Api

    _key, secret = keys.issue_key(client=world.client, scopes=["users:read"], by=world.fang)
    reader = Api(secret)
    assert upload(reader, PICTURE).json()["code"] == "scope_missing"
    assert upload(reader, PICTURE, "image/gif").status_code == 415  # the body comes before the scope
    assert upload(Api("mj_wrong_key"), PICTURE).status_code == 401
    assert not IdentityDocument.objects.exists()


# Claiming them


def test_a_claimed_picture_opens_by_the_users_key_alone(world):
    picture = taken(world)
    before = bytes(picture.key_sealed)
    identity = handed_in(world, picture)
    assert picture.identity_id == identity.pk and bytes(picture.key_sealed) != before
    assert bytes(picture.key_sealed).startswith(vault.VERSION)
    assert b"".join(documents.stream(documents.find(picture.pk))) == PICTURE
    vault.shred([f"user:{identity.user_id}"])
    with pytest.raises(vault.Shredded):
        b"".join(documents.stream(documents.find(picture.pk)))


def test_claiming_twice_by_the_same_identity_is_one_claim(world):
    picture = taken(world)
    identity = handed_in(world, picture)
    sealed = bytes(picture.key_sealed)
    claim(identity, picture)
    with transaction.atomic():
        documents.claim(ids=[str(picture.pk), str(picture.pk).upper()], identity=identity, by="client:test")
        documents.claim(ids=[], identity=identity, by="client:test")
    picture.refresh_from_db()
    assert bytes(picture.key_sealed) == sealed
    assert AuditEvent.objects.filter(action="document.claimed").count() == 1


def test_what_is_unknown_foreign_taken_or_removed_is_refused_alike(world):
    foreign = taken(world, service=world.other_service)
    others = taken(world)
    handed_in(world, others, name="other", number=OTHER_ID_NUMBER)
    removed = taken(world)
    IdentityDocument.objects.filter(pk=removed.pk).update(removed_at=Now(), key_sealed=None)
    mine = taken(world)
    identity = handed_in(world)
    said = set()
    for bad in (foreign.pk, others.pk, removed.pk, identity.pk, "nonsense", "", 7):
        with pytest.raises(Refusal) as refused, transaction.atomic():
            documents.claim(ids=[str(mine.pk), bad], identity=identity, by="client:test")
        assert refused.value.status == 422
        said.add(str(refused.value.errors))
    assert len(said) == 1 and "'documents'" in said.pop()
    mine.refresh_from_db()
    assert mine.identity_id is None


def test_ten_pictures_are_enough(world):
    identity = handed_in(world)
    with pytest.raises(Refusal), transaction.atomic():
        documents.claim(ids=[str(taken(world).pk) for _n in range(11)], identity=identity, by="client:test")


def test_two_who_claim_one_picture_at_once_and_one_has_it(open_world, at_once):
    picture = taken(open_world)
    first = handed_in(open_world, name="first")
    second = handed_in(open_world, name="second", number=OTHER_ID_NUMBER)

    def claiming(identity):
        def work():
            with transaction.atomic():
                documents.claim(ids=[str(picture.pk)], identity=identity, by="client:test")
            return identity.pk

        return work

    results = at_once(claiming(first), claiming(second))
    won = [result for result in results if not isinstance(result, Exception)]
    assert len(won) == 1 and sum(isinstance(result, Refusal) for result in results) == 1
    picture.refresh_from_db()
    assert picture.identity_id == won[0]


# Reading them


def replace(document, raw):
    path = evidence.path_of(document.sha256)
    storages["evidence"].delete(path)
    storages["evidence"].save(path, ContentFile(raw))


def test_a_damaged_moved_or_cut_file_never_gives_a_byte_that_was_not_authenticated(world):
    plain = png(1200, 1200)[:-12] + os.urandom(3 * 64 * 1024)
    picture, other = taken(world, plain), taken(world, plain)
    with evidence.open_file(picture.sha256) as opened:
        raw = opened.read()
    frame = 64 * 1024 + 16
    changed = bytearray(raw)
    changed[11 + frame + 5] ^= 1
    swapped = raw[:11] + raw[11 + frame : 11 + 2 * frame] + raw[11 : 11 + frame] + raw[11 + 2 * frame :]
    for bad in (raw[:-1], raw[: 11 + 2 * frame], raw[:11], raw[:5], b"", raw + b"\x00", bytes(changed), swapped):
        replace(picture, bad)
        given = b""
        with pytest.raises(documents.Damaged):
            for piece in documents.stream(picture):
                given += piece
        assert plain.startswith(given) and len(given) < len(plain)
    replace(other, raw)  # a file in another's place: the row's id is part of what was authenticated
    with pytest.raises(documents.Damaged):
        next(documents.stream(other))
    replace(picture, raw)
    assert b"".join(documents.stream(picture)) == plain
    picture.key_sealed = other.key_sealed  # another row's key: bound to its row
    with pytest.raises(crypto.Unreadable):
        documents.stream(picture)


# The clock


def test_what_nobody_named_within_a_day_is_removed_with_its_file(world, storage):
    old, young = taken(world), taken(world)
    claimed = taken(world)
    handed_in(world, claimed)
    IdentityDocument.objects.exclude(pk=young.pk).update(created_at=timezone.now() - timedelta(hours=24, seconds=5))
    assert documents.remove_unclaimed() == 1
    assert set(IdentityDocument.objects.values_list("pk", flat=True)) == {young.pk, claimed.pk}
    assert {path.name for path in files(storage)} == {young.sha256, claimed.sha256}
    assert not Evidence.objects.filter(pk=old.sha256).exists()
    assert AuditEvent.objects.get(action="document.removed").subject == f"document:{old.pk}"
    assert documents.remove_unclaimed() == 0


def test_a_removal_that_was_interrupted_leaves_nothing_readable_and_is_finished_by_the_next(
    world, storage, monkeypatch
):
    old = taken(world)
    IdentityDocument.objects.update(created_at=timezone.now() - timedelta(days=2))

    def gone(_sha256):
        raise OSError("the storage is away")

    with monkeypatch.context() as away:
        away.setattr("core.sealed_files.remove", gone)
        with pytest.raises(OSError, match="away"):
            documents.remove_unclaimed()
    old.refresh_from_db()
    assert old.key_sealed is None and old.removed_at is not None and len(files(storage)) == 1
    assert documents.remove_unclaimed() == 1
    assert not files(storage) and not IdentityDocument.objects.exists()
    assert AuditEvent.objects.filter(action="document.removed").count() == 1


def test_a_claim_at_the_moment_of_removal_either_has_the_picture_or_is_refused(open_world, at_once):
    picture = taken(open_world)
    identity = handed_in(open_world)
    IdentityDocument.objects.update(created_at=timezone.now() - timedelta(days=2))

    def claiming():
        with transaction.atomic():
            documents.claim(ids=[str(picture.pk)], identity=identity, by="client:test")

    claimed, removed = at_once(claiming, documents.remove_unclaimed)
    if isinstance(claimed, Refusal):
        assert removed == 1 and not IdentityDocument.objects.exists()
    else:
        assert claimed is None and removed == 0
        assert b"".join(documents.stream(documents.find(picture.pk))) == PICTURE


# Looking at them


@pytest.fixture
def shown(world, login):
    """Zhou holds an identity with a picture and has revealed it."""
    picture = taken(world)
    identity = handed_in(world, picture)
    browser = login("zhou")
    answer = browser.post(reverse("verification_reveal", args=[identity.pk]), {"reason": "核对照片"})
    assert answer.status_code == 200
    return browser, identity, picture, answer


def address(picture):
    return reverse("verification_document", args=[picture.pk])


def test_after_a_reveal_the_picture_is_served_sealed_off(world, shown):
    browser, identity, picture, answer = shown
    assert f'src="{address(picture)}"' in answer.content.decode()
    served = browser.get(address(picture))
    assert served.status_code == 200 and served.content == PICTURE
    assert served["Content-Type"] == "image/png"
    assert served["Content-Disposition"] == 'inline; filename="document.png"'
    assert served["X-Content-Type-Options"] == "nosniff"
    assert served["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert served["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "no-store" in served["Cache-Control"]
    line = AuditEvent.objects.get(action="identity.revealed")
    assert (line.subject, line.reason) == (f"user:{identity.user_id}", "核对照片")


def test_before_a_reveal_there_is_neither_picture_nor_address(world, login):
    picture = taken(world)
    identity = handed_in(world, picture)
    browser = login("zhou")
    page = browser.get(f"/users/verification/?open={identity.pk}").content.decode()
    assert "picture-frame" in page and str(picture.pk) not in page
    assert browser.get(address(picture)).status_code == 404


def test_a_refused_reveal_opens_nothing(world, login):
    picture = taken(world)
    identity = handed_in(world, picture)
    browser = login("zhou")
    assert browser.post(reverse("verification_reveal", args=[identity.pk]), {"reason": " "}).status_code == 422
    assert browser.get(address(picture)).status_code == 404
    assert not AuditEvent.objects.filter(action="identity.revealed").exists()


def test_the_minute_ends_by_the_databases_clock(shown):
    browser, _identity, picture, _answer = shown
    session = browser.session
    session["revealed"] = {**session["revealed"], "until": session["revealed"]["until"] - 61}
    session.save()
    assert browser.get(address(picture)).status_code == 404


def test_a_reveal_of_one_opens_no_other(world, shown):
    browser, _identity, _picture, _answer = shown
    other = taken(world)
    identity = handed_in(world, other, name="another", number=OTHER_ID_NUMBER)
    assert browser.get(f"/users/verification/?open={identity.pk}").status_code == 200  # holds it now
    assert browser.get(address(other)).status_code == 404


def test_whoever_lost_or_gave_back_the_identity_sees_nothing(world, shown):
    browser, _identity, picture, _answer = shown
    VerificationLease.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert browser.get(address(picture)).status_code == 404


def test_once_decided_it_is_closed(world, shown):
    browser, identity, picture, _answer = shown
    held = verification.held_by(world.zhou)
    verification.decide(identity_id=identity.pk, token=held.token, outcome="verify", by=world.zhou)
    assert browser.get(address(picture)).status_code == 404


def test_the_proof_of_a_reveal_is_one_persons_own(world, login, shown):
    _browser, identity, picture, _answer = shown
    colleague = Staff.objects.create(username="qi", display_name="齐眉", role="identity_admin", password="!")
    world.staff["qi"] = colleague
    VerificationLease.objects.filter(identity=identity).update(staff=colleague)
    assert login("qi").get(address(picture)).status_code == 404


@pytest.mark.parametrize("name", ["lin", "xu", "chen", "he", "fang"])
def test_other_roles_get_404_not_403(world, login, shown, name):
    _browser, _identity, picture, _answer = shown
    assert login(name).get(address(picture)).status_code == 404


def test_unclaimed_unknown_damaged_and_erased_are_404(world, shown):
    browser, identity, picture, _answer = shown
    assert browser.get(address(taken(world))).status_code == 404
    assert browser.get(reverse("verification_document", args=[identity.pk])).status_code == 404
    with evidence.open_file(picture.sha256) as opened:
        raw = opened.read()
    replace(picture, raw[:-1])
    assert browser.get(address(picture)).status_code == 404
    replace(picture, raw)
    assert browser.get(address(picture)).status_code == 200
    vault.shred([f"user:{identity.user_id}"])
    assert browser.get(address(picture)).status_code == 404


def test_in_the_second_look_only_the_third_person_sees_it(world, login):
    picture = taken(world)
    identity = handed_in(world, picture)
    colleagues = {
        name: Staff.objects.create(username=name, display_name=name, role="identity_admin", password="!")
        for name in ("qi", "lu")
    }
    world.staff.update(colleagues)
    held = verification.take(identity_id=identity.pk, by=world.zhou)
    verification.decide(identity_id=identity.pk, token=held.token, outcome="reject", reason="看不清", by=world.zhou)
    lu = login("lu")
    reveal = reverse("overturn_reveal", args=[identity.pk])
    assert lu.post(reveal, {"reason": "复核"}).status_code == 409  # nothing is proposed
    overturns.propose(identity_id=identity.pk, reason="照片清楚", by=colleagues["qi"])
    assert lu.get(address(picture)).status_code == 404
    shown = lu.post(reveal, {"reason": "复核"})
    assert shown.status_code == 200 and ID_NUMBER in shown.content.decode()
    assert lu.get(address(picture)).content == PICTURE
    for name in ("zhou", "qi"):
        browser = login(name)
        assert browser.post(reveal, {"reason": "复核"}).status_code == 403
        assert browser.get(address(picture)).status_code == 404
    overturns.decline(
        identity_id=identity.pk,
        reason="驳回成立",
        seen=Identity.objects.get(pk=identity.pk).overturn_at,
        by=colleagues["lu"],
    )
    assert lu.get(address(picture)).status_code == 404
