"""The states engine: every move of every table, and no other."""

from __future__ import annotations

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts import identities
from accounts.models import Identity
from accounts.states import IDENTITY
from core import audit, states
from core.errors import Conflict
from core.models import AuditEvent
from tests.world import OTHER_ID_NUMBER

states.discover()
MACHINES = sorted(states.MACHINES)
NAMES = ("a", "b", "c", "d", "e")


class Row:
    """A record that remembers what was saved."""

    pk = "1"

    def __init__(self, state):
        self.state = state
        self.saved = None

    def save(self, update_fields):
        self.saved = update_fields


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_is_reached_and_named_and_none_is_left_that_is_final(name):
    machine = states.MACHINES[name]
    reached = {machine.initial}
    while more := {m.target for m in machine.moves if set(m.sources) & reached} - reached:
        reached |= more
    assert reached == set(machine.states)
    assert set(machine.words) >= set(machine.states)
    assert not any(machine.allowed(state) for state in machine.final)


@pytest.mark.parametrize("name", MACHINES)
def test_check_move_is_the_table(name):
    machine = states.MACHINES[name]
    for state in machine.states:
        for action in {m.action for m in machine.moves} | {"fly"}:
            target = next((m.target for m in machine.moves if m.action == action and state in m.sources), None)
            assert machine.target(state, action) == target
            assert (action in machine.allowed(state)) is (target is not None)
            if target:
                assert states.check_move(machine, state, action) == target
            else:
                with pytest.raises(Conflict) as refused:
                    states.check_move(machine, state, action)
                assert refused.value.extra == {"state": state, "action": action}
                assert str(refused.value.detail)


def moves():
    return st.lists(
        st.builds(
            states.Move,
            action=st.sampled_from(["go", "stop", "turn"]),
            sources=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple),
            target=st.sampled_from(NAMES),
            by=st.just("somebody"),
        ),
        max_size=6,
    )


@given(moves=moves(), walk=st.lists(st.sampled_from(["go", "stop", "turn"]), max_size=10))
def test_a_table_is_refused_at_birth_or_every_walk_stays_on_it(moves, walk):
    states.MACHINES.pop("test_any", None)
    try:
        try:
            machine = states.Machine(name="test_any", states=NAMES, initial="a", moves=tuple(moves))
        except ValueError:
            pairs = [(m.action, s) for m in moves for s in m.sources]
            ambiguous = len(pairs) != len(set(pairs))
            unreachable = set(NAMES) - {"a"} - {m.target for m in moves}
            assert ambiguous or unreachable
            return
        state = "a"
        for action in walk:
            if action in machine.allowed(state):
                following = states.check_move(machine, state, action)
                assert any(m.action == action and state in m.sources and m.target == following for m in moves)
                state = following
            else:
                with pytest.raises(Conflict):
                    states.check_move(machine, state, action)
        drawn = machine.mermaid()
        assert all(f"{s} --> {m.target}: {m.action}" in drawn for m in moves for s in m.sources)
    finally:
        states.MACHINES.pop("test_any", None)


@pytest.mark.parametrize(
    "given_",
    [
        {"initial": "x"},
        {"final": ("x",)},
        {"moves": (states.Move("go", ("a",), "x", "y"),)},
        {"moves": (states.Move("go", ("x",), "b", "y"),)},
        {"final": ("a",)},  # left by a move
        {"moves": ()},  # b is never reached
        {"moves": (states.Move("go", ("a",), "b", "y"), states.Move("go", ("a",), "a", "y"))},
    ],
)
def test_a_wrong_table_fails_when_it_is_made(given_):
    sound = {"states": ("a", "b"), "initial": "a", "moves": (states.Move("go", ("a",), "b", "y"),)}
    with pytest.raises(ValueError, match="test_wrong"):
        states.Machine(name="test_wrong", **{**sound, **given_})
    assert "test_wrong" not in states.MACHINES


def test_two_tables_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two machines"):
        states.Machine(name="identity", states=("a",), initial="a", moves=())


def test_a_move_saves_only_its_fields_and_writes_its_line(db):
    row = Row("pending")
    with transaction.atomic():
        states.transition(
            IDENTITY, row, "reject", by="system:test", reason="why", data={"n": 1}, also=["reject_reason"]
        )
    assert (row.state, row.saved) == ("rejected", ["state", "reject_reason"])
    line = AuditEvent.objects.get(subject="identity:1")
    assert (line.action, line.reason) == ("identity.reject", "why")
    assert line.data == {"from": "pending", "to": "rejected", "n": 1}


def test_a_refused_move_saves_nothing_and_writes_nothing(db):
    row = Row("replaced")
    with pytest.raises(Conflict), transaction.atomic():
        states.transition(IDENTITY, row, "verify", by="system:test")
    assert (row.state, row.saved, AuditEvent.objects.filter(subject="identity:1").count()) == ("replaced", None, 0)


def test_a_move_whose_line_cannot_be_written_did_not_happen(world, monkeypatch):
    identity = identities.submit(
        user=world.liu, method="id_number", number=OTHER_ID_NUMBER, name="试名", by="client:test"
    )

    def broken(**kwargs):
        raise RuntimeError("the ledger is away")

    monkeypatch.setattr(audit, "record", broken)
    with pytest.raises(RuntimeError):
        identities.verify(identity_id=identity.pk, by=world.zhou)
    assert Identity.objects.get(pk=identity.pk).state == "pending"
