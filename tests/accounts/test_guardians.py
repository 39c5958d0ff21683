"""Guardians of minors (GEN-07): a child's identity is verified only with a guardian's consent on record."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone
from stdnum.cn import ric

from accounts import documents, guardians, identities, numbers, overturns, users, verification
from accounts.models import GuardianConsent, Identity, Staff
from core import crypto, vault
from core.calendar import SHANGHAI
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.models import AuditEvent
from tests.accounts.pictures import png
from tests.world import ID_NUMBER, OTHER_ID_NUMBER

GUARDIAN = "欧阳监护"


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }


def number_of_age(years: int, *, days: int = 0) -> str:
    """An invented number whose holder turned so old so many days ago; the county and the count are nobody's."""
    today = timezone.now().astimezone(SHANGHAI).date()
    born = today.replace(year=today.year - years, day=min(today.day, 28)) - timedelta(days=days)
    body = f"110101{born:%Y%m%d}998"
    return body + ric.calc_check_digit(body + "0")


def handed_in(world, number, *, name="kid", kinds=("consent",)):
    """A pending identity with pictures."""
    user, _new = users.register(
        service=world.service, external_id=name, kind="person", display_name="小友", by="client:test"
    )
    identity = identities.submit(user=user, method="id_number", number=number, name="某名", by="client:test")
    pictures = [
        documents.take(service=world.service, data=png(), media_type="image/png", kind=kind, by="client:test")
        for kind in kinds
    ]
    with transaction.atomic():
        documents.claim(ids=[str(one.pk) for one in pictures], identity=identity, by="client:test")
    return identity, pictures


def record(identity, picture, by, **changes):
    given = {"relation": "mother", "name": GUARDIAN, "document_id": picture.pk, **changes}
    return guardians.record(user=identity.user, by=by, **given)


@pytest.mark.parametrize(("age", "needed"), [(5, True), (13, True), (14, False), (17, False), (40, False)])
def test_a_consent_is_needed_below_the_age_of_the_option(world, age, needed):
    identity, _pictures = handed_in(world, number_of_age(age))
    assert guardians.is_needed(identity) is needed


def test_the_age_is_the_operators_and_only_numbers_with_a_birth_have_one(world, monkeypatch):
    identity, _pictures = handed_in(world, number_of_age(15))
    monkeypatch.setenv("MINGJIAN_GUARDIAN_AGE", "16")
    assert guardians.is_needed(identity)
    mobile = identities.submit(user=world.liu, method="mobile", number="13912345678", by="client:test")
    assert not guardians.is_needed(mobile)
    Identity.objects.filter(pk=identity.pk).update(number_sealed=crypto.seal("x", "elsewhere"))
    assert not guardians.is_needed(Identity.objects.get(pk=identity.pk))


def test_a_child_is_verified_only_with_a_consent_in_force(world):
    identity, (picture,) = handed_in(world, number_of_age(9))
    held = verification.take(identity_id=identity.pk, by=world.zhou)

    def verify():
        return verification.decide(identity_id=identity.pk, token=held.token, outcome="verify", by=world.zhou)

    with pytest.raises(Refusal) as refused:
        verify()
    assert refused.value.code == "guardian_consent_required"
    consent = record(identity, picture, world.zhou)
    guardians.withdraw(consent_id=consent.pk, reason="监护人撤回", by=world.zhou)
    with pytest.raises(Refusal):
        verify()
    record(identity, picture, world.zhou)
    assert verify().state == "verified"


def test_withdrawn_after_the_verification_the_child_must_prove_again(world):
    identity, (picture,) = handed_in(world, number_of_age(9))
    consent = record(identity, picture, world.zhou)
    held = verification.take(identity_id=identity.pk, by=world.zhou)
    verification.decide(identity_id=identity.pk, token=held.token, outcome="verify", by=world.zhou)
    identity.user.refresh_from_db()
    assert identity.user.may_publish and identity.user.minor
    guardians.withdraw(consent_id=consent.pk, reason="监护人撤回", by=world.zhou)
    identity.user.refresh_from_db()
    assert not identity.user.may_publish
    again = identities.submit(
        user=identity.user, method="id_number", number=number_of_age(9), name="某名", by="client:test"
    )
    held = verification.take(identity_id=again.pk, by=world.zhou)
    with pytest.raises(Conflict) as refused:
        verification.decide(identity_id=again.pk, token=held.token, outcome="verify", by=world.zhou)
    assert refused.value.code == "guardian_consent_required"


def test_of_somebody_who_needs_none_it_changes_nothing(world):
    identity, (picture,) = handed_in(world, number_of_age(30))
    consent = record(identity, picture, world.zhou)
    identities.verify(identity_id=identity.pk, by=world.zhou)
    guardians.withdraw(consent_id=consent.pk, reason="不需要", by=world.zhou)
    identity.refresh_from_db()
    assert identity.state == "verified"


def test_a_child_can_be_rejected_without(world):
    identity, _pictures = handed_in(world, number_of_age(9))
    held = verification.take(identity_id=identity.pk, by=world.zhou)
    done = verification.decide(
        identity_id=identity.pk, token=held.token, outcome="reject", reason="缺监护人同意", by=world.zhou
    )
    assert done.state == "rejected"


def test_an_overturned_rejection_of_a_child_needs_it_too(world):
    identity, (picture,) = handed_in(world, number_of_age(9))
    identities.reject(identity_id=identity.pk, reason="缺监护人同意", by=world.zhou)
    qi, lu = (
        Staff.objects.create(username=n, display_name=n, role="identity_admin", password="!") for n in ("qi", "lu")
    )
    proposed = overturns.propose(identity_id=identity.pk, reason="同意书后来到了", by=qi)
    with pytest.raises(Refusal) as refused:
        overturns.approve(identity_id=identity.pk, seen=proposed.overturn_at, by=lu)
    assert refused.value.code == "guardian_consent_required"
    record(identity, picture, qi)
    assert overturns.approve(identity_id=identity.pk, seen=proposed.overturn_at, by=lu).state == "verified"


def test_the_guardians_name_is_sealed_and_goes_with_the_user(world):
    identity, (picture,) = handed_in(world, number_of_age(9))
    consent = record(identity, picture, world.zhou, name=f"  {GUARDIAN} ")
    consent.refresh_from_db()
    assert consent.name_masked == numbers.masked_name(GUARDIAN) != GUARDIAN
    assert GUARDIAN.encode() not in bytes(consent.name_sealed)
    where = {"subject": f"user:{identity.user_id}", "context": f"guardian_consent:{consent.pk}:name"}
    assert vault.unseal(consent.name_sealed, **where) == GUARDIAN
    line = AuditEvent.objects.get(action="guardian.recorded")
    assert line.subject == f"user:{identity.user_id}" and GUARDIAN not in str(line.data)
    vault.shred([f"user:{identity.user_id}"])
    with pytest.raises(vault.Shredded):
        vault.unseal(consent.name_sealed, **where)


def test_what_is_missing_or_somebody_elses_is_refused(world):
    identity, (picture,) = handed_in(world, number_of_age(9))
    _other, (foreign,) = handed_in(world, OTHER_ID_NUMBER, name="somebody")
    loose = documents.take(service=world.service, data=png(), media_type="image/png", kind="consent", by="client:test")
    for wrong, field in (
        ({"relation": "neighbour"}, "relation"),
        ({"name": "  "}, "name"),
        ({"document_id": None}, "document"),
        ({"document_id": uuid4()}, "document"),
        ({"document_id": foreign.pk}, "document"),
        ({"document_id": loose.pk}, "document"),
    ):
        with pytest.raises(Refusal) as refused:
            record(identity, picture, world.zhou, **wrong)
        assert refused.value.errors[0]["field"] == field
    assert not GuardianConsent.objects.exists()


def test_one_consent_in_force_and_history_kept(world):
    identity, (picture,) = handed_in(world, number_of_age(9))
    first = record(identity, picture, world.zhou)
    with pytest.raises(Conflict):
        record(identity, picture, world.zhou)
    with pytest.raises(IntegrityError), transaction.atomic():
        GuardianConsent.objects.create(user=identity.user, relation="father", recorded_by=world.zhou)
    with pytest.raises(Refusal):
        guardians.withdraw(consent_id=first.pk, reason=" ", by=world.zhou)
    guardians.withdraw(consent_id=first.pk, reason="撤回", by=world.zhou)
    with pytest.raises(Conflict):
        guardians.withdraw(consent_id=first.pk, reason="撤回", by=world.zhou)
    with pytest.raises(NotFound):
        guardians.withdraw(consent_id=uuid4(), reason="撤回", by=world.zhou)
    second = record(identity, picture, world.zhou, relation="father")
    assert guardians.in_force(identity.user) == second
    assert GuardianConsent.objects.filter(user=identity.user).count() == 2


def test_two_recordings_at_once_are_one(open_world, at_once):
    identity, (picture,) = handed_in(open_world, number_of_age(9))
    results = at_once(*[lambda: record(identity, picture, open_world.zhou)] * 3)
    assert sum(isinstance(result, GuardianConsent) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 2


@pytest.mark.parametrize("name", ["lin", "xu", "chen", "he", "fang"])
def test_other_roles_neither_record_nor_withdraw(world, name):
    identity, (picture,) = handed_in(world, number_of_age(9))
    consent = record(identity, picture, world.zhou)
    with pytest.raises(Forbidden):
        record(identity, picture, world.staff[name])
    with pytest.raises(Forbidden):
        guardians.withdraw(consent_id=consent.pk, reason="x", by=world.staff[name])


def test_the_page_says_what_a_child_needs_and_takes_it(world, login):
    identity, (picture,) = handed_in(world, number_of_age(9))
    browser = login("zhou")
    page = browser.get(f"/users/verification/?open={identity.pk}").content.decode()
    assert 'id="guardian-title"' in page and f'<option value="{picture.pk}" selected>' in page
    address = reverse("guardian_record", args=[identity.pk])
    refused = browser.post(address, {"relation": "mother", "name": "", "document": picture.pk})
    assert refused.status_code == 422 and not GuardianConsent.objects.exists()
    answer = browser.post(address, {"relation": "mother", "name": GUARDIAN, "document": picture.pk})
    assert (answer.status_code, answer["Location"]) == (302, f"/users/verification/?open={identity.pk}")
    page = browser.get(answer["Location"]).content.decode()
    consent = GuardianConsent.objects.get()
    assert numbers.masked_name(GUARDIAN) in page and GUARDIAN not in page
    withdraw = reverse("guardian_withdraw", args=[consent.pk])
    assert f'action="{withdraw}"' in page
    assert browser.post(withdraw, {"reason": "监护人撤回"}).status_code == 302
    consent.refresh_from_db()
    assert consent.withdrawn_at is not None


def test_the_page_says_which_pictures_are_missing(world, login):
    browser = login("zhou")

    def said(identity):
        page = browser.get(f"/users/verification/?open={identity.pk}").content.decode()
        return [
            tone for tone in ("finding-bad", "finding-warn", "finding-ok") if f'"{tone}"' in page.split("<dt>", 4)[3]
        ]

    adult, _none = handed_in(world, ID_NUMBER, name="adult", kinds=())
    assert "has-pictures" not in browser.get(f"/users/verification/?open={adult.pk}").content.decode()
    without, _none = handed_in(world, number_of_age(9), name="k1", kinds=())
    unnamed, _other = handed_in(world, number_of_age(8), name="k2", kinds=("other",))
    named, _consent = handed_in(world, number_of_age(7), name="k3", kinds=("consent",))
    assert (said(without), said(unnamed), said(named)) == (["finding-bad"], ["finding-warn"], ["finding-ok"])
