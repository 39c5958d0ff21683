"""Scheduled bundles chain: no row falls between two or into two (contract.md ruling 13)."""

from __future__ import annotations

import random
import threading
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from core.models import AuditEvent
from moderation.models import Decision
from reporting import bundles, chains, schedules
from reporting.definitions import DEFINITIONS
from reporting.models import Bundle
from reporting.schedules import latest_hour
from tests.reporting.conftest import made
from tests.reporting.reading import ids
from tests.world import work

DAY = timedelta(days=1)


@pytest.fixture
def punctual(monkeypatch):
    """The worker takes every bundle at its hour, whatever the real clock says."""
    monkeypatch.setattr(chains, "LATE", timedelta(days=10_000))


def scheduled(hour: datetime) -> Bundle:
    """The next bundle of the chain of decisions, made."""
    last = Bundle.objects.filter(name="decisions", scheduled_for__isnull=False).order_by("scheduled_for").last()
    bundle = Bundle.objects.create(
        name="decisions",
        scheduled_for=hour,
        period_from=last.scheduled_for if last else None,
        period_to=hour,
        requested_by=schedules.SCHEDULE,
    )
    bundles.start_next("decisions")
    return made(bundle)


def test_a_transaction_open_across_a_snapshot_falls_into_exactly_the_next_bundle(decide, other, punctual):
    early = decide()
    with other.cursor() as slow:
        slow.execute("BEGIN")
        late = decide(cursor=slow)
        quick = decide()
        first = scheduled(timezone.now())
        slow.execute("COMMIT")
    second = scheduled(timezone.now())
    third = scheduled(timezone.now())
    assert early in ids(first) and quick in ids(first) and late not in ids(first)
    assert ids(second) == [late]
    assert ids(third) == []
    assert (first.continuity, second.continuity) == ("first", "snapshot")


def test_a_rolled_back_row_is_in_none_and_a_savepoint_counts_as_its_transaction(decide, other, punctual):
    first = scheduled(timezone.now())
    with other.cursor() as slow:
        slow.execute("BEGIN")
        slow.execute("SAVEPOINT a")
        kept = decide(cursor=slow)
        slow.execute("SAVEPOINT b")
        lost = decide(cursor=slow)
        slow.execute("ROLLBACK TO b")
        second = scheduled(timezone.now())
        slow.execute("COMMIT")
    third = scheduled(timezone.now())
    assert kept not in ids(first) + ids(second)
    assert ids(third) == [kept] and lost not in ids(third)


@pytest.mark.parametrize("seed", range(4))
def test_over_random_interleavings_every_row_is_in_exactly_one_bundle(decide, punctual, seed):
    """Writers with transactions of random length run while bundles are cut, some of them late."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(number: int) -> None:
        dice = random.Random(seed * 100 + number)
        side = connection.copy()
        try:
            with side.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute("BEGIN")
                    for _ in range(dice.randint(1, 4)):
                        decide(cursor=cursor)
                        stop.wait(dice.random() * 0.03)
                    cursor.execute("COMMIT" if dice.random() < 0.8 else "ROLLBACK")
        except BaseException as failure:
            failures.append(failure)
        finally:
            side.close()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    dice = random.Random(seed)
    try:
        chain = []
        for number in range(8):
            # Some are made long after their hour, and cut at it.
            if late := dice.random() < 0.4:
                chains.LATE = timedelta(0)
            hour = timezone.now() - timedelta(milliseconds=dice.randint(1, 60) if late else 0)
            chain.append(scheduled(max(hour, chain[-1].scheduled_for + timedelta(microseconds=1)) if number else hour))
            chains.LATE = timedelta(days=10_000)
            stop.wait(dice.random() * 0.1)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert failures == []
    chain.append(scheduled(timezone.now()))
    counted = Counter(pk for bundle in chain for pk in ids(bundle))
    assert set(counted) == {str(pk) for pk in Decision.objects.values_list("pk", flat=True)}
    assert set(counted.values()) == {1}
    assert len(counted) > 20
    for earlier, later in pairwise(chain):
        assert later.manifest["previous"] == {
            "bundle_id": str(earlier.pk),
            "manifest_sha256": earlier.manifest_digest,
        }


def test_a_bundle_made_late_leaves_the_rows_after_its_hour_to_the_next(decide):
    now = timezone.now()
    hours = [latest_hour(now) - 2 * DAY, latest_hour(now) - DAY, latest_hour(now)]
    rows = [decide(at=hour + shift) for hour in hours for shift in (-timedelta(hours=1), timedelta(hours=1))]
    first, second, third = (scheduled(hour) for hour in hours)
    assert (ids(first), ids(second), ids(third)[:2]) == (rows[:1], rows[1:3], rows[3:5])
    assert first.manifest["cut_at"].startswith(first.cut_at.strftime("%Y-%m-%dT"))
    rest = set(ids(scheduled(timezone.now())))
    told = [pk for bundle in (first, second, third) for pk in ids(bundle)]
    assert rest.isdisjoint(told)
    assert rest | set(told) == {str(pk) for pk in Decision.objects.values_list("pk", flat=True)}


def test_after_a_restore_into_another_cluster_rows_go_by_time_and_are_stamped_anew(decide, punctual):
    decide()
    first = scheduled(timezone.now())
    with connection.cursor() as cursor:  # what a restored dump looks like: numbers and comment of another cluster
        cursor.execute("COMMENT ON COLUMN moderation_decision.xact IS '4711'")
        cursor.execute("ALTER TABLE moderation_decision DISABLE TRIGGER rows_never_change")
        cursor.execute("UPDATE moderation_decision SET xact = '9000000000', decided_at = decided_at - interval '1 day'")
        cursor.execute("ALTER TABLE moderation_decision ENABLE TRIGGER rows_never_change")
    Bundle.objects.filter(pk=first.pk).update(
        cluster="4711", snapshot="8000000000:8000000000:", base="8000000000:8000000000:"
    )
    new = decide()
    second = scheduled(timezone.now())
    assert (ids(second), second.continuity, second.manifest["overlap_seconds"]) == ([new], "time", 60)
    newer = decide()
    third = scheduled(timezone.now())
    assert (ids(third), third.continuity) == ([newer], "snapshot")
    assert AuditEvent.objects.filter(action="export.stamped_anew", subject="table:moderation_decision").count() == 1


def test_a_failed_bundle_holds_its_chain_until_it_is_made(decide, open_world, punctual, monkeypatch):
    first = scheduled(timezone.now())
    Bundle.objects.filter(pk=first.pk).update(state="failed", failure="error")
    row = decide()
    second = scheduled(timezone.now())
    assert second.state == "queued"
    bundles.retry(bundle_id=first.pk, by=open_world.chen)
    work()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("ready", "ready")
    assert row in ids(first) and ids(second) == []


class TestDueBundles:
    def test_the_first_look_makes_one_bundle_per_name_and_the_second_none(self, open_world):
        now = timezone.now()
        assert {b.name for b in schedules.due_bundles(now)} == set(DEFINITIONS)
        assert schedules.due_bundles(now) == []
        work()
        assert set(Bundle.objects.values_list("state", flat=True)) == {"ready"}

    def test_missed_days_are_made_up_once_each_and_in_order(self, open_world):
        now = timezone.now()
        schedules.due_bundles(now - 5 * DAY)
        created = [b for b in schedules.due_bundles(now) if b.name == "decisions"]
        assert [b.scheduled_for for b in created] == [latest_hour(now) - n * DAY for n in (4, 3, 2, 1, 0)]
        assert all(b.period_from == b.scheduled_for - DAY for b in created)
        work()
        chain = list(Bundle.objects.filter(name="decisions").order_by("scheduled_for"))
        assert [b.state for b in chain] == ["ready"] * 6
        assert [b.previous_id for b in chain] == [None, *(b.pk for b in chain[:-1])]
        assert [b.finished_at for b in chain] == sorted(b.finished_at for b in chain)
        assert schedules.due_bundles(now) == []

    def test_more_than_a_month_is_made_up_in_several_looks(self, open_world):
        now = timezone.now()
        schedules.due_bundles(now - 40 * DAY)
        looks = [len([b for b in schedules.due_bundles(now) if b.name == "decisions"]) for _ in range(3)]
        assert looks == [31, 9, 0]

    def test_two_beats_at_once_and_a_clock_that_jumps_back_make_a_period_once(self, open_world):
        now = timezone.now()
        gate, failures = threading.Barrier(4), []

        def beat() -> None:
            try:
                gate.wait()
                schedules.due_bundles(now)
            except BaseException as failure:
                failures.append(failure)
            finally:
                connection.close()

        beats = [threading.Thread(target=beat) for _ in range(4)]
        for thread in beats:
            thread.start()
        for thread in beats:
            thread.join()
        assert failures == []
        assert Bundle.objects.count() == len(DEFINITIONS)
        assert schedules.due_bundles(now - 3 * DAY) == []
        with pytest.raises(IntegrityError, match="a_period_is_made_once"), transaction.atomic():
            Bundle.objects.create(
                name="decisions", scheduled_for=latest_hour(now), period_to=latest_hour(now), requested_by="x"
            )

    def test_the_hour_is_two_o_clock_in_shanghai(self):
        assert (
            latest_hour(datetime.fromisoformat("2026-03-01T18:00:00+00:00")).isoformat() == "2026-03-02T02:00:00+08:00"
        )
        assert (
            latest_hour(datetime.fromisoformat("2026-03-01T17:59:59+00:00")).isoformat() == "2026-03-01T02:00:00+08:00"
        )


def test_the_index_serves_what_was_committed_since_the_last_bundle(decide, punctual):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO moderation_decision (id, submission_id, outcome, by_kind, policy_version, rule, clause, reason,"
            " xact) SELECT gen_random_uuid(), %s, 'release', 'policy', 1, '', '', '', '1000' FROM generate_series(1, 20000)",
            [decide.item.pk],
        )
        cursor.execute("ANALYZE moderation_decision")
    first = scheduled(timezone.now())
    decide()
    wanted = DEFINITIONS["decisions"]
    with chains.reading() as (cursor, position):
        chosen = chains.select(Bundle(scheduled_for=timezone.now()), first, position)
        cursor.cursor.execute("EXPLAIN " + wanted.count(chosen.which), chosen.params)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "moderation_decision_by_xact" in plan
