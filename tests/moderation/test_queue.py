"""The queue: nobody gets what somebody holds, nothing is lost, nothing is decided twice."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from accounts.models import Staff
from core.errors import Forbidden, Refusal
from core.ids import uuid7
from moderation import decisions, queue
from moderation.models import ClaimEvent, Content, Decision, Lease, Submission, Task
from moderation.policy import live_number
from tests import world as cast


def queued(world: cast.World, count: int, **task: Any) -> list[Submission]:
    """Items in review that wait in the queue, without screening each."""
    items = [
        Submission(
            id=uuid7(),
            service=world.service,
            user=world.wen,
            function=world.writing,
            external_id=f"queued-{uuid4().hex}",
            technology="text",
            state="in_review",
            rule="R-05",
            body_digest=b"",
            policy_version=live_number(),
            screened={"input": {"checks": {}}, "output": {"checks": {}}},
        )
        for _n in range(count)
    ]
    Submission.objects.bulk_create(items)
    Content.objects.bulk_create([Content(submission=i, input_text="", output_text="一段话") for i in items])
    due = task.pop("due_at", timezone.now() + timedelta(hours=4))
    Task.objects.bulk_create([Task(submission=i, due_at=due, **task) for i in items])
    return items


def expire(submission_id: Any = None) -> None:
    """Let leases run out, as the clock would."""
    rows = Lease.objects.filter(submission_id=submission_id) if submission_id else Lease.objects.all()
    rows.update(until=timezone.now() - timedelta(seconds=1))


def in_threads(count: int, work: Any) -> list[Any]:
    """Run `work(n)` in `count` threads that start together; answers what each answered, raises what one raised."""
    start, answers, errors = threading.Barrier(count), [None] * count, []

    def run(n: int) -> None:
        try:
            start.wait()
            answers[n] = work(n)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    return answers


@pytest.mark.django_db(transaction=True)
def test_sixteen_people_empty_two_hundred_items_and_never_meet(open_world):
    """P: two moderators who press next together never get the same item."""
    items = queued(open_world, 200)
    people = [
        Staff.objects.create(username=f"m{n}", display_name=f"审核{n}", role="moderator", password="!")
        for n in range(16)
    ]

    def empty(n: int) -> list[Any]:
        mine = []
        while held := queue.next_task(by=people[n]):
            mine.append(held.submission_id)
            with transaction.atomic():
                queue.end_lease(queue.lock_lease(token=held.token, by=people[n]), "decided")
        return mine

    taken = Counter(pk for mine in in_threads(16, empty) for pk in mine)
    assert set(taken.values()) == {1}
    assert set(taken) == {item.pk for item in items}
    assert not Task.objects.exists()
    assert not Lease.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_same_person_pressing_next_many_times_at_once_gets_one_item(open_world):
    queued(open_world, 20)
    held = in_threads(8, lambda n: queue.next_task(by=open_world.lin))
    assert len({h.submission_id for h in held}) == 1
    assert len({h.token for h in held}) == 1
    assert Lease.objects.count() == 1
    assert Task.objects.count() == 19


@pytest.mark.django_db(transaction=True)
def test_the_same_form_sent_twice_at_once_is_one_decision_and_both_are_told_so(open_world):
    item = queued(open_world, 1)[0]
    held = queue.next_task(by=open_world.lin)

    def send(n: int) -> decisions.Outcome:
        return decisions.decide(
            submission_id=item.pk,
            token=held.token,
            outcome="block",
            category="fraud.part_time",
            reason="不发布",
            by=open_world.lin,
        )

    said = in_threads(4, send)
    assert {outcome.result for outcome in said} == {"applied"}
    assert len({outcome.decision.pk for outcome in said}) == 1
    assert Decision.objects.count() == 1


def test_the_most_urgent_comes_first_and_among_equals_the_oldest(world):
    low = queued(world, 1, priority=10)[0]
    old, young = queued(world, 1, priority=30)[0], queued(world, 1, priority=30)[0]
    Task.objects.filter(pk=old.pk).update(entered_at=timezone.now() - timedelta(hours=1))
    order = []
    while held := queue.next_task(by=world.lin):
        order.append(held.submission_id)
        queue.end_lease(queue.lock_lease(token=held.token, by=world.lin), "decided")
    assert order == [old.pk, young.pk, low.pk]


def test_next_again_is_the_same_item_and_renews_it(world):
    queued(world, 3)
    first = queue.next_task(by=world.lin)
    Lease.objects.update(until=timezone.now() + timedelta(seconds=5))
    again = queue.next_task(by=world.lin)
    assert (again.submission_id, again.token) == (first.submission_id, first.token)
    assert again.until > timezone.now() + timedelta(seconds=60)


def test_a_lease_left_alone_returns_to_its_old_place_and_the_log_says_so(world):
    item = queued(world, 1, priority=20)[0]
    before = Task.objects.get(pk=item.pk)
    queue.next_task(by=world.lin)
    [standing] = queue.claim_log(item.pk)
    assert (standing.event, standing.staff_id) == ("claimed", world.lin.pk)
    assert not ClaimEvent.objects.exists()  # the lease itself is the record as long as it stands
    expire()
    assert queue.return_expired() == 1
    assert ClaimEvent.objects.get(event="claimed").at == standing.at
    after = Task.objects.get(pk=item.pk)
    assert (after.priority, after.entered_at, after.due_at) == (before.priority, before.entered_at, before.due_at)
    assert [e.event for e in queue.claim_log(item.pk)] == ["claimed", "expired"]
    assert queue.next_task(by=world.bai).submission_id == item.pk


def test_a_sign_of_life_prolongs_a_lease_and_a_lost_one_names_who_has_the_item(world):
    item = queued(world, 1)[0]
    held = queue.next_task(by=world.lin)
    Lease.objects.update(until=timezone.now() + timedelta(seconds=5))
    assert queue.heartbeat(token=held.token, by=world.lin) > timezone.now() + timedelta(seconds=60)
    expire()
    queue.next_task(by=world.bai)
    with pytest.raises(queue.LeaseLost) as lost:
        queue.heartbeat(token=held.token, by=world.lin, submission_id=item.pk)
    assert "白薇" in str(lost.value.detail)
    assert lost.value.extra["held_by"] == "bai"
    for refused in (
        lambda: queue.give_back(token=held.token, reason="x", by=world.lin, submission_id=item.pk),
        lambda: queue.escalate(token=held.token, reason="", by=world.lin, submission_id=item.pk),
    ):
        with pytest.raises(queue.LeaseLost) as lost:
            refused()
        assert "白薇" in str(lost.value.detail)


def test_nobody_can_use_another_persons_token(world):
    queued(world, 1)
    held = queue.next_task(by=world.lin)
    for act in (
        lambda: queue.heartbeat(token=held.token, by=world.bai),
        lambda: queue.give_back(token=held.token, reason="x", by=world.bai),
        lambda: queue.escalate(token=held.token, reason="x", by=world.bai),
    ):
        with pytest.raises(queue.LeaseLost):
            act()
    assert queue.held_by(world.lin).token == held.token


def test_skipping_needs_a_reason_and_goes_to_the_end_of_its_priority(world):
    first, second = queued(world, 1)[0], queued(world, 1)[0]
    Task.objects.filter(pk=first.pk).update(entered_at=timezone.now() - timedelta(hours=1))
    held = queue.next_task(by=world.lin)
    with pytest.raises(Refusal):
        queue.give_back(token=held.token, reason="  ", by=world.lin)
    assert queue.held_by(world.lin)
    queue.give_back(token=held.token, reason="认识此人", by=world.lin)
    assert [e.reason for e in queue.claim_log(first.pk)][-1] == "认识此人"
    assert queue.next_task(by=world.lin).submission_id == second.pk


def test_what_is_passed_on_reaches_seniors_only(world):
    item = queued(world, 1)[0]
    held = queue.next_task(by=world.lin)
    queue.escalate(token=held.token, reason="拿不准", by=world.lin)
    assert queue.next_task(by=world.bai) is None
    taken = queue.next_task(by=world.xu)
    assert (taken.submission_id, taken.queue) == (item.pk, queue.SENIOR)


@pytest.mark.parametrize("name", ["zhou", "chen", "he", "fang"])
def test_only_moderators_take_items(world, name):
    queued(world, 1)
    with pytest.raises(Forbidden):
        queue.next_task(by=world.staff[name])
    assert Task.objects.count() == 1


class Queue(RuleBasedStateMachine):
    """Three people do anything in any order; whatever they do, every item is in exactly one place."""

    people = ("lin", "bai", "xu")
    who = st.sampled_from(people)

    @initialize(count=st.integers(1, 5))
    def begin(self, count: int) -> None:
        self.point = transaction.atomic()
        self.point.__enter__()
        self.world = self.built
        self.items = [item.pk for item in queued(self.world, count)]
        self.tokens: dict[str, Any] = {}
        self.settled: set[Any] = set()

    def teardown(self) -> None:
        if hasattr(self, "point"):
            transaction.set_rollback(True)
            self.point.__exit__(None, None, None)

    def _lost(self, act: Any) -> bool:
        try:
            act()
        except queue.LeaseLost:
            return True
        return False

    def _holds(self, name: str) -> bool:
        lease = Lease.objects.filter(staff_id=self.world.staff[name].pk, until__gt=timezone.now()).first()
        return bool(lease and name in self.tokens and lease.token == self.tokens[name].token)

    @rule(name=who)
    def claim(self, name: str) -> None:
        before = queue.held_by(self.world.staff[name])
        held = queue.next_task(by=self.world.staff[name])
        if held:
            assert held.submission_id not in self.settled
            assert before is None or before.token == held.token
            self.tokens[name] = held

    @rule(name=who)
    def heartbeat(self, name: str) -> None:
        if name in self.tokens:
            holds = self._holds(name)
            beat = lambda: queue.heartbeat(token=self.tokens[name].token, by=self.world.staff[name])  # noqa: E731
            assert self._lost(beat) is not holds

    @rule(name=who)
    def give_back(self, name: str) -> None:
        if name in self.tokens:
            holds, held = self._holds(name), self.tokens[name]
            assert (
                self._lost(lambda: queue.give_back(token=held.token, reason="r", by=self.world.staff[name]))
                is not holds
            )

    @rule(name=who)
    def escalate(self, name: str) -> None:
        if name in self.tokens:
            holds, held = self._holds(name), self.tokens[name]
            assert (
                self._lost(lambda: queue.escalate(token=held.token, reason="", by=self.world.staff[name])) is not holds
            )

    @rule(name=who)
    def expire(self, name: str) -> None:
        if name in self.tokens:
            expire(self.tokens[name].submission_id)

    @rule()
    def sweep(self) -> None:
        queue.return_expired()

    @rule(name=who, outcome=st.sampled_from(["release", "block"]))
    def decide(self, name: str, outcome: str) -> None:
        if name not in self.tokens:
            return
        holds, held = self._holds(name), self.tokens[name]
        again = Decision.objects.filter(lease_token=held.token).exists()
        lost = self._lost(
            lambda: decisions.decide(
                submission_id=held.submission_id,
                token=held.token,
                outcome=outcome,
                category="fraud.part_time",
                reason="r",
                by=self.world.staff[name],
            )
        )
        assert lost is not (holds or again)
        if holds:
            self.settled.add(held.submission_id)

    @invariant()
    def every_item_is_in_exactly_one_place(self) -> None:
        if not hasattr(self, "items"):
            return
        tasks = Counter(Task.objects.values_list("pk", flat=True))
        leases = Counter(Lease.objects.values_list("pk", flat=True))
        states = dict(Submission.objects.filter(pk__in=self.items).values_list("pk", "state"))
        for pk in self.items:
            settled = states[pk] in ("released", "blocked")
            assert tasks[pk] + leases[pk] + settled == 1
            assert settled == (pk in self.settled)
        assert max(Counter(Lease.objects.values_list("staff_id", flat=True)).values(), default=0) <= 1
        decided = Counter(Decision.objects.filter(submission_id__in=self.items).values_list("submission_id", flat=True))
        assert decided == Counter(dict.fromkeys(self.settled, 1))
        assert ClaimEvent.objects.filter(event="decided").count() == len(self.settled)


def test_whatever_three_people_do_every_item_is_in_exactly_one_place(world):
    Queue.built = world
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Queue,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
