"""Measures (DS-10e): the account is as restricted as its strictest measure in force, whatever overlaps, ends or is
lifted, and in whatever order (contract.md ruling 10)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import measures
from accounts.models import Measure, User
from core import audit
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent, OutboxEvent

BECOMES = {"warn": "active", "limit": "limited", "suspend": "suspended", "close": "closed"}
STRICTER = ["active", "limited", "suspended", "closed"]


def put(world, user=None, kind="suspend", **given_):
    if kind == "limit":
        given_.setdefault("functions", ["writing"])
    return measures.apply(user=user or world.wen, kind=kind, ground="测试", by=world.xu, **given_)


def status(user):
    return User.objects.get(pk=user.pk).account_status


def run_out(measure):
    """Put the end of a measure into the past, as if its time had gone by."""
    Measure.objects.filter(pk=measure.pk).update(
        starts_at=Now() - timedelta(days=2), ends_at=Now() - timedelta(seconds=1)
    )


@pytest.mark.parametrize(
    ("kind", "becomes", "may"),
    [("warn", "active", True), ("limit", "limited", True), ("suspend", "suspended", False), ("close", "closed", False)],
)
def test_each_of_the_four_measures_does_what_it_says(world, kind, becomes, may):
    measure = put(world, kind=kind, clause="服务协议 3.2")
    user = User.objects.get(pk=world.wen.pk)
    assert (user.account_status, user.may_publish) == (becomes, may)
    event = OutboxEvent.objects.get(topic="measure.applied", subject=str(user.pk))
    assert event.service_id == world.service.pk
    assert event.payload["user"] == "wen" and event.payload["kind"] == kind and event.payload["id"] == str(measure.pk)
    assert "measure.applied" in [e.action for e in audit.of(f"user:{user.pk}")]


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"kind": "banish", "ground": "x"}, "kind"),
        ({"kind": "warn", "ground": " "}, "ground"),
        ({"kind": "limit", "ground": "x"}, "functions"),
    ],
)
def test_a_measure_without_what_it_needs_is_refused_and_changes_nothing(world, given_, field):
    with pytest.raises(Refusal) as refused:
        measures.apply(user=world.wen, by=world.xu, **given_)
    assert (refused.value.status, refused.value.errors[0]["field"]) == (422, field)
    assert world.wen.measures.count() == 0 and status(world.wen) == "active"


@pytest.mark.parametrize("who", ["lin", "he", "fang"])
def test_only_who_has_the_grant_applies_and_lifts(world, who):
    measure = put(world)
    with pytest.raises(Forbidden):
        measures.apply(user=world.wen, kind="warn", ground="x", by=world.staff[who])
    with pytest.raises(Forbidden):
        measures.lift(measure_id=measure.pk, reason="x", by=world.staff[who])
    assert status(world.wen) == "suspended"


def test_lifting_needs_a_reason_happens_once_and_tells_the_service(world):
    measure = put(world)
    with pytest.raises(Refusal):
        measures.lift(measure_id=measure.pk, reason="", by=world.chen)
    lifted = measures.lift(measure_id=measure.pk, reason="申诉成立", by=world.chen)
    assert (lifted.state, lifted.lift_reason, status(world.wen)) == ("lifted", "申诉成立", "active")
    with pytest.raises(Conflict):
        measures.lift(measure_id=measure.pk, reason="again", by=world.chen)
    assert OutboxEvent.objects.filter(topic="measure.lifted", subject=str(world.wen.pk)).count() == 1
    with pytest.raises(NotFound):
        measures.lift(measure_id=uuid7(), reason="x", by=world.chen)


def test_lifting_the_stricter_one_leaves_the_other_in_force(world):
    put(world, kind="limit")
    strict = put(world, kind="suspend")
    measures.lift(measure_id=strict.pk, reason="x", by=world.chen)
    assert status(world.wen) == "limited"


def test_the_timer_of_a_replaced_measure_does_nothing(world):
    short = put(world, kind="suspend", ends_at=timezone.now() + timedelta(days=1))
    put(world, kind="close")
    run_out(short)
    OutboxEvent.objects.all().delete()
    assert measures.expire_due() == 1
    assert status(world.wen) == "closed"
    assert not OutboxEvent.objects.filter(topic="internal.user_may_publish", subject=str(world.wen.pk)).exists()


def test_what_ends_by_the_clock_ends_once_and_lets_waiting_items_go_on(world):
    measure = put(world, ends_at=timezone.now() + timedelta(days=1))
    assert measures.expire_due() == 0
    run_out(measure)
    OutboxEvent.objects.all().delete()
    assert measures.expire_due() == 1
    assert measures.expire_due() == 0
    measure.refresh_from_db()
    assert (measure.state, status(world.wen)) == ("expired", "active")
    assert OutboxEvent.objects.filter(topic="internal.user_may_publish", subject=str(world.wen.pk)).count() == 1
    line = AuditEvent.objects.get(subject=f"user:{world.wen.pk}", action="measure.expired")
    assert line.actor == "system:clock"


def test_a_lifted_measure_does_not_expire_and_an_expired_one_is_not_lifted(world):
    lifted, expired = put(world), put(world, kind="warn")
    measures.lift(measure_id=lifted.pk, reason="x", by=world.chen)
    run_out(lifted)
    run_out(expired)
    assert measures.expire_due() == 1
    with pytest.raises(Conflict):
        measures.lift(measure_id=expired.pk, reason="x", by=world.chen)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(sorted(BECOMES))),
        st.tuples(st.sampled_from(["lift", "run_out"]), st.integers(0, 11)),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_account_always_equals_the_strictest_measure_in_force(world, steps):
    world.wen.measures.all().delete()
    measures.recompute(world.wen, by="system:test")
    live: list[Measure] = []
    for step, what in steps:
        if step == "put":
            live.append(put(world, kind=what, ends_at=timezone.now() + timedelta(days=1)))
        elif live:
            measure = live.pop(what % len(live))
            if step == "lift":
                measures.lift(measure_id=measure.pk, reason="x", by=world.chen)
            else:
                run_out(measure)
                assert measures.expire_due() == 1
        strictest = max((BECOMES[m.kind] for m in live), key=STRICTER.index, default="active")
        assert status(world.wen) == strictest
        assert {m.pk for m in measures.in_force(world.wen)} == {m.pk for m in live}


def test_many_at_once_add_up(open_world, at_once):
    world = open_world
    results = at_once(*(lambda k=k: put(world, kind=k) for k in ("warn", "limit", "suspend", "close")))
    assert all(isinstance(r, Measure) for r in results), results
    assert status(world.wen) == "closed"
    ending = [r.pk for r in results]
    at_once(*(lambda pk=pk: measures.lift(measure_id=pk, reason="x", by=world.chen) for pk in ending))
    assert status(world.wen) == "active"


def test_lifting_and_expiry_at_once_end_it_once(open_world, at_once):
    world = open_world
    measure = put(world, ends_at=timezone.now() + timedelta(days=1))
    run_out(measure)
    lifted, expired = at_once(
        lambda: measures.lift(measure_id=measure.pk, reason="x", by=world.chen), measures.expire_due
    )
    assert (isinstance(lifted, Measure), expired) in ((True, 0), (False, 1)), (lifted, expired)
    assert OutboxEvent.objects.filter(topic="measure.lifted", subject=str(world.wen.pk)).count() == 1
    assert status(world.wen) == "active"
