"""Measures (DS-10e): the account is as restricted as its strictest measure in force, whatever overlaps, ends or is
lifted, and in whatever order (contract.md ruling 10)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone, translation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from accounts import appeals, measures
from accounts.models import Appeal, Measure, User
from core import audit
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent, OutboxEvent
from tests.world import World

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


# What a measure carries, and who may


def test_a_measure_carries_what_a_user_must_be_told(world):
    measure = put(
        world, kind="warn", clause="3.2", severity=2, cause=f"submission:{uuid7()}", remedy="删除", material="说明"
    )
    told = measures.representation(measure)
    assert (told["remedy"], told["material"], told["clause"]) == ("删除", "说明", "3.2")
    assert told["appeal_until"].endswith("+00:00") and (measure.severity, measure.recommended) == (2, "warn")


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"kind": "suspend", "until_lifted": False}, "ends_at"),
        ({"kind": "suspend", "until_lifted": True, "ends_at": "tomorrow"}, "until_lifted"),
        ({"kind": "suspend", "ends_at": "yesterday"}, "ends_at"),
        ({"kind": "warn", "functions": ["writing"]}, "functions"),
        ({"kind": "warn", "cause": "somebody said so"}, "cause"),
    ],
)
def test_a_measure_that_contradicts_itself_is_refused(world, given_, field):
    days = {"tomorrow": 1, "yesterday": -1}
    if given_.get("ends_at") in days:
        given_ = given_ | {"ends_at": timezone.now() + timedelta(days=days[given_["ends_at"]])}
    with pytest.raises(Refusal) as refused:
        measures.apply(user=world.wen, ground="测试", by=world.xu, **given_)
    assert refused.value.errors[0]["field"] == field and not world.wen.measures.exists()


def test_a_suspension_needs_an_end_or_the_choice_that_it_has_none(world):
    assert put(world, until_lifted=True).ends_at is None
    end = timezone.now() + timedelta(days=3)
    assert put(world, until_lifted=False, ends_at=end).ends_at == end


@pytest.mark.parametrize(
    ("who", "may"), [("xu", True), ("chen", True), ("zhou", False), ("lin", False), ("fang", False)]
)
def test_closing_needs_a_grant_of_its_own(world, who, may):
    if may:
        assert measures.apply(user=world.wen, kind="close", ground="x", by=world.staff[who]).kind == "close"
    else:
        with pytest.raises(Forbidden):
            measures.apply(user=world.wen, kind="close", ground="x", by=world.staff[who])
        assert status(world.wen) == "active"


@pytest.mark.parametrize("by", ["system:ladder", "system:clock", "client:abc"])
def test_no_machine_closes_an_account(world, by):
    with pytest.raises(Forbidden) as refused:
        measures.apply(user=world.wen, kind="close", ground="x", by=by)
    assert refused.value.code == "never_automatic" and status(world.wen) == "active"


def test_the_same_form_twice_is_one_measure_and_not_another_accounts(world):
    sent = uuid7()
    first = put(world, measure_id=sent)
    assert put(world, measure_id=sent).pk == first.pk == sent
    assert world.wen.measures.count() == 1
    assert OutboxEvent.objects.filter(topic="notice.created", subject=str(world.wen.pk)).count() == 1
    with pytest.raises(Conflict):
        put(world, user=world.liu, measure_id=sent)


def test_the_same_form_twice_at_once_is_one_measure(open_world, at_once):
    sent = uuid7()
    results = at_once(*(lambda: put(open_world, measure_id=sent) for _ in range(4)))
    assert {r.pk for r in results} == {sent} and open_world.wen.measures.count() == 1


def test_a_frozen_account_counts_as_closed_whatever_its_measures_say(world):
    measure = put(world, kind="warn")
    User.objects.filter(pk=world.wen.pk).update(frozen_at=Now())
    measures.lift(measure_id=measure.pk, reason="x", by=world.chen)
    assert status(world.wen) == "closed"


class Accounts(RuleBasedStateMachine):
    """Two users under random measures, ends, liftings and appeals, beside a model that is only a dictionary: the status
    is the strictest in force, an appeal undoes its own measure, and nobody else is touched."""

    world: World

    def __init__(self):
        super().__init__()
        self.users = [self.world.wen, self.world.liu]
        for user in self.users:
            for measure in user.measures.all():
                measure.appeals.all().delete()
                measure.delete()
            measures.recompute(User.objects.get(pk=user.pk), by="system:test")
        self.live: dict[Measure, str] = {}
        self.ended: dict[Measure, str] = {}
        self.open: dict[Measure, Appeal] = {}
        self.done: set[Measure] = set()

    @rule(who=st.integers(0, 1), kind=st.sampled_from(sorted(BECOMES)), by=st.sampled_from(["xu", "chen"]))
    def apply(self, who, kind, by):
        functions = ["writing"] if kind == "limit" else None
        measure = measures.apply(
            user=self.users[who],
            kind=kind,
            ground="测试",
            functions=functions,
            ends_at=timezone.now() + timedelta(days=1),
            by=self.world.staff[by],
        )
        self.live[measure] = kind

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def lift(self, data):
        measure = data.draw(st.sampled_from(list(self.live)))
        measures.lift(measure_id=measure.pk, reason="x", by=self.world.zhou)
        del self.live[measure]
        self.ended[measure] = "lifted"

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def expire(self, data):
        measure = data.draw(st.sampled_from(list(self.live)))
        run_out(measure)
        assert measures.expire_due() == 1
        del self.live[measure]
        self.ended[measure] = "expired"

    @precondition(lambda self: self.live or self.ended)
    @rule(data=st.data())
    def appeal(self, data):
        measure = data.draw(st.sampled_from([*self.live, *self.ended]))
        if measure in self.done:
            with pytest.raises(Conflict):
                appeals.file(measure=measure, statement="不对", by="user:x")
            return
        appeal, created = appeals.file(measure=measure, statement="不对", by="user:x")
        assert created is (measure not in self.open)
        self.open[measure] = appeal

    @precondition(lambda self: self.open)
    @rule(data=st.data(), outcome=st.sampled_from(["accept", "refuse", "withdraw", "by the first decider"]))
    def answer(self, data, outcome):
        measure = data.draw(st.sampled_from(list(self.open)))
        appeal = self.open[measure]
        if outcome == "by the first decider":
            with pytest.raises(Forbidden):
                appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="x", by=measure.applied_by)
            return
        del self.open[measure]
        if outcome == "withdraw":
            appeals.withdraw(appeal_id=appeal.pk, by="user:x")
            return
        appeals.decide(appeal_id=appeal.pk, outcome=outcome, reason="x", by=self.world.zhou)
        self.done.add(measure)
        if outcome == "accept":
            self.ended[measure] = "lifted" if self.live.pop(measure, None) else "overturned"

    @invariant()
    def the_model_is_right(self):
        for user in self.users:
            mine = [kind for measure, kind in self.live.items() if measure.user_id == user.pk]
            assert status(user) == max((BECOMES[kind] for kind in mine), key=STRICTER.index, default="active")
        rows = dict(Measure.objects.filter(user__in=self.users).values_list("pk", "state"))
        model = {m.pk: "in_force" for m in self.live} | {m.pk: state for m, state in self.ended.items()}
        assert rows == model


def test_whatever_happens_in_whatever_order_the_account_is_what_its_measures_make_of_it(world):
    Accounts.world = world
    run_state_machine_as_test(
        Accounts,
        settings=settings(
            max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# The panel on the user's page


def test_the_panel_shows_the_ladder_and_the_form_asks_for_an_end(world, login):
    browser, page = login("xu"), f"/users/{world.wen.pk}/"
    text = browser.get(page).content.decode()
    assert [f'data-severity="{n}"' in text for n in (1, 2, 3, 4)] == [True] * 4
    sent = {"measure_id": str(uuid7()), "severity": "1", "kind": "suspend", "ground": "发布诈骗广告"}
    refused = browser.post(page + "measures/", sent)
    assert refused.status_code == 422 and 'id="id_ends_at_error"' in refused.content.decode()
    for _twice in range(2):
        assert browser.post(page + "measures/", sent | {"until_lifted": "on"}).status_code == 302
    measure = world.wen.measures.get()
    assert (measure.kind, measure.severity, measure.recommended, measure.ends_at) == ("suspend", 1, "warn", None)
    with translation.override("en"):
        shown = login("xu").get(page, headers={"accept-language": "en"}).content.decode()
    assert "recommended: Warning" in shown and "Service suspended (recommended: Warning)" in shown


def test_the_panel_refuses_a_closure_to_who_may_not(world, login):
    answer = login("zhou").post(f"/users/{world.wen.pk}/measures/", {"kind": "close", "ground": "x"})
    assert answer.status_code == 403 and status(world.wen) == "active"
