"""Real identity: numbers, encryption, the way from pending to verified, two admins at once (DS-09a/b)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.db import IntegrityError, transaction

from accounts import documents, guardians, identities, sealing, users, verdicts
from accounts.models import Identity, Notice, User
from core import audit, crypto, vault
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent, OutboxEvent
from tests.accounts.pictures import png
from tests.accounts.test_numbers import FULL_WIDTH, MOBILE, with_check_digit
from tests.world import ID_NUMBER, OTHER_ID_NUMBER, USCC

# Encryption


def test_a_number_lies_encrypted_for_its_own_user_row_and_field_and_opens_nowhere_else(world):
    mine, theirs = world.wen.identities.get(), world.qian.identities.get()
    number, name = bytes(mine.number_sealed), bytes(mine.name_sealed)
    assert identities.opened(mine) == (ID_NUMBER, "试名")
    subject = sealing.subject_of(world.wen.pk)
    for sealed, whose, context in (
        (number, subject, f"identity:{theirs.pk}:number"),  # another row
        (number, subject, f"identity:{mine.pk}:name"),  # another field
        (name, subject, f"identity:{mine.pk}:number"),
        (number, sealing.subject_of(world.qian.pk), f"identity:{mine.pk}:number"),  # another user's key
    ):
        with pytest.raises(crypto.Unreadable):
            vault.unseal(sealed, subject=whose, context=context)


def test_what_was_sealed_before_there_were_data_keys_still_opens(world):
    identity = world.wen.identities.get()
    identity.number_sealed = crypto.seal(ID_NUMBER, f"identity:{identity.pk}:number")
    identity.save(update_fields=["number_sealed"])
    assert identities.opened(Identity.objects.get(pk=identity.pk)) == (ID_NUMBER, "试名")


def test_what_was_erased_opens_no_more_and_takes_nothing_new(world):
    identity = world.wen.identities.get()
    vault.shred([sealing.subject_of(world.wen.pk)])
    for read in (identities.opened, sealing.number_of):
        with pytest.raises(vault.Shredded):
            read(identity)
    with pytest.raises(vault.Shredded):
        sealing.key_for(world.wen.pk)


def test_a_user_has_one_data_key_however_often_and_by_how_many_it_is_asked_for(open_world, at_once):
    user = open_world.liu
    keys = at_once(*[lambda: sealing.key_for(user.pk)] * 4)
    assert len(set(keys)) == 1 and keys[0] == vault.data_key(sealing.subject_of(user.pk))


def test_ciphertexts_swapped_in_the_database_are_an_error_for_whoever_looks_never_somebody_elses_number(world):
    mine, theirs = world.wen.identities.get(), world.qian.identities.get()
    swapped = bytes(theirs.number_sealed)
    Identity.objects.filter(pk=mine.pk).update(number_sealed=swapped)
    with pytest.raises(crypto.Unreadable):
        identities.reveal_for_decision(identity_id=mine.pk, reason="核对", by=world.zhou)


def test_the_digest_finds_the_number_across_spellings_and_not_across_methods(world):
    found = identities.with_number("id_number", ID_NUMBER.translate(FULL_WIDTH))
    assert {i.user_id for i in found} == {world.wen.pk, world.ma.pk}
    assert {i.user_id for i in identities.same_identity(world.wen.identities.get())} == {world.ma.pk}
    digest = bytes(found[0].number_digest)
    assert digest != crypto.digest(ID_NUMBER, "identity.mobile") and len(digest) == 32


def test_of_the_national_service_only_a_digest_is_kept(world):
    identity = identities.submit(user=world.liu, method="network_identity", token="a-token-of-theirs", name="x", by="c")
    identity.refresh_from_db()
    assert (identity.number_sealed, identity.name_sealed, identity.number_masked, identity.name_masked) == (
        None,
        None,
        "",
        "",
    )
    assert bytes(identity.number_digest) == crypto.digest("a-token-of-theirs", "identity.network_identity")


# Handing in


def pending(world, user=None, number=OTHER_ID_NUMBER):
    return identities.submit(user=user or world.liu, method="id_number", name="试名", number=number, by="client:test")


def test_a_proof_that_is_handed_in_waits_and_the_user_may_not_publish(world):
    identity = pending(world)
    world.liu.refresh_from_db()
    assert (identity.state, world.liu.identity_status, world.liu.may_publish) == ("pending", "pending", False)
    assert AuditEvent.objects.filter(subject=f"user:{world.liu.pk}", action="identity.submitted").count() == 1


def test_a_newer_proof_replaces_one_that_waits_and_one_that_was_verified(world):
    """GEN-10: a change is verified again."""
    first = pending(world, world.wen)
    assert world.wen.identities.filter(state="replaced").count() == 1
    second = pending(world, world.wen)
    first.refresh_from_db()
    world.wen.refresh_from_db()
    assert (first.state, second.state, world.wen.identity_status) == ("replaced", "pending", "pending")
    assert world.wen.may_publish is False


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"method": "mobile"}, "number"),
        ({"method": "id_number", "number": ID_NUMBER}, "name"),
        ({"method": "id_number", "number": "1", "name": "x"}, "number"),
        ({"method": "uscc", "number": USCC}, "method"),
        ({"method": "network_identity"}, "token"),
        ({"method": "passport", "number": "1"}, "method"),
        ({"method": "document", "number": "E12345678", "name": "x"}, "document_kind"),
        ({"method": "document", "document_kind": "passport", "number": "E1", "name": "x"}, "number"),
        ({"method": "document", "document_kind": "passport", "number": "E12345678"}, "name"),
        ({"method": "document", "document_kind": "passport", "number": "E12345678", "name": "x"}, "documents"),
        ({"method": "mobile", "number": MOBILE, "document_kind": "passport"}, "document_kind"),
        ({"method": "network_identity", "token": "t", "documents": ["x"]}, "documents"),
        ({"method": "mobile", "number": MOBILE, "documents": ["no-upload"]}, "documents"),
    ],
)
def test_a_proof_that_does_not_fit_is_refused_and_nothing_is_written(world, given_, field):
    before = (Identity.objects.count(), AuditEvent.objects.count())
    with pytest.raises(Refusal) as refused:
        identities.submit(user=world.liu, by="client:test", **given_)
    assert (refused.value.status, refused.value.errors[0]["field"]) == (422, field)
    assert (Identity.objects.count(), AuditEvent.objects.count()) == before


# Deciding


def test_verifying_lets_the_user_publish_and_tells_those_who_wait(world):
    identity = pending(world)
    decided = identities.verify(identity_id=identity.pk, by=world.zhou)
    world.liu.refresh_from_db()
    decided.refresh_from_db()
    assert (decided.state, decided.decided_by, world.liu.may_publish) == ("verified", world.zhou, True)
    assert decided.decided_at is not None
    assert OutboxEvent.objects.filter(topic="internal.user_may_publish", subject=str(world.liu.pk)).count() == 1
    actions = [event.action for event in audit.of(f"user:{world.liu.pk}")]
    assert actions[-1] == "user.identity_verified"
    assert decided.history.first().state == "verified"


def test_rejecting_needs_a_reason_and_keeps_it(world):
    identity = pending(world)
    with pytest.raises(Refusal) as refused:
        identities.reject(identity_id=identity.pk, reason="  ", by=world.zhou)
    assert refused.value.errors[0]["field"] == "reason"
    identities.reject(identity_id=identity.pk, reason=" 姓名不符 ", by=world.zhou)
    identity.refresh_from_db()
    world.liu.refresh_from_db()
    assert (identity.state, identity.reject_reason, world.liu.identity_status) == ("rejected", "姓名不符", "rejected")
    assert pending(world).state == "pending"  # and may try again


@pytest.mark.parametrize("second", ["verify", "reject"])
def test_deciding_twice_is_refused_with_the_state_it_is_in(world, second):
    identity = pending(world)
    identities.verify(identity_id=identity.pk, by=world.zhou)
    with pytest.raises(Conflict) as refused:
        extra = {"reason": "x"} if second == "reject" else {}
        getattr(identities, second)(identity_id=identity.pk, by=world.zhou, **extra)
    assert (refused.value.code, refused.value.extra["state"]) == ("state_forbids", "verified")
    identity.refresh_from_db()
    assert identity.state == "verified"


@pytest.mark.parametrize("who", ["lin", "xu", "chen", "he", "fang"])
def test_nobody_but_the_identity_admin_decides_or_looks(world, who):
    identity = pending(world)
    person = world.staff[who]
    for call in (
        lambda: identities.verify(identity_id=identity.pk, by=person),
        lambda: identities.reject(identity_id=identity.pk, reason="x", by=person),
        lambda: identities.reveal_for_decision(identity_id=identity.pk, reason="x", by=person),
    ):
        with pytest.raises(Forbidden):
            call()
    identity.refresh_from_db()
    assert identity.state == "pending"


def test_an_identity_that_does_not_exist_is_not_found(world):
    for call in (identities.verify, lambda **k: identities.reject(reason="x", **k)):
        with pytest.raises(NotFound):
            call(identity_id=uuid7(), by=world.zhou)


def test_a_look_needs_a_reason_and_leaves_its_line_before_the_number_is_read(world, monkeypatch):
    identity = pending(world)
    with pytest.raises(Refusal):
        identities.reveal_for_decision(identity_id=identity.pk, reason="", by=world.zhou)
    shown = identities.reveal_for_decision(identity_id=identity.pk, reason="核对姓名", by=world.zhou)
    assert shown == {"number": OTHER_ID_NUMBER, "name": "试名"}
    line = AuditEvent.objects.get(action="identity.revealed")
    assert (line.subject, line.actor, line.reason) == (f"user:{world.liu.pk}", "staff:zhou", "核对姓名")

    def broken(**kwargs):
        raise RuntimeError("the ledger is away")

    monkeypatch.setattr(identities.audit, "record", broken)
    monkeypatch.setattr(identities, "opened", lambda *a: pytest.fail("read without a ledger line"))
    with pytest.raises(RuntimeError):
        identities.reveal_for_decision(identity_id=identity.pk, reason="核对", by=world.zhou)


def test_two_admins_at_once_make_one_decision(open_world, at_once):
    world = open_world
    identity = pending(world)
    results = at_once(
        lambda: identities.verify(identity_id=identity.pk, by=world.zhou),
        lambda: identities.reject(identity_id=identity.pk, reason="不符", by=world.zhou),
    )
    assert sorted(type(r).__name__ for r in results) == ["Conflict", "Identity"]
    identity.refresh_from_db()
    status = User.objects.get(pk=world.liu.pk).identity_status
    assert identity.state == status and status in ("verified", "rejected")
    decided = AuditEvent.objects.filter(
        subject=f"identity:{identity.pk}", action__in=["identity.verify", "identity.reject"]
    )
    assert decided.count() == 1


def test_two_proofs_at_once_leave_one_that_waits(open_world, at_once):
    world = open_world
    results = at_once(*(lambda n=n: pending(world, number=n) for n in (ID_NUMBER, OTHER_ID_NUMBER)))
    assert all(isinstance(r, Identity) for r in results), results
    assert sorted(world.liu.identities.values_list("state", flat=True)) == ["pending", "replaced"]


def test_a_new_proof_and_a_decision_at_once_never_leave_a_verified_user_with_an_open_proof(open_world, at_once):
    world = open_world
    identity = pending(world)
    at_once(
        lambda: identities.verify(identity_id=identity.pk, by=world.zhou),
        lambda: pending(world, number=ID_NUMBER),
    )
    assert User.objects.get(pk=world.liu.pk).identity_status == "pending"
    assert world.liu.identities.filter(state="pending").count() == 1
    assert world.liu.identities.filter(state="verified").count() == 0


# Documents, and what else a proof may carry


@pytest.fixture(autouse=True)
def evidence_of_the_test(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }


def picture(world, kind="passport"):
    return str(
        documents.take(service=world.service, data=png(), media_type="image/png", kind=kind, by="client:test").pk
    )


def passport(world, **changes):
    given_ = {
        "method": "document",
        "document_kind": "passport",
        "number": "E12345678",
        "name": "Ann Example",
        **changes,
    }
    given_.setdefault("documents", None)
    if given_["documents"] is None:
        given_["documents"] = [picture(world)]
    return identities.submit(user=world.liu, by="client:test", **given_)


def test_a_passport_with_its_picture_waits_for_a_person(world):
    identity = passport(world)
    identity.refresh_from_db()
    assert (identity.state, identity.check_state, identity.document_kind) == ("pending", "none", "passport")
    assert identities.opened(identity) == ("E12345678", "Ann Example")
    assert [d.kind for d in documents.of(identity)] == ["passport"]
    assert list(identities.with_number("document", " e1234-5678 ", "passport")) == [identity]
    assert not identities.with_number("document", "12345678", "taiwan_permit").exists()
    identities.verify(identity_id=identity.pk, by=world.zhou)
    world.liu.refresh_from_db()
    assert (world.liu.may_publish, world.liu.minor) == (True, None)


def test_a_picture_that_cannot_be_claimed_leaves_nothing_behind(world):
    before = (Identity.objects.count(), AuditEvent.objects.count(), world.liu.identity_status)
    with pytest.raises(Refusal) as refused:
        passport(world, documents=[str(uuid7())])
    assert refused.value.errors[0]["field"] == "documents"
    world.liu.refresh_from_db()
    assert (Identity.objects.count(), AuditEvent.objects.count(), world.liu.identity_status) == before


def test_an_account_whose_data_is_only_kept_takes_no_proof_and_is_not_verified(world):
    """GEN-09."""
    identity = pending(world)
    User.objects.filter(pk=world.liu.pk).update(frozen_at="2026-01-01T00:00Z", retain_until="2036-01-01T00:00Z")
    for call in (lambda: pending(world), lambda: identities.verify(identity_id=identity.pk, by=world.zhou)):
        with pytest.raises(Conflict) as refused:
            call()
        assert refused.value.code == "account_frozen"


# Minors (GEN-07)


def born(years_ago: int) -> str:
    return with_check_digit(f"110101{date.today().year - years_ago}0102982")


@pytest.mark.parametrize(("years", "minor"), [(30, False), (18, False), (17, True), (14, True)])
def test_verifying_notes_whether_the_user_is_a_minor(world, years, minor):
    identity = pending(world, number=born(years))
    identities.verify(identity_id=identity.pk, by=world.zhou)
    world.liu.refresh_from_db()
    assert (world.liu.minor, world.liu.may_publish) == (minor, True)


def test_a_child_is_verified_once_the_guardians_consent_is_in_force_and_not_before(world):
    identity = identities.submit(
        user=world.liu, method="id_number", name="试名", number=born(10), documents=[picture(world, "consent")], by="c"
    )
    with pytest.raises(Conflict) as refused:
        identities.verify(identity_id=identity.pk, by=world.zhou)
    assert refused.value.code == "guardian_consent_required"
    consent = guardians.record(
        user=world.liu, relation="mother", name="试母", document_id=identity.documents.get().pk, by=world.zhou
    )
    guardians.withdraw(consent_id=consent.pk, reason="试", by=world.zhou)
    with pytest.raises(Conflict):
        identities.verify(identity_id=identity.pk, by=world.zhou)
    guardians.record(
        user=world.liu, relation="mother", name="试母", document_id=identity.documents.get().pk, by=world.zhou
    )
    identities.verify(identity_id=identity.pk, by=world.zhou)
    world.liu.refresh_from_db()
    assert (world.liu.minor, world.liu.may_publish) == (True, True)


def test_the_age_below_which_a_guardian_is_needed_is_the_operators(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_GUARDIAN_AGE", "18")
    identity = pending(world, number=born(17))
    with pytest.raises(Conflict) as refused:
        identities.verify(identity_id=identity.pk, by=world.zhou)
    assert refused.value.code == "guardian_consent_required"


def test_nobody_verifies_what_cannot_be_read(world):
    identity = pending(world)
    Identity.objects.filter(pk=identity.pk).update(number_sealed=b"v2." + b"x" * 60)
    with pytest.raises(Conflict) as refused:
        identities.verify(identity_id=identity.pk, by=world.zhou)
    assert refused.value.code == "identity_unreadable"


# How many accounts an identity may have


def somebody(world, name):
    return users.register(service=world.service, external_id=name, kind="person", display_name=name, by="client:test")[
        0
    ]


def test_an_identity_has_as_many_accounts_as_the_operator_allows(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "2")
    third = pending(world, somebody(world, "u3"), ID_NUMBER)  # wen and ma have it
    with pytest.raises(Conflict) as refused:
        identities.verify(identity_id=third.pk, by=world.zhou)
    assert (refused.value.code, refused.value.extra["limit"]) == ("identity_limit", 2)
    third.refresh_from_db()
    assert third.state == "pending"
    renewed = pending(world, world.wen, ID_NUMBER)  # one of the two proves theirs again: no account more
    assert identities.verify(identity_id=renewed.pk, by=world.zhou).state == "verified"
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "0")
    assert identities.verify(identity_id=third.pk, by=world.zhou).state == "verified"


def test_two_admins_at_once_do_not_exceed_the_limit(open_world, at_once, monkeypatch):
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "3")
    world = open_world
    waiting = [pending(world, somebody(world, f"u{n}"), ID_NUMBER) for n in range(4)]
    results = at_once(*[lambda i=i: identities.verify(identity_id=i.pk, by=world.zhou) for i in waiting])
    codes = sorted(getattr(r, "code", "verified") for r in results)
    assert codes == ["identity_limit"] * 3 + ["verified"]
    digest = bytes(waiting[0].number_digest)
    assert Identity.objects.filter(number_digest=digest, state="verified").count() == 3


def test_a_rejected_or_replaced_identity_takes_no_place(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "2")
    pending(world, world.ma, OTHER_ID_NUMBER)  # ma has another identity now
    third = pending(world, somebody(world, "u3"), ID_NUMBER)
    assert identities.verify(identity_id=third.pk, by=world.zhou).state == "verified"


# The rest of a verdict


@pytest.mark.parametrize(("days", "expires"), [("10", timedelta(days=10)), ("0", None)])
def test_a_verified_identity_expires_when_the_operator_says(world, monkeypatch, days, expires):
    monkeypatch.setenv("MINGJIAN_IDENTITY_EXPIRY_DAYS", days)
    identity = pending(world)
    identities.verify(identity_id=identity.pk, by=world.zhou)
    identity.refresh_from_db()
    if expires is None:
        assert identity.expires_at is None
    else:
        assert abs(identity.expires_at - identity.decided_at - expires) < timedelta(seconds=1)


def test_a_rejection_names_who_rejected_and_tells_the_user_why(world):
    identity = pending(world)
    identities.reject(identity_id=identity.pk, reason="照片不清", by=world.zhou)
    identity.refresh_from_db()
    notice = Notice.objects.get(user=world.liu, kind="identity_rejected")
    assert identity.rejected_by == world.zhou and "照片不清" in notice.body


def test_a_verdict_without_a_person_names_nobody_and_needs_a_verifier(world):
    identity = pending(world)
    with transaction.atomic():
        assert (
            verdicts.accept_without_person(verdicts.locked(identity.pk), method="verification_service", by="s:t") == ""
        )
    identity.refresh_from_db()
    assert (identity.decided_by, identity.verified_by_method) == (None, "verification_service")
    with pytest.raises(IntegrityError), transaction.atomic():
        Identity.objects.filter(pk=identity.pk).update(verified_by_method="")


def test_registration_asks_the_database_little(world, django_assert_max_num_queries):
    """A user's first proof: savepoint, user, data key, identity and its history, user and its history, ledger."""
    user = somebody(world, "first")
    with django_assert_max_num_queries(9):
        pending(world, user)
