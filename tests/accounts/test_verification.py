"""The verification queue: nobody gets what somebody holds, nothing is lost, nothing is decided twice (DS-09a)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from accounts import identities, users, verification
from accounts.models import Identity, Staff, VerificationLease
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.models import AuditEvent, OutboxEvent
from tests.world import ID_NUMBER


@pytest.fixture(autouse=True)
def any_number_of_accounts(monkeypatch):
    """All of these hand in the same number."""
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "0")


def pending(world, count):
    """Identities that wait, oldest first."""
    found = []
    for number in range(count):
        user, _new = users.register(
            service=world.service,
            external_id=f"v{uuid4().hex}",
            kind="person",
            display_name=f"等{number}",
            by="client:t",
        )
        identity = identities.submit(user=user, method="id_number", number=ID_NUMBER, name="某名", by="client:t")
        Identity.objects.filter(pk=identity.pk).update(
            submitted_at=timezone.now() - timedelta(days=1) + timedelta(minutes=number)
        )
        found.append(identity)
    return found


def admins(count):
    """Identity admins beside Zhou."""
    return [
        Staff.objects.create(username=f"admin{n}", display_name=f"核验{n}", role="identity_admin", password="!")
        for n in range(count)
    ]


def expire(identity_id: Any = None) -> None:
    """Let leases run out, as the clock would."""
    rows = VerificationLease.objects.all()
    if identity_id:
        rows = rows.filter(identity_id=identity_id)
    rows.update(until=Now() - timedelta(seconds=1))


def state_of(identity):
    return Identity.objects.values_list("state", flat=True).get(pk=identity.pk)


# Pulling


def test_the_oldest_comes_first_and_each_goes_to_one_person(world):
    first, second, third = pending(world, 3)
    qi, lu, mo = admins(3)
    got = [verification.next_identity(by=person) for person in (world.zhou, qi, lu)]
    assert [held.identity_id for held in got] == [first.pk, second.pk, third.pk]
    assert verification.next_identity(by=mo) is None


def test_next_again_is_the_same_one_and_renews_it(world):
    pending(world, 3)
    held = verification.next_identity(by=world.zhou)
    VerificationLease.objects.update(until=Now() + timedelta(seconds=5))
    again = verification.next_identity(by=world.zhou)
    assert (again.identity_id, again.token) == (held.identity_id, held.token)
    assert again.until > timezone.now() + timedelta(seconds=60)


def test_the_length_of_a_lease_is_the_operators(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_VERIFICATION_LEASE", "20")
    pending(world, 1)
    held = verification.next_identity(by=world.zhou)
    assert timedelta(seconds=15) < held.until - timezone.now() <= timedelta(seconds=20)


def test_a_lease_left_alone_goes_back_to_its_old_place(world):
    first, _second = pending(world, 2)
    verification.next_identity(by=world.zhou)
    expire()
    (qi,) = admins(1)
    assert verification.next_identity(by=qi).identity_id == first.pk
    assert verification.held_by(world.zhou) is None


def test_what_was_decided_or_replaced_elsewhere_is_held_no_longer(world):
    first, second, third = pending(world, 3)
    verification.next_identity(by=world.zhou)
    identities.verify(identity_id=first.pk, by=world.zhou)
    assert verification.held_by(world.zhou) is None
    assert verification.next_identity(by=world.zhou).identity_id == second.pk
    identities.submit(user=second.user, method="id_number", number=ID_NUMBER, name="某名", by="client:t")
    assert verification.next_identity(by=world.zhou).identity_id == third.pk


def test_one_that_waits_for_the_service_comes_after_the_ready_ones_until_patience_ends(world, monkeypatch):
    first, second = pending(world, 2)
    Identity.objects.filter(pk=first.pk).update(check_state="waiting", submitted_at=Now() - timedelta(seconds=500))
    Identity.objects.filter(pk=second.pk).update(submitted_at=Now())
    assert [(one.pk, one.is_waiting) for one in verification.queue(at_most=9)] == [(second.pk, False), (first.pk, True)]
    (qi,) = admins(1)
    assert verification.next_identity(by=world.zhou).identity_id == second.pk
    assert verification.next_identity(by=qi).identity_id == first.pk  # there is nothing else to do
    VerificationLease.objects.all().delete()
    monkeypatch.setenv("MINGJIAN_VERIFIER_PATIENCE", "400")
    assert [(one.pk, one.is_waiting) for one in verification.queue(at_most=9)] == [
        (first.pk, False),
        (second.pk, False),
    ]
    assert verification.next_identity(by=world.zhou).identity_id == first.pk


def test_the_list_says_who_holds_what_and_forgets_what_ran_out(world):
    first, second, third = pending(world, 3)
    (qi,) = admins(1)
    verification.next_identity(by=world.zhou)
    verification.next_identity(by=qi)
    expire(second.pk)
    assert [one.holder for one in verification.queue(at_most=2)] == [world.zhou, None]
    assert {one.pk for one in verification.queue(at_most=9)} == {first.pk, second.pk, third.pk}


@pytest.mark.parametrize("name", ["lin", "xu", "chen", "he", "fang"])
def test_only_identity_admins_work_the_queue(world, name):
    (identity,) = pending(world, 1)
    person = world.staff[name]
    for act in (
        lambda: verification.next_identity(by=person),
        lambda: verification.take(identity_id=identity.pk, by=person),
        lambda: verification.decide(identity_id=identity.pk, token=uuid4(), outcome="verify", by=person),
        lambda: verification.reveal(identity_id=identity.pk, reason="x", by=person),
        lambda: verification.give_back(token=uuid4(), by=person),
    ):
        with pytest.raises(Forbidden):
            act()
    assert not VerificationLease.objects.exists() and state_of(identity) == "pending"


def test_the_queue_is_read_in_the_order_of_its_index(world):
    pending(world, 3)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    for ready in (True, False):
        rows = verification._ready(Identity.objects.filter(state="pending"), ready).order_by("submitted_at", "pk")
        plan = rows[:1].explain()
        assert "identity_waiting" in plan and "Incremental Sort" in plan, plan


# Taking a given one


def test_taking_a_given_one_gives_back_the_other(world):
    first, second = pending(world, 2)
    verification.next_identity(by=world.zhou)
    held = verification.take(identity_id=second.pk, by=world.zhou)
    assert VerificationLease.objects.get().identity_id == second.pk
    again = verification.take(identity_id=second.pk, by=world.zhou)
    assert again.token == held.token
    (qi,) = admins(1)
    assert verification.next_identity(by=qi).identity_id == first.pk


def test_taking_what_a_colleague_holds_names_them_and_keeps_ones_own(world):
    first, second = pending(world, 2)
    (qi,) = admins(1)
    verification.take(identity_id=first.pk, by=qi)
    mine = verification.take(identity_id=second.pk, by=world.zhou)
    with pytest.raises(verification.LeaseLost) as lost:
        verification.take(identity_id=first.pk, by=world.zhou)
    assert "核验0" in str(lost.value.detail) and lost.value.extra["held_by"] == "admin0"
    assert verification.held_by(world.zhou).token == mine.token
    expire(first.pk)
    assert verification.take(identity_id=first.pk, by=world.zhou).identity_id == first.pk
    assert verification.held_by(qi) is None


def test_taking_what_is_decided_or_unknown_is_refused(world):
    (identity,) = pending(world, 1)
    identities.verify(identity_id=identity.pk, by=world.zhou)
    with pytest.raises(Conflict):
        verification.take(identity_id=identity.pk, by=world.zhou)
    with pytest.raises(NotFound):
        verification.take(identity_id=uuid4(), by=world.zhou)
    assert not VerificationLease.objects.exists()


# Holding


def test_a_sign_of_life_prolongs_it_and_a_lost_one_names_who_has_it(world):
    (identity,) = pending(world, 1)
    (qi,) = admins(1)
    held = verification.next_identity(by=world.zhou)
    VerificationLease.objects.update(until=Now() + timedelta(seconds=5))
    assert verification.heartbeat(token=held.token, by=world.zhou) > timezone.now() + timedelta(seconds=60)
    for act in (  # nobody uses another's token
        lambda: verification.heartbeat(token=held.token, by=qi),
        lambda: verification.give_back(token=held.token, by=qi),
        lambda: verification.decide(identity_id=identity.pk, token=held.token, outcome="verify", by=qi),
    ):
        with pytest.raises(verification.LeaseLost):
            act()
    expire()
    verification.next_identity(by=qi)
    for act in (
        lambda: verification.heartbeat(token=held.token, by=world.zhou, identity_id=identity.pk),
        lambda: verification.give_back(token=held.token, by=world.zhou, identity_id=identity.pk),
        lambda: verification.decide(identity_id=identity.pk, token=held.token, outcome="verify", by=world.zhou),
        lambda: verification.reveal(identity_id=identity.pk, reason="核对", by=world.zhou),
    ):
        with pytest.raises(verification.LeaseLost) as lost:
            act()
        assert "核验0" in str(lost.value.detail)
    assert state_of(identity) == "pending"
    assert not AuditEvent.objects.filter(action="identity.revealed").exists()


def test_giving_back_frees_it_at_once(world):
    (identity,) = pending(world, 1)
    (qi,) = admins(1)
    held = verification.next_identity(by=world.zhou)
    verification.give_back(token=held.token, by=world.zhou)
    assert verification.next_identity(by=qi).identity_id == identity.pk


# Deciding


def test_a_decision_needs_the_lease_of_this_identity(world):
    first, second = pending(world, 2)
    held = verification.take(identity_id=first.pk, by=world.zhou)
    for identity, token in ((second, held.token), (first, uuid4()), (first, None)):
        with pytest.raises(verification.LeaseLost):
            verification.decide(identity_id=identity.pk, token=token, outcome="verify", by=world.zhou)
    expire()
    with pytest.raises(verification.LeaseLost) as lost:
        verification.decide(identity_id=first.pk, token=held.token, outcome="verify", by=world.zhou)
    assert "held_by" not in lost.value.extra
    assert {state_of(first), state_of(second)} == {"pending"}


def test_deciding_lets_go_and_says_it_once(world):
    first, second = pending(world, 2)
    held = verification.next_identity(by=world.zhou)
    decided = verification.decide(identity_id=first.pk, token=held.token, outcome="verify", by=world.zhou)
    assert decided.state == "verified" and not VerificationLease.objects.exists()
    held = verification.next_identity(by=world.zhou)
    with pytest.raises(Refusal):
        verification.decide(identity_id=second.pk, token=held.token, outcome="reject", reason="  ", by=world.zhou)
    assert verification.held_by(world.zhou)  # a refusal keeps the identity where it is
    with pytest.raises(Refusal):
        verification.decide(identity_id=second.pk, token=held.token, outcome="maybe", by=world.zhou)
    verification.decide(identity_id=second.pk, token=held.token, outcome="reject", reason="姓名不符", by=world.zhou)
    assert Identity.objects.get(pk=second.pk).reject_reason == "姓名不符"


def test_what_a_colleague_decided_stands(world):
    (identity,) = pending(world, 1)
    (qi,) = admins(1)
    held = verification.next_identity(by=world.zhou)
    identities.reject(identity_id=identity.pk, reason="不符", by=qi)
    for outcome in ("verify", "reject"):
        with pytest.raises(Conflict) as refused:
            verification.decide(
                identity_id=identity.pk, token=held.token, outcome=outcome, reason="不符", by=world.zhou
            )
        assert refused.value.code == "state_forbids"


def test_a_reveal_takes_a_free_one_and_writes_its_line(world):
    first, second = pending(world, 2)
    verification.next_identity(by=world.zhou)
    shown = verification.reveal(identity_id=second.pk, reason="核对", by=world.zhou)
    assert shown == {"number": ID_NUMBER, "name": "某名"}
    assert verification.held_by(world.zhou).identity_id == second.pk
    assert AuditEvent.objects.get(action="identity.revealed").subject == f"user:{second.user_id}"
    identities.verify(identity_id=first.pk, by=world.zhou)
    with pytest.raises(Conflict):
        verification.reveal(identity_id=first.pk, reason="核对", by=world.zhou)
    assert AuditEvent.objects.filter(action="identity.revealed").count() == 1


# At once


def test_eight_people_empty_forty_and_never_meet(open_world, at_once):
    items = pending(open_world, 40)

    def empty(person):
        def work():
            mine = []
            while held := verification.next_identity(by=person):
                mine.append(held.identity_id)
                verification.decide(identity_id=held.identity_id, token=held.token, outcome="verify", by=person)
            return mine

        return work

    results = at_once(*(empty(person) for person in admins(8)))
    assert not [result for result in results if isinstance(result, Exception)], results
    taken = Counter(pk for mine in results for pk in mine)
    assert set(taken.values()) == {1} and set(taken) == {item.pk for item in items}
    assert not VerificationLease.objects.exists() and not Identity.objects.filter(state="pending").exists()


def test_the_same_person_pressing_next_many_times_gets_one(open_world, at_once):
    pending(open_world, 10)
    results = at_once(*[lambda: verification.next_identity(by=open_world.zhou)] * 6)
    assert len({(held.identity_id, held.token) for held in results}) == 1
    assert VerificationLease.objects.count() == 1


def test_two_who_open_the_same_one_at_once_and_one_has_it(open_world, at_once):
    (identity,) = pending(open_world, 1)
    people = admins(4)
    results = at_once(*(lambda p=person: verification.take(identity_id=identity.pk, by=p) for person in people))
    assert sum(isinstance(result, verification.Held) for result in results) == 1
    assert sum(isinstance(result, verification.LeaseLost) for result in results) == 3


def test_two_who_swap_identities_whose_time_ran_out_dont_block_each_other(open_world, at_once):
    first, second = pending(open_world, 2)
    qi, lu = admins(2)
    for _turn in range(5):
        verification.take(identity_id=first.pk, by=qi)
        verification.take(identity_id=second.pk, by=lu)
        expire()
        results = at_once(
            lambda: verification.take(identity_id=second.pk, by=qi),
            lambda: verification.take(identity_id=first.pk, by=lu),
        )
        assert all(isinstance(result, verification.Held) for result in results), results
        VerificationLease.objects.all().delete()


def test_the_same_form_many_times_at_once_is_one_decision_and_all_are_told_so(open_world, at_once):
    (identity,) = pending(open_world, 1)
    held = verification.next_identity(by=open_world.zhou)
    results = at_once(
        *[
            lambda: (
                verification.decide(
                    identity_id=identity.pk, token=held.token, outcome="verify", by=open_world.zhou
                ).state
            )
        ]
        * 4
    )
    assert results == ["verified"] * 4
    assert AuditEvent.objects.filter(action="identity.verify", subject=f"identity:{identity.pk}").count() == 1
    assert OutboxEvent.objects.filter(topic="internal.user_may_publish", subject=str(identity.user_id)).count() == 1


def test_a_decision_while_the_user_hands_in_another_proof_decides_the_old_one_or_nothing(open_world, at_once):
    (identity,) = pending(open_world, 1)
    held = verification.next_identity(by=open_world.zhou)
    decided, handed_in = at_once(
        lambda: verification.decide(identity_id=identity.pk, token=held.token, outcome="verify", by=open_world.zhou),
        lambda: identities.submit(user=identity.user, method="id_number", number=ID_NUMBER, name="新名", by="client:t"),
    )
    assert isinstance(handed_in, Identity), handed_in
    assert isinstance(decided, Identity | Conflict), decided
    assert state_of(identity) == "replaced" and state_of(handed_in) == "pending"
    identity.user.refresh_from_db()
    assert identity.user.identity_status == "pending"


class Desk(RuleBasedStateMachine):
    """Three people do anything in any order; whatever they do, an identity has one holder and one decision."""

    who = st.sampled_from(("zhou", "admin0", "admin1"))

    @initialize(count=st.integers(1, 4))
    def begin(self, count: int) -> None:
        self.point = transaction.atomic()
        self.point.__enter__()
        self.items = [item.pk for item in pending(self.world, count)]
        self.held: dict[str, verification.Held] = {}
        self.decided: set[Any] = set()

    def teardown(self) -> None:
        if hasattr(self, "point"):
            transaction.set_rollback(True)
            self.point.__exit__(None, None, None)

    def _holds(self, name: str) -> bool:
        lease = VerificationLease.objects.filter(staff=self.people[name], until__gt=Now()).first()
        return bool(lease and name in self.held and lease.token == self.held[name].token)

    @staticmethod
    def _refused(act: Any) -> bool:
        try:
            act()
        except Conflict:
            return True
        return False

    @rule(name=who)
    def pull(self, name: str) -> None:
        before = verification.held_by(self.people[name])
        held = verification.next_identity(by=self.people[name])
        if held:
            assert held.identity_id not in self.decided
            assert before is None or before.token == held.token
            self.held[name] = held
        else:
            assert before is None

    @rule(name=who, place=st.integers(0, 3))
    def take(self, name: str, place: int) -> None:
        pk = self.items[place % len(self.items)]
        holder = VerificationLease.objects.filter(identity_id=pk, until__gt=Now()).first()
        free = pk not in self.decided and (holder is None or holder.staff_id == self.people[name].pk)
        before = verification.held_by(self.people[name])

        def act() -> None:
            self.held[name] = verification.take(identity_id=pk, by=self.people[name])

        assert self._refused(act) is not free
        if not free:
            assert verification.held_by(self.people[name]) == before

    @rule(name=who)
    def heartbeat(self, name: str) -> None:
        if name in self.held:
            holds = self._holds(name)
            beat = lambda: verification.heartbeat(token=self.held[name].token, by=self.people[name])  # noqa: E731
            assert self._refused(beat) is not holds

    @rule(name=who)
    def give_back(self, name: str) -> None:
        if name in self.held:
            holds = self._holds(name)
            back = lambda: verification.give_back(token=self.held[name].token, by=self.people[name])  # noqa: E731
            assert self._refused(back) is not holds

    @rule(name=who)
    def run_out(self, name: str) -> None:
        if name in self.held:
            expire(self.held[name].identity_id)

    @rule(name=who, outcome=st.sampled_from(["verify", "reject"]))
    def decide(self, name: str, outcome: str) -> None:
        if name not in self.held:
            return
        held, holds = self.held[name], self._holds(name)
        row = Identity.objects.get(pk=held.identity_id)
        again = (
            row.decided_by_id == self.people[name].pk
            and row.state == {"verify": "verified", "reject": "rejected"}[outcome]
        )
        refused = self._refused(
            lambda: verification.decide(
                identity_id=held.identity_id, token=held.token, outcome=outcome, reason="不符", by=self.people[name]
            )
        )
        assert refused is not (holds or again)
        if holds:
            self.decided.add(held.identity_id)

    @invariant()
    def one_holder_and_one_decision(self) -> None:
        if not hasattr(self, "items"):
            return
        states = dict(Identity.objects.filter(pk__in=self.items).values_list("pk", "state"))
        assert {pk for pk, state in states.items() if state != "pending"} == self.decided
        live = VerificationLease.objects.filter(until__gt=Now())
        assert not {lease.identity_id for lease in live} & self.decided
        assert max(Counter(lease.staff_id for lease in live).values(), default=0) <= 1
        lines = AuditEvent.objects.filter(
            action__in=["identity.verify", "identity.reject"], subject__in=[f"identity:{pk}" for pk in self.items]
        )
        assert Counter(line.subject for line in lines) == Counter(f"identity:{pk}" for pk in self.decided)


def test_whatever_three_people_do_an_identity_has_one_holder_and_one_decision(world):
    Desk.world = world
    Desk.people = {"zhou": world.zhou, **{person.username: person for person in admins(2)}}
    run_state_machine_as_test(
        Desk,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
