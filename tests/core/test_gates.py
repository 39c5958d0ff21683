"""Gates: closed on every path at once, opened by a second recorded decision, ended by the clock (DS-21b)."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from core import gates
from core.errors import Conflict, Forbidden, Refusal
from core.ids import uuid7
from core.models import AuditEvent, Gate, OutboxEvent


def close(world, capability="release", **given):
    return gates.close_gate(**{"capability": capability, "directive": "令1号", "by": world.chen, **given})


def time_is_over(gate):
    Gate.objects.filter(pk=gate.pk).update(until=Now() - timedelta(seconds=1))


def test_a_closed_gate_stops_its_capability_for_its_service_and_no_other(world):
    close(world, service_id=world.service.pk)
    assert gates.closed(world.service.pk, "release").directive == "令1号"
    assert gates.closed(world.other_service.pk, "release") is None
    assert gates.closed(world.service.pk, "registration") is None


def test_the_whole_service_stops_everything_and_no_service_means_all(world):
    close(world, "service")
    for service in (world.service, world.other_service):
        for capability in Gate.CAPABILITIES:
            assert gates.closed(service.pk, capability) is not None


@pytest.mark.parametrize(
    ("given", "field"),
    [({"capability": "everything"}, "capability"), ({"until": timezone.now() - timedelta(seconds=1)}, "until")],
)
def test_a_closure_that_does_not_fit_is_refused(world, given, field):
    with pytest.raises(Refusal) as refused:
        close(world, **given)
    assert (refused.value.status, refused.value.errors[0]["field"]) == (422, field)
    assert not Gate.objects.exists() and not AuditEvent.objects.filter(action="gate.closed").exists()


@pytest.mark.parametrize("who", ["lin", "xu", "zhou", "he", "fang"])
def test_only_who_has_the_grant_operates_gates(world, who):
    gate = close(world)
    with pytest.raises(Forbidden):
        close(world, "registration", by=world.staff[who])
    with pytest.raises(Forbidden):
        gates.open_gate(gate_id=gate.pk, by=world.staff[who], reason="x")
    assert gates.in_force().count() == 1


def test_closing_and_opening_are_recorded_and_told(world):
    gate = close(world, service_id=world.service.pk)
    opened = gates.open_gate(gate_id=gate.pk, by=world.chen, reason="期满")
    assert opened.opened_at is not None and gates.closed(world.service.pk, "release") is None
    lines = AuditEvent.objects.filter(subject=f"gate:{gate.pk}").order_by("id").values_list("action", "actor", "reason")
    assert list(lines) == [("gate.closed", "staff:chen", "令1号"), ("gate.opened", "staff:chen", "期满")]
    told = OutboxEvent.objects.filter(subject=str(gate.pk)).order_by("id").values_list("topic", "service_id")
    assert list(told) == [("gate.closed", world.service.pk), ("gate.opened", world.service.pk)]


def test_twice_is_refused_both_ways_and_opening_needs_a_reason(world):
    gate = close(world)
    with pytest.raises(Conflict):
        close(world)
    with pytest.raises(Refusal) as refused:
        gates.open_gate(gate_id=gate.pk, by=world.chen, reason=" ")
    assert refused.value.errors[0]["field"] == "reason"
    gates.open_gate(gate_id=gate.pk, by=world.chen, reason="期满")
    for pk in (gate.pk, uuid7()):
        with pytest.raises(Conflict):
            gates.open_gate(gate_id=pk, by=world.chen, reason="期满")
    assert close(world).pk != gate.pk


def test_what_is_over_holds_nobody_and_its_end_is_told_once(world):
    gate = close(world, until=timezone.now() + timedelta(hours=1))
    assert gates.end_due() == 0
    time_is_over(gate)
    assert gates.closed(world.service.pk, "release") is None
    assert gates.end_due() == 1
    assert gates.end_due() == 0
    line = AuditEvent.objects.get(action="gate.ended")
    assert (line.subject, line.actor) == (f"gate:{gate.pk}", "system:clock")
    assert OutboxEvent.objects.filter(topic="gate.opened", subject=str(gate.pk)).count() == 1


def test_what_is_over_can_be_closed_again_before_the_clock_came_round(world):
    gate = close(world, until=timezone.now() + timedelta(hours=1))
    time_is_over(gate)
    again = close(world, directive="令2号")
    assert gates.closed(world.service.pk, "release").pk == again.pk
    assert AuditEvent.objects.filter(action="gate.ended", subject=f"gate:{gate.pk}").count() == 1


def test_a_closure_that_begins_later_holds_nobody_yet(world):
    Gate.objects.create(capability="release", since=timezone.now() + timedelta(hours=1))
    assert gates.closed(world.service.pk, "release") is None


def test_the_overview_names_all_three_and_who_ordered_it(world, api):
    close(world, "release", directive="令9号")
    told = {row["capability"]: row for row in api.get("gates").json()}
    assert set(told) == {"release", "registration", "service"}
    assert (told["release"]["closed"], told["release"]["directive"]) == (True, "令9号")
    assert told["service"] == {
        "capability": "service",
        "closed": False,
        "since": None,
        "until": None,
        "directive": None,
    }


def test_two_people_close_at_once_and_one_of_them_is_told(open_world):
    world = open_world
    start, results = threading.Barrier(2), []

    def one():
        try:
            start.wait(10)
            results.append(close(world))
        except Exception as exc:
            results.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(type(r).__name__ for r in results) == ["Conflict", "Gate"], results
    assert gates.in_force().count() == 1


def test_the_command_line_closes_and_opens_with_the_rights_of_the_named_person(world):
    from io import StringIO

    from django.core.management import call_command
    from django.core.management.base import CommandError

    from core import gates

    out = StringIO()
    call_command("gate", "close", "release", directive="令9号", by="chen", stdout=out)
    assert gates.closed(world.service.pk, "release").directive == "令9号"
    call_command("gate", stdout=out)
    assert "令9号" in out.getvalue()
    with pytest.raises(CommandError):
        call_command("gate", "open", "release", reason="已解除", by="lin")
    call_command("gate", "open", "release", reason="已解除", by="chen", stdout=out)
    assert gates.closed(world.service.pk, "release") is None
