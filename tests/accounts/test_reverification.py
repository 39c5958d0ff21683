"""Proving an identity again: after its time, after a change, on demand (GEN-10, GEN-12, contract.md ruling 11); and the
whole life of a user's identity as random walks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts import code_senders, codes, identities, reverification, users
from accounts.models import HoneyUser, Identity, Notice, OneTimeCode, User
from core import outbox
from core.errors import Conflict, Forbidden, Refusal
from core.models import AuditEvent, OutboxEvent
from tests.accounts.test_numbers import MOBILE
from tests.world import CLEAN, ID_NUMBER, OTHER_ID_NUMBER, work

BY = "client:test"


def pending(world, user, number=OTHER_ID_NUMBER):
    return identities.submit(user=user, method="id_number", name="试名", number=number, by=BY)


def let_expire(user):
    user.identities.filter(state="verified").update(expires_at=Now() - timedelta(seconds=1))


def end_the_grace(user):
    User.objects.filter(pk=user.pk).update(reverify_by=Now() - timedelta(seconds=1))


def actions(user):
    return list(AuditEvent.objects.filter(subject=f"user:{user.pk}").order_by("id").values_list("action", flat=True))


# After its time


def test_an_expired_identity_has_a_grace_in_which_its_user_publishes_as_before(world):
    let_expire(world.wen)
    assert reverification.run_due() == (1, 0)
    world.wen.refresh_from_db()
    left = world.wen.reverify_by - User.objects.annotate(now=Now()).first().now
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert (world.wen.reverify_reason, world.wen.may_publish) == ("expired", True)
    notice = Notice.objects.get(user=world.wen)
    assert notice.kind == "identity_again"
    assert reverification.run_due() == (0, 0)  # once
    assert Notice.objects.filter(user=world.wen).count() == 1
    assert world.submit(CLEAN).state == "released"


def test_when_the_grace_is_over_it_counts_no_more(world):
    let_expire(world.wen)
    reverification.run_due()
    end_the_grace(world.wen)
    assert reverification.run_due() == (0, 1)
    world.wen.refresh_from_db()
    identity = world.wen.identities.get()
    assert (identity.state, world.wen.identity_status, world.wen.may_publish) == ("expired", "pending", False)
    assert (world.wen.reverify_reason, world.wen.reverify_by) == ("expired", None)
    assert actions(world.wen)[-2:] == ["user.identity_expiring", "user.identity_expired"]
    assert AuditEvent.objects.filter(subject=f"identity:{identity.pk}", action="identity.expire").count() == 1
    assert identity.history.first().state == "expired" and reverification.run_due() == (0, 0)


def test_a_grace_of_no_days_ends_at_once(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_IDENTITY_GRACE_DAYS", "0")
    let_expire(world.wen)
    assert reverification.run_due() == (1, 1)


def test_proving_it_again_in_time_ends_the_matter(world):
    let_expire(world.wen)
    reverification.run_due()
    again = pending(world, world.wen, ID_NUMBER)
    identities.verify(identity_id=again.pk, by=world.zhou)
    world.wen.refresh_from_db()
    assert (world.wen.reverify_reason, world.wen.reverify_by, world.wen.may_publish) == ("", None, True)
    again.refresh_from_db()
    assert again.expires_at > again.decided_at + timedelta(days=1000)
    end_the_grace(world.liu)  # somebody who never had an identity
    assert reverification.run_due() == (0, 0)


def test_what_never_expires_and_what_was_replaced_is_left_alone(world):
    world.wen.identities.update(expires_at=None)
    let_expire(world.qian)
    pending(world, world.qian)
    assert reverification.run_due() == (0, 0)


def test_a_honey_record_is_left_as_it_was_planted(world):
    HoneyUser.objects.create(user=world.wen)
    let_expire(world.wen)
    assert reverification.run_due() == (0, 0)


def test_two_clocks_at_once_end_it_once(open_world, at_once):
    world = open_world
    let_expire(world.wen)
    assert sorted(at_once(*[reverification.run_due] * 2)) == [(0, 0), (1, 0)]
    end_the_grace(world.wen)
    assert sorted(at_once(*[reverification.run_due] * 2)) == [(0, 0), (0, 1)]
    assert actions(world.wen).count("user.identity_expired") == 1


def test_the_clock_and_a_new_proof_at_once_leave_one_that_waits(open_world, at_once):
    world = open_world
    let_expire(world.wen)
    reverification.run_due()
    end_the_grace(world.wen)
    at_once(reverification.run_due, lambda: pending(world, world.wen))
    world.wen.refresh_from_db()
    assert world.wen.identity_status == "pending"
    assert sorted(world.wen.identities.values_list("state", flat=True)) == ["pending", "replaced"] or sorted(
        world.wen.identities.values_list("state", flat=True)
    ) == ["expired", "pending"]


# After a change


@pytest.mark.parametrize("reason", reverification.CHANGES)
def test_a_changed_profile_sends_a_verified_identity_back_to_the_queue(world, reason):
    identity = world.wen.identities.get()
    assert reverification.because(user=world.wen, reason=reason, by=BY) is True
    identity.refresh_from_db()
    assert (identity.state, world.wen.identity_status, world.wen.may_publish) == ("pending", "pending", False)
    assert (identity.decided_by, identity.decided_at, identity.expires_at) == (None, None, None)
    assert identity in identities.waiting()
    line = AuditEvent.objects.get(action="user.identity_recheck")
    assert line.data == {"why": reason}
    identities.verify(identity_id=identity.pk, by=world.zhou)
    world.wen.refresh_from_db()
    assert (world.wen.may_publish, world.wen.reverify_reason) == (True, "")


def test_a_changed_profile_of_somebody_without_an_identity_changes_nothing(world):
    assert reverification.because(user=world.liu, reason="profession", by=BY) is False
    assert world.liu.identity_status == "unverified" and world.liu.reverify_reason == ""
    with pytest.raises(KeyError):
        reverification.because(user=world.wen, reason="whim", by=BY)


def test_changing_ones_profession_over_the_api_means_to_be_looked_at_again(world):
    users.change(user=world.wen, profession="医生", by=BY)
    world.wen.refresh_from_db()
    assert (world.wen.identity_status, world.wen.reverify_reason) == ("pending", "profession")


def test_after_a_change_no_machine_verifies_a_proof_that_waits(world, monkeypatch):
    sent = []
    sender = type("Sender", (), {"send": lambda self, *, number, code, reference: sent.append(code)})
    monkeypatch.setattr(code_senders, "sender", sender)
    identity = identities.submit(user=world.liu, method="mobile", number=MOBILE, by=BY)
    assert reverification.because(user=world.liu, reason="institution", by=BY) is True
    work()
    assert codes.confirm(user=world.liu, code=sent[0], by=BY).may_publish is False
    identity.refresh_from_db()
    assert (identity.state, identity.check_detail) == ("pending", "one_time_code")


# On demand


@pytest.mark.parametrize("who", ["zhou", "xu", "chen"])
def test_an_abnormal_account_must_prove_itself_again_at_once(world, who):
    reverification.demand(user=world.wen, reason="一天内从三省登录", by=world.staff[who])
    assert (world.wen.identity_status, world.wen.reverify_reason, world.wen.may_publish) == (
        "pending",
        "abnormal",
        False,
    )
    assert world.wen.identities.get().state == "expired"
    notice = Notice.objects.get(user=world.wen)
    assert "一天内从三省登录" in notice.body and notice.kind == "identity_again"
    assert OutboxEvent.objects.filter(topic="notice.created", subject=str(world.wen.pk)).count() == 1
    again = pending(world, world.wen, ID_NUMBER)
    assert [i.state for i in world.wen.identities.order_by("pk")] == ["expired", "pending"]
    identities.verify(identity_id=again.pk, by=world.zhou)
    world.wen.refresh_from_db()
    assert world.wen.may_publish and world.wen.reverify_reason == ""


@pytest.mark.parametrize("who", ["lin", "he", "fang"])
def test_who_may_neither_decide_identities_nor_apply_measures_demands_nothing(world, who):
    with pytest.raises(Forbidden):
        reverification.demand(user=world.wen, reason="x", by=world.staff[who])
    with pytest.raises(Forbidden):
        reverification.demand(user=world.wen, reason="x", by="client:test")
    assert world.wen.identities.get().state == "verified"


def test_a_demand_needs_a_reason_and_something_to_prove_again(world):
    with pytest.raises(Refusal) as refused:
        reverification.demand(user=world.wen, reason=" ", by=world.zhou)
    assert refused.value.errors[0]["field"] == "reason"
    with pytest.raises(Conflict):
        reverification.demand(user=world.liu, reason="x", by=world.zhou)


def test_a_changed_profile_after_a_demand_does_not_weaken_it(world):
    reverification.demand(user=world.wen, reason="异常", by=world.zhou)
    pending(world, world.wen)
    reverification.because(user=world.wen, reason="profession", by=BY)
    world.wen.refresh_from_db()
    assert world.wen.reverify_reason == "abnormal"


def test_a_demand_and_a_verdict_at_once_never_leave_the_user_publishing(open_world, at_once):
    world = open_world
    identity = pending(world, world.liu)
    at_once(
        lambda: identities.verify(identity_id=identity.pk, by=world.zhou),
        lambda: reverification.demand(user=world.liu, reason="异常", by=world.xu),
    )
    world.liu.refresh_from_db()
    assert world.liu.may_publish is False and Identity.objects.get(pk=identity.pk).state == "expired"


# What is in flight


@pytest.mark.parametrize("cause", ["demand", "change", "expiry"])
def test_an_item_in_flight_is_held_at_its_release_and_comes_back_when_the_identity_does(world, cause):
    """Contract.md ruling 4: intake is not the last gate."""
    item = world.take(CLEAN)
    if cause == "demand":
        reverification.demand(user=world.wen, reason="异常", by=world.zhou)
    elif cause == "change":
        reverification.because(user=world.wen, reason="profession", by=BY)
    else:
        let_expire(world.wen)
        reverification.run_due()
        end_the_grace(world.wen)
        reverification.run_due()
    work()
    item.refresh_from_db()
    assert (item.state, item.held_for, item.label) == ("in_review", "identity_not_verified", None)
    waits = world.wen.identities.filter(state="pending").first() or pending(world, world.wen, ID_NUMBER)
    identities.verify(identity_id=waits.pk, by=world.zhou)
    outbox.relay()
    work()
    item.refresh_from_db()
    assert item.state == "released"


# Random walks


class LifeOfAnIdentity(RuleBasedStateMachine):
    """One user's identity, by every hand that can touch it, in any order."""

    world = None
    codes_sent: list[str] = []
    number = 0

    @initialize()
    def register(self):
        type(self).number += 1
        self.user = users.register(
            service=self.world.service, external_id=f"walk{self.number}", kind="person", display_name="u", by=BY
        )[0]
        self.lines = self.ledger()

    def ledger(self):
        subjects = [
            f"user:{self.user.pk}",
            *(f"identity:{pk}" for pk in self.user.identities.values_list("pk", flat=True)),
        ]
        return AuditEvent.objects.filter(subject__in=subjects).count()

    def one(self, *states):
        return self.user.identities.filter(state__in=states).first()

    def refused_or(self, call):
        """Whatever is refused leaves no trace but a count of wrong codes."""
        before = self.seen()
        try:
            call()
        except Refusal as refused:
            assert self.seen() == before, refused.code
            return False
        self.must_have_a_line = self.seen() != before
        if self.must_have_a_line:
            assert self.ledger() > self.lines
        self.lines = self.ledger()
        return True

    def seen(self):
        user = User.objects.get(pk=self.user.pk)
        return user.identity_status, user.reverify_reason, sorted(self.user.identities.values_list("pk", "state"))

    @rule(method=st.sampled_from(["id_number", "mobile", "network_identity"]))
    def submit(self, method):
        given_ = {"number": OTHER_ID_NUMBER if method == "id_number" else MOBILE, "name": "试名"}
        given_ = {"token": "t"} if method == "network_identity" else given_
        assert self.refused_or(lambda: identities.submit(user=self.user, method=method, by=BY, **given_))
        assert self.one("pending").method == method

    @rule()
    def verify(self):
        if identity := self.user.identities.order_by("?").first():
            decided = self.refused_or(lambda: identities.verify(identity_id=identity.pk, by=self.world.zhou))
            assert decided == (identity.state == "pending")

    @rule()
    def reject(self):
        if identity := self.user.identities.order_by("?").first():
            decided = self.refused_or(
                lambda: identities.reject(identity_id=identity.pk, reason="不符", by=self.world.zhou)
            )
            assert decided == (identity.state == "pending")

    @rule(right=st.booleans())
    def type_the_code(self, right):
        OneTimeCode.objects.update(sent_at=F("sent_at") - timedelta(days=2))  # the day's share is another test's
        work()
        self.lines = self.ledger()
        code = self.codes_sent[-1] if self.codes_sent and right else "000000"
        self.refused_or(lambda: codes.confirm(user=self.user, code=code, by=BY))
        self.lines = self.ledger()

    @rule()
    def change_the_profile(self):
        held = self.one("pending", "verified")
        changed = []
        self.refused_or(lambda: changed.append(reverification.because(user=self.user, reason="profession", by=BY)))
        assert changed == [held is not None]

    @rule()
    def demand(self):
        held = self.one("pending", "verified")
        done = self.refused_or(lambda: reverification.demand(user=self.user, reason="异常", by=self.world.zhou))
        assert done == (held is not None)

    @precondition(lambda self: self.one("verified"))
    @rule()
    def expire(self):
        let_expire(self.user)
        self.refused_or(reverification.run_due)
        assert User.objects.get(pk=self.user.pk).may_publish  # the grace

    @rule()
    def end_the_grace(self):
        User.objects.filter(pk=self.user.pk, reverify_by__isnull=False).update(reverify_by=Now() - timedelta(seconds=1))
        self.refused_or(reverification.run_due)

    @invariant()
    def holds(self):
        if not hasattr(self, "user"):
            return
        user = User.objects.get(pk=self.user.pk)
        states = list(self.user.identities.values_list("state", flat=True))
        assert states.count("pending") <= 1 and states.count("verified") <= 1
        assert states.count("pending") + states.count("verified") <= 1
        assert user.may_publish == (states.count("verified") == 1)
        assert (user.identity_status == "verified") == user.may_publish
        if "pending" in states:
            assert user.identity_status == "pending"
        if not states:
            assert user.identity_status == "unverified"
        if user.may_publish:
            assert user.reverify_reason in ("", "expired")
            assert (user.reverify_by is not None) == (user.reverify_reason == "expired")
        else:
            assert user.reverify_by is None
        for identity in self.user.identities.filter(state="verified"):
            assert bool(identity.decided_by_id) != bool(identity.verified_by_method)
        # Every state that a row went through stands in the ledger: its moves, one by one, lead to where it is.
        for identity in self.user.identities.all():
            moves = AuditEvent.objects.filter(subject=f"identity:{identity.pk}", data__has_keys=["from", "to"])
            at = "pending"
            for move in moves.order_by("id"):
                assert move.data["from"] == at
                at = move.data["to"]
            assert at == identity.state


def test_random_walks_through_the_life_of_an_identity(world, monkeypatch):
    sent: list[str] = []
    sender = type("Sender", (), {"send": lambda self, *, number, code, reference: sent.append(code)})
    monkeypatch.setattr(code_senders, "sender", sender)
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "0")  # all walks share their numbers
    LifeOfAnIdentity.world, LifeOfAnIdentity.codes_sent = world, sent
    run_state_machine_as_test(
        LifeOfAnIdentity,
        settings=settings(
            max_examples=25,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
