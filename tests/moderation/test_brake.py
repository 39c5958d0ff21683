"""The brake: a new entry that matches too much stops by itself, calls people, and is let go on by a person with a reason."""

from __future__ import annotations

import pytest
from django.core import mail as outgoing
from django.db import connection

from core.errors import Conflict, Refusal
from core.models import Alarm, AuditEvent, OutboxEvent
from moderation import brake, features, library, tasks
from moderation.models import Feature, Library
from tests.world import CLEAN, work

WIDE = "秋天的"  # stands in CLEAN


@pytest.fixture(autouse=True)
def a_small_town(monkeypatch):
    monkeypatch.setenv("MINGJIAN_BRAKE_LEAST", "10")
    monkeypatch.setenv("MINGJIAN_BRAKE_SHARE", "0.2")


def in_force(world, value=WIDE, **given):
    feature = features.propose(value=value, category="fraud.loan", severity=2, by=world.lin, **given)
    features.approve(feature_id=feature.pk, by=world.xu)
    library._look_at = 0.0
    return feature


def screen(world, hits: int, others: int) -> None:
    for text in [CLEAN] * hits + ["春天的新书店里很热闹"] * others:
        world.take(text)
    work()


def state(feature) -> str:
    return Feature.objects.get(pk=feature.pk).state


def test_a_new_entry_that_matches_too_much_loses_its_effect_and_calls_people(world):
    feature = in_force(world)
    before = Library.objects.get(pk=1).version
    screen(world, hits=3, others=8)
    tasks.watch_library()
    braked = Feature.objects.get(pk=feature.pk)
    assert (braked.state, braked.changed_in) == ("braked", before + 1)
    assert braked.braked_share == pytest.approx(3 / 11)
    alarm = Alarm.objects.get(kind="feature_braked")
    assert (alarm.subject, alarm.actor) == (f"feature:{feature.pk}", "system:brake")
    assert "3/11" in alarm.detail
    assert AuditEvent.objects.get(action="feature.brake").data["hits"] == 3
    assert OutboxEvent.objects.filter(topic=brake.TOPIC, subject=str(feature.pk)).count() == 1
    library._look_at = 0.0
    assert world.submit(CLEAN).state == "released"


@pytest.mark.parametrize(("hits", "others"), [(2, 9), (9, 0), (0, 12)])
def test_within_its_share_or_before_enough_was_screened_it_goes_on(world, hits, others):
    feature = in_force(world)
    screen(world, hits, others)
    assert brake.pull() == [] and state(feature) == "active"


def test_items_from_before_it_came_into_force_do_not_count(world):
    screen(world, hits=0, others=30)
    feature = in_force(world)
    screen(world, hits=3, others=8)
    assert brake.pull() == [feature.pk]


def test_an_entry_that_hits_an_item_many_times_hits_one_item(world):
    feature = in_force(world, rollout=100)
    world.take(CLEAN * 5)
    screen(world, hits=0, others=11)
    assert brake.pull() == [] and state(feature) == "active"


def test_an_old_entry_and_an_allow_list_entry_are_left_alone(world):
    old, allowing = in_force(world), in_force(world, "书店里", allow=True)
    screen(world, hits=12, others=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE moderation_feature SET approved_at = approved_at - interval '25 hours' WHERE id = %s", [old.pk]
        )
    assert brake.pull() == []
    assert (state(old), state(allowing)) == ("active", "active")


def test_a_share_of_one_means_never(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_BRAKE_SHARE", "1")
    feature = in_force(world)
    screen(world, hits=12, others=0)
    assert brake.pull() == [] and state(feature) == "active"


def test_a_person_lets_it_go_on_with_a_reason_and_the_brake_leaves_it_alone(world):
    feature = in_force(world)
    screen(world, hits=11, others=0)
    brake.pull()
    with pytest.raises(Refusal):
        features.let_go(feature_id=feature.pk, reason=" ", by=world.xu)
    features.let_go(feature_id=feature.pk, reason="节日活动，确实都是它", by=world.xu)
    library._look_at = 0.0
    assert world.submit(CLEAN).state == "in_review"
    assert brake.pull() == [] and state(feature) == "active"
    with pytest.raises(Conflict):
        features.let_go(feature_id=feature.pk, reason="x", by=world.xu)


def test_a_braked_entry_is_retired_or_replaced_too(world):
    one, other = in_force(world), in_force(world, "旧书店里")
    screen(world, hits=11, others=0)
    assert sorted(brake.pull()) == [one.pk, other.pk]
    features.retire(feature_id=one.pk, reason="过宽", by=world.xu)
    narrower = features.revise(feature_id=other.pk, value="旧书店里有地道", by=world.lin)
    features.approve(feature_id=narrower.pk, by=world.xu)
    assert [state(f) for f in (one, other, narrower)] == ["retired", "retired", "active"]


def test_proposer_and_approver_get_a_letter(world, settings):
    settings.MAIL = True
    for person, address in ((world.lin, "lin@example.cn"), (world.xu, "xu@example.cn"), (world.bai, "bai@example.cn")):
        person.email = address
        person.save(update_fields=["email"])
    feature = in_force(world)
    screen(world, hits=11, others=0)
    brake.pull()
    from core import outbox

    outbox.relay()
    work()
    letters = [sent for sent in outgoing.outbox if f"#{feature.pk}" in sent.subject]
    assert [sorted(sent.bcc) for sent in letters] == [["lin@example.cn", "xu@example.cn"]]
    assert f"/features/{feature.pk}/" in letters[0].body and WIDE not in letters[0].body


def test_the_look_reads_no_more_items_than_its_window(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_BRAKE_WINDOW", "10")
    feature = in_force(world)
    screen(world, hits=11, others=0)
    screen(world, hits=0, others=10)
    assert brake.pull() == [] and state(feature) == "active"
