"""Real identity: numbers, encryption, the way from pending to verified, two admins at once (DS-09a/b)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import identities
from accounts.models import Identity, User
from core import audit, crypto
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent, OutboxEvent
from tests.world import ID_NUMBER, OTHER_ID_NUMBER, USCC

MOBILE = "13800138000"
FULL_WIDTH = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")


def with_check_digit(first_17: str) -> str:
    """An ID number with the check digit of GB 11643, computed by its own text and not by the library under test."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return first_17 + "10X98765432"[sum(int(d) * w for d, w in zip(first_17, weights, strict=True)) % 11]


ENDS_WITH_X = next(n for n in (with_check_digit(f"110101190001{i:05}"[:17]) for i in range(2900, 3100)) if n[-1] == "X")

# Numbers


@pytest.mark.parametrize(
    ("method", "typed", "normal"),
    [
        ("id_number", ID_NUMBER, ID_NUMBER),
        ("id_number", f"  {ID_NUMBER} \n", ID_NUMBER),
        ("id_number", f"{ID_NUMBER[:6]} {ID_NUMBER[6:14]} {ID_NUMBER[14:]}", ID_NUMBER),
        ("id_number", f"{ID_NUMBER[:6]}-{ID_NUMBER[6:]}", ID_NUMBER),
        ("id_number", ID_NUMBER.translate(FULL_WIDTH), ID_NUMBER),
        ("id_number", f"{ID_NUMBER[:9]}\u3000{ID_NUMBER[9:]}", ID_NUMBER),
        ("id_number", ENDS_WITH_X.lower(), ENDS_WITH_X),
        ("id_number", ENDS_WITH_X.translate(FULL_WIDTH), ENDS_WITH_X),
        ("uscc", USCC.lower(), USCC),
        ("uscc", f" {USCC[:8]}-{USCC[8:]}", USCC),
        ("mobile", MOBILE, MOBILE),
        ("mobile", "138 0013 8000", MOBILE),
        ("mobile", "+86 138-0013-8000", MOBILE),
        ("mobile", "008613800138000", MOBILE),
        ("mobile", "8613800138000", MOBILE),
        ("mobile", "＋８６１３８００１３８０００", MOBILE),
    ],
)
def test_every_spelling_of_a_number_is_one_number(method, typed, normal):
    assert identities.normalise_number(method, typed) == normal


@pytest.mark.parametrize(
    ("method", "typed"),
    [
        ("id_number", ID_NUMBER[:-1] + str((int(ID_NUMBER[-1]) + 1) % 10)),  # wrong check digit
        ("id_number", ID_NUMBER[:16] + ID_NUMBER[17] + ID_NUMBER[16]),  # two digits swapped
        ("id_number", "110101900102982"),  # 15 digits, out of use since 2013
        ("id_number", with_check_digit("99999919000102982")),  # a county that is in no list
        ("id_number", with_check_digit("11010119000230982")),  # 30 February
        ("id_number", with_check_digit("11010100000102982")),  # year 0
        ("id_number", "X" * 18),
        ("id_number", ID_NUMBER + "0"),
        ("id_number", ""),
        ("id_number", "١١٠١٠١١٩٠٠٠١٠٢٩٨٢٣"),  # digits of another script
        ("id_number", "110101190001029八23"),
        ("id_number", "\x00" * 18),
        ("uscc", USCC[:-1] + "A"),
        ("uscc", USCC[:-1]),
        ("uscc", "91O10105MA01XXXXXX"),  # the letter O is never used
        ("mobile", "12800138000"),
        ("mobile", "1380013800"),
        ("mobile", "+852 5123 4567"),
        ("mobile", "86"),
        ("password", "1"),
    ],
)
def test_a_number_that_cannot_be_right_is_refused_with_422(method, typed):
    with pytest.raises(Refusal) as refused:
        identities.normalise_number(method, typed)
    assert (refused.value.status, refused.value.code) == (422, "fields_invalid")
    assert refused.value.errors[0]["field"] in ("number", "method")


@given(method=st.sampled_from(["id_number", "uscc", "mobile"]), typed=st.text(max_size=24))
def test_whatever_is_typed_is_a_number_or_a_refusal_and_never_anything_else(method, typed):
    try:
        normal = identities.normalise_number(method, typed)
    except Refusal as refusal:
        assert refusal.status == 422
    else:
        assert identities.normalise_number(method, normal) == normal


@given(first=st.from_regex(r"[1-9][0-9]{16}", fullmatch=True))
def test_whatever_county_and_date_a_number_holds_it_is_taken_or_refused(first):
    try:
        assert len(identities.normalise_number("id_number", with_check_digit(first))) == 18
    except Refusal as refusal:
        assert refusal.errors[0]["code"] == "check_digit"


VECTORS = Path(__file__).resolve().parents[3] / "shared" / "data" / "id_number_vectors" / "vectors.jsonl"


@pytest.mark.skipif(not VECTORS.exists(), reason="the optional number vectors are not beside this checkout")
def test_published_vectors_are_judged_as_their_publishers_judge_them():
    judged = 0
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        vector = json.loads(line)
        mobile = vector["kind"] == "phone" and vector.get("region") == "CN" and vector.get("phone_type") == "MOBILE"
        method = {"resident_id": "id_number", "uscc": "uscc"}.get(vector["kind"]) or ("mobile" if mobile else None)
        if method is None:
            continue
        typed = vector["value"].removeprefix("tel:")
        try:
            identities.normalise_number(method, typed)
            taken = True
        except Refusal:
            taken = False
        assert taken == vector["valid"], vector["id"]
        judged += 1
    assert judged > 150


# Encryption


def test_a_number_lies_encrypted_with_its_own_row_and_field_and_opens_nowhere_else(world):
    mine, theirs = world.wen.identities.get(), world.qian.identities.get()
    number, name = bytes(mine.number_sealed), bytes(mine.name_sealed)
    assert crypto.unseal(number, f"identity:{mine.pk}:number") == ID_NUMBER
    for sealed, context in (
        (number, f"identity:{theirs.pk}:number"),  # another row
        (number, f"identity:{mine.pk}:name"),  # another field
        (name, f"identity:{mine.pk}:number"),
    ):
        with pytest.raises(crypto.Unreadable):
            crypto.unseal(sealed, context)


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


@pytest.mark.parametrize(("number", "masked"), [(ID_NUMBER, "110*************23"), (MOBILE, "138******00")])
def test_masks_keep_five_characters(number, masked):
    assert identities.masked_number(number) == masked


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
    monkeypatch.setattr(identities.crypto, "unseal", lambda *a: pytest.fail("read without a ledger line"))
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
