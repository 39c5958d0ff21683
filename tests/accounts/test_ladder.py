"""The ladder (DS-10e, GEN-12): the same severity and history always give the same advice, more never gives less, what an
appeal undid never counts, and closing an account is a person's decision."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st

from accounts import appeals, ladder, measures
from accounts.ladder import Past, recommend
from accounts.models import Measure
from accounts.pages.history_words import line
from core import audit
from core.errors import Forbidden, Refusal

NOW = timezone.now()
HARSHER = ["warn", "limit", "suspend", "close"]
DAY = timedelta(days=1)


def past(kind="suspend", days=10.0, in_force=False, overturned=False):
    return Past(kind, NOW - days * DAY, in_force, overturned)


def advice(severity, *history, memory=365):
    return recommend(severity=severity, past=history, now=NOW, memory_days=memory)


@pytest.mark.parametrize(
    ("severity", "earlier", "kind", "days"),
    [
        (1, 0, "warn", None),
        (1, 2, "limit", 7),
        (2, 0, "warn", None),
        (2, 1, "limit", 7),
        (2, 3, "suspend", 30),
        (3, 0, "limit", 7),
        (3, 2, "suspend", 30),
        (3, 3, "close", None),
        (4, 0, "suspend", 7),
        (4, 1, "suspend", 30),
        (4, 2, "close", None),
        (4, 9, "close", None),
    ],
)
def test_the_table(severity, earlier, kind, days):
    said = advice(severity, *[past()] * earlier)
    assert (said.kind, said.days, said.counted) == (kind, days, earlier)
    assert said.a_person_must_decide is (kind == "close")


PASTS = st.lists(
    st.builds(
        past,
        kind=st.sampled_from(HARSHER),
        days=st.floats(0, 800),
        in_force=st.booleans(),
        overturned=st.booleans(),
    ),
    max_size=8,
)


@given(severity=st.integers(1, 3), history=PASTS)
def test_more_never_gives_less(severity, history):
    def weight(said):
        return HARSHER.index(said.kind), said.days or 0

    said = advice(severity, *history)
    assert weight(advice(severity + 1, *history)) >= weight(said)
    assert weight(advice(severity, *history, past())) >= weight(said)


@given(severity=st.integers(1, 4), history=PASTS, extra=PASTS)
def test_what_an_appeal_undid_and_what_is_forgotten_changes_nothing(severity, history, extra):
    undone = [one._replace(overturned=True) for one in extra]
    forgotten = [past(kind, 366, in_force=kind == "warn") for kind in HARSHER]
    assert advice(severity, *history, *undone, *forgotten) == advice(severity, *history)


def test_an_old_measure_counts_while_it_still_restricts_and_an_old_warning_does_not():
    assert advice(2, past("suspend", 700, in_force=True)).counted == 1
    assert advice(2, past("warn", 700, in_force=True)).counted == 0
    assert advice(2, past("warn", 364, in_force=True)).counted == 1
    assert advice(2, past("suspend", 20), memory=10).counted == 0


def test_the_reason_names_severity_number_and_memory():
    with translation.override("en"):
        assert advice(3).reason == "severity 3 and no earlier measure in 365 days"
        assert advice(2, past()).reason == "severity 2 and 1 earlier measure in 365 days"
        assert advice(4, past(), past()).reason == "severity 4 and 2 earlier measures in 365 days; a person must decide"
        assert advice(2, past()).measure_words == "Functions limited, 7 days"


def test_an_unknown_severity_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError):
        advice(5)


# With the database


def test_the_memory_is_an_option(world, monkeypatch):
    measures.apply(user=world.wen, kind="warn", ground="测试", by=world.xu)
    Measure.objects.filter(user=world.wen).update(starts_at=Now() - 50 * DAY)
    assert ladder.for_severity(user=world.wen, severity=2).kind == "limit"
    monkeypatch.setenv("MINGJIAN_LADDER_MEMORY", "30")
    assert ladder.for_severity(user=world.wen, severity=2).kind == "warn"


def test_everybody_sees_all_four_for_one_query(world, django_assert_num_queries):
    with django_assert_num_queries(1):
        said = ladder.for_user(world.qian)
    assert [step.severity for step in said] == [1, 2, 3, 4]
    assert {step.counted for step in said} == {1}
    assert said[3].end_for_form > f"{timezone.now():%Y-%m-%dT%H:%M}" and said[0].end_for_form == ""


def test_a_measure_undone_by_an_appeal_counts_no_more_but_one_lifted_by_staff_does(world):
    def counted():
        return ladder.for_severity(user=world.qian, severity=1).counted

    measure = world.qian.measures.get()
    assert counted() == 1
    measures.lift(measure_id=measure.pk, reason="已整改", by=world.chen)
    assert counted() == 1
    appeal, _new = appeals.file(measure=measure, statement="不是我发的", by=f"user:{world.qian.pk}")
    appeals.decide(appeal_id=appeal.pk, outcome="accept", reason="属实", by=world.chen)
    assert counted() == 0


def test_a_departure_from_the_ladder_is_kept_and_stands_in_the_history(world):
    measure = measures.apply(user=world.wen, kind="suspend", ground="测试", severity=1, until_lifted=True, by=world.xu)
    assert (measure.severity, measure.recommended, measure.kind) == (1, "warn", "suspend")
    event = next(e for e in audit.of(f"user:{world.wen.pk}") if e.action == "measure.applied")
    with translation.override("en"):
        assert line(event).about == "Service suspended (recommended: Warning)"
    followed = measures.apply(user=world.liu, kind="warn", ground="测试", severity=1, by=world.xu)
    event = next(e for e in audit.of(f"user:{world.liu.pk}") if e.action == "measure.applied")
    assert followed.recommended == "warn"
    with translation.override("en"):
        assert line(event).about == "Warning"


def test_even_at_the_top_nothing_closes_an_account_but_a_person_with_the_grant(world):
    for _time in range(3):
        measures.apply(user=world.wen, kind="warn", ground="测试", severity=4, by=world.xu)
    assert ladder.for_severity(user=world.wen, severity=4).kind == "close"
    with pytest.raises(Forbidden) as refused:
        measures.apply(user=world.wen, kind="close", ground="测试", severity=4, by="system:ladder")
    assert refused.value.code == "never_automatic"
    with pytest.raises(Forbidden):
        measures.apply(user=world.wen, kind="close", ground="测试", by=world.zhou)
    world.wen.refresh_from_db()
    assert world.wen.account_status == "active"
    measures.apply(user=world.wen, kind="close", ground="测试", by=world.chen)
    assert world.wen.account_status == "closed"


@pytest.mark.parametrize("severity", [0, 5, -1])
def test_a_severity_that_does_not_exist_is_refused(world, severity):
    with pytest.raises(Refusal) as refused:
        measures.apply(user=world.wen, kind="warn", ground="x", severity=severity, by=world.xu)
    assert refused.value.errors[0]["field"] == "severity"
