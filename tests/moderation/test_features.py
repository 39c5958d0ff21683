"""The procedure of the feature library (DS-10b): revisions, proposals that change, days, races."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from core.errors import Conflict, Forbidden, Refusal
from core.models import AuditEvent
from moderation import features, library
from moderation.models import Feature, Library, TextBand

TERM = "内部渠道包过"
TEXT = "家里有闲置手机的朋友看过来，高价回收旧手机，当场付款不拖欠。"


def propose(world, value=TERM, by=None, **given):
    given = {"category": "fraud.part_time", "severity": 3, **given}
    return features.propose(value=value, by=by or world.lin, **given)


def in_force(world, *args, **given):
    return features.approve(feature_id=propose(world, *args, **given).pk, by=world.xu)


def version() -> int:
    return Library.objects.get(pk=1).version


def state(feature) -> str:
    return Feature.objects.get(pk=feature.pk).state


def test_a_revision_replaces_the_entry_in_the_moment_it_is_approved(world):
    old = in_force(world, severity=3)
    fresh = features.revise(feature_id=old.pk, by=world.bai, severity=4, note="公开兜售")
    assert (fresh.version, fresh.replaces_id, fresh.value, fresh.severity) == (old.version + 1, old.pk, TERM, 4)
    assert (state(old), state(fresh)) == ("active", "proposed")
    before = version()
    features.approve(feature_id=fresh.pk, by=world.xu)
    assert (state(old), state(fresh)) == ("retired", "active")
    assert version() == before + 1
    assert set(Feature.objects.filter(pk__in=[old.pk, fresh.pk]).values_list("changed_in", flat=True)) == {before + 1}
    assert AuditEvent.objects.get(action="feature.revised").data == {"by": fresh.pk, "changed": ["note", "severity"]}
    library._look_at = 0.0
    caught = world.submit(f"找我{TERM}").findings.get()
    assert (caught.feature_id, caught.feature_version, caught.severity) == (fresh.pk, fresh.version, 4)


def test_one_revision_waits_at_a_time_and_it_must_change_something(world):
    old = in_force(world)
    with pytest.raises(Conflict, match="nothing_changed"):
        features.revise(feature_id=old.pk, by=world.lin)
    features.revise(feature_id=old.pk, by=world.lin, rollout=10)
    with pytest.raises(Conflict, match="revision_waits"):
        features.revise(feature_id=old.pk, by=world.bai, rollout=20)
    proposed = propose(world, "别的词语")
    with pytest.raises(Conflict, match="not_in_force"):
        features.revise(feature_id=proposed.pk, by=world.lin, rollout=20)
    with pytest.raises(Conflict, match="already_in_library"):
        features.revise(feature_id=in_force(world, "第三个词").pk, by=world.lin, value=TERM)


def test_a_revision_of_what_was_retired_meanwhile_is_not_approved(world):
    old = in_force(world)
    fresh = features.revise(feature_id=old.pk, by=world.lin, severity=2)
    features.retire(feature_id=old.pk, reason="误伤", by=world.xu)
    before = version()
    with pytest.raises(Conflict, match="replaced_gone"):
        features.approve(feature_id=fresh.pk, by=world.xu)
    assert (state(fresh), version()) == ("proposed", before)


def test_whoever_has_the_old_text_before_them_cannot_approve_the_new_one(world):
    feature = propose(world)
    saw = features.seen(feature)
    features.edit(feature_id=feature.pk, by=world.lin, severity=4)
    with pytest.raises(Conflict, match="proposal_changed"):
        features.approve(feature_id=feature.pk, by=world.xu, saw=saw)
    assert state(feature) == "proposed"
    changed = Feature.objects.get(pk=feature.pk)
    assert features.approve(feature_id=feature.pk, by=world.xu, saw=features.seen(changed)).severity == 4


def test_only_the_proposer_changes_and_withdraws_a_proposal_and_only_while_it_is_one(world):
    feature = propose(world)
    for act in (features.edit, features.withdraw):
        with pytest.raises(Refusal, match="not_own_proposal"):
            act(feature_id=feature.pk, by=world.bai)
        with pytest.raises(Forbidden):
            act(feature_id=feature.pk, by=world.chen)
    mine = propose(world, "许岚的词语", by=world.xu)
    with pytest.raises(Refusal, match="own_proposal"):
        features.refuse(feature_id=mine.pk, reason="x", by=world.xu)
    features.withdraw(feature_id=mine.pk, by=world.xu)
    assert state(mine) == "retired"
    features.approve(feature_id=feature.pk, by=world.xu)
    for act in (features.edit, features.withdraw):
        with pytest.raises(Conflict, match="state_forbids"):
            act(feature_id=feature.pk, by=world.lin)


def test_a_proposal_keeps_every_text_it_had(world):
    feature = propose(world)
    features.edit(feature_id=feature.pk, by=world.lin, value="内部名额包过")
    assert list(feature.history.values_list("value", flat=True)) == ["内部名额包过", TERM]
    assert Feature.objects.get(pk=feature.pk).digest == features.digest_of("内部名额包过")
    with pytest.raises(Conflict, match="already_in_library"):
        features.edit(feature_id=feature.pk, by=world.lin, value="刷单返佣")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"severity": 5}, "severity"),
        ({"severity": True, "category": "x"}, "category"),
        ({"category": "fraud"}, "category"),
        ({"category": "x" * 500}, "category"),
        ({"rollout": 0}, "rollout"),
        ({"rollout": 101}, "rollout"),
        ({"note": "x" * 301}, "note"),
        ({"source": "坏\x00"}, "source"),
        ({"clause": "x" * 201}, "clause"),
        ({"kind": "nonsense"}, "kind"),
        ({"kind": "pattern", "value": "(开"}, "value"),
        ({"options": {"nonsense": True}}, "options"),
    ],
)
def test_a_field_that_cannot_be_is_named(world, given, field):
    with pytest.raises(Refusal) as refused:
        propose(world, given.pop("value", TERM), **given)
    assert [error["field"] for error in refused.value.errors] == [field]


def test_days_that_end_before_they_begin_or_are_over_are_refused(world):
    now = timezone.now()
    for begins, ends in ((now + timedelta(days=2), now + timedelta(days=1)), (None, now - timedelta(seconds=1))):
        with pytest.raises(Refusal) as refused:
            propose(world, valid_from=begins, valid_to=ends)
        assert refused.value.errors[0]["field"] == "valid_to"


def passes(seconds: float) -> None:
    """Let time pass: everything the library knows of its days lies that much earlier."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE moderation_feature SET valid_from = valid_from - %s * interval '1 second',"
            " valid_to = valid_to - %s * interval '1 second'",
            [seconds, seconds],
        )
        cursor.execute("UPDATE moderation_library SET clock_at = clock_at - %s * interval '1 second'", [seconds])


def found(world, text) -> bool:
    library._look_at = 0.0
    return world.submit(text).findings.exists()


def test_an_entry_comes_and_goes_on_its_day_without_anybodys_click(world):
    now = timezone.now()
    feature = in_force(world, valid_from=now + timedelta(hours=1), valid_to=now + timedelta(hours=3))
    before = version()
    assert not features.keep_time() and not found(world, TERM)
    passes(2 * 3600)
    assert features.keep_time() and version() == before + 1
    assert found(world, TERM)
    assert not features.keep_time()
    passes(2 * 3600)
    assert features.keep_time() and version() == before + 2
    assert not found(world, TERM)
    assert state(feature) == "active"
    said = AuditEvent.objects.filter(subject=f"feature:{feature.pk}", action__in=["feature.began", "feature.ended"])
    assert list(said.order_by("id").values_list("action", flat=True)) == ["feature.began", "feature.ended"]


def test_a_day_that_comes_with_another_change_counts_with_it(world):
    feature = in_force(world, valid_from=timezone.now() + timedelta(hours=1))
    library.current()
    passes(7200)
    in_force(world, "同时批准的词")
    assert Feature.objects.get(pk=feature.pk).changed_in == version()
    assert found(world, TERM)
    assert not features.keep_time()


def test_what_is_over_is_not_approved(world):
    feature = propose(world, valid_to=timezone.now() + timedelta(hours=1))
    passes(7200)
    with pytest.raises(Conflict, match="days_over"):
        features.approve(feature_id=feature.pk, by=world.xu)


def test_a_text_has_its_bands_and_new_ones_when_it_changes(world):
    feature = propose(world, TEXT, kind="text")
    before = set(TextBand.objects.filter(feature=feature).values_list("band", "value"))
    assert before
    features.edit(
        feature_id=feature.pk, by=world.lin, value="完全不同的一段话：本店新到一批水果，欢迎街坊邻居品尝选购。"
    )
    assert set(TextBand.objects.filter(feature=feature).values_list("band", "value")).isdisjoint(before)


def test_an_allow_list_entry_and_a_match_of_the_same_value_may_both_be(world):
    in_force(world)
    features.approve(feature_id=propose(world, allow=True).pk, by=world.xu)
    assert not found(world, TERM)


def test_an_approved_list_is_the_list_that_was_seen(world):
    for n in range(3):
        propose(world, f"名单词甲{n}", source="令5号")
    (seen,) = features.waiting_lists(world.xu)
    propose(world, "后来的词语", source="令5号")
    with pytest.raises(Conflict, match="list_changed"):
        features.approve_all(source="令5号", saw=seen["saw"], by=world.xu)
    (seen,) = features.waiting_lists(world.xu)
    assert features.approve_all(source="令5号", saw=seen["saw"], by=world.xu) == 4
    approved = Feature.objects.filter(source="令5号")
    assert {(f.state, f.approved_by_id, f.changed_in) for f in approved} == {("active", world.xu.pk, version())}
    assert {f.history.first().history_type for f in approved} == {"~"}
    assert {f.history.first().state for f in approved} == {"active"}


def test_a_list_leaves_revisions_and_what_came_into_the_library_meanwhile(world):
    old = in_force(world, source="令5号")
    revision = features.revise(feature_id=old.pk, by=world.lin, severity=1)
    also = propose(world, "先到的词语", source="令5号")
    twin = propose(world, "后到的词语", source="令5号")
    Feature.objects.filter(pk=revision.pk).update(digest="0" * 64)
    Feature.objects.filter(pk=twin.pk).update(digest=old.digest, value=TERM, kind="term")
    assert features.approve_all(source="令5号", by=world.xu) == 1
    assert (state(also), state(twin), state(revision)) == ("active", "proposed", "proposed")


def test_more_patterns_than_can_be_looked_for_do_not_come_in(world, monkeypatch):
    monkeypatch.setattr(features, "MAX_PATTERNS", 1)
    in_force(world, "加微信[a-z]{6}", kind="pattern")
    second = propose(world, "加扣扣[0-9]{6}", kind="pattern", source="令5号")
    with pytest.raises(Conflict, match="too_many_patterns"):
        features.approve(feature_id=second.pk, by=world.xu)
    with pytest.raises(Conflict, match="too_many_patterns"):
        features.approve_all(source="令5号", by=world.xu)


def both(act) -> list[object]:
    """Do the same twice at the same time; what each of the two said."""
    start, said = threading.Barrier(2), []

    def one(number):
        start.wait()
        try:
            said.append(act(number))
        except Exception as refused:
            said.append(refused)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_two_at_once_propose_one_entry(open_world):
    people = [open_world.lin, open_world.bai]
    said = both(lambda n: propose(open_world, by=people[n]))
    assert sum(isinstance(one, Feature) for one in said) == 1
    assert [one.code for one in said if isinstance(one, Conflict)] == ["already_in_library"]


def test_two_at_once_approve_once(open_world):
    feature = propose(open_world)
    before = version()
    people = [open_world.xu, open_world.chen]
    said = both(lambda n: features.approve(feature_id=feature.pk, by=people[n]))
    assert sum(isinstance(one, Feature) for one in said) == 1
    assert [one.code for one in said if isinstance(one, Conflict)] == ["state_forbids"]
    assert version() == before + 1


def test_a_whole_list_and_one_of_it_are_approved_at_once(open_world):
    made = [propose(open_world, f"名单词甲{n}", source="令5号") for n in range(4)]
    acts = [
        lambda: features.approve_all(source="令5号", by=open_world.xu),
        lambda: features.approve(feature_id=made[2].pk, by=open_world.chen),
    ]
    said = both(lambda n: acts[n]())
    assert not [one for one in said if isinstance(one, IntegrityError)]
    assert {state(one) for one in made} == {"active"}


def test_the_database_has_the_last_word_on_what_is_in_force_once(world):
    one, other = in_force(world), propose(world, "另外一个词")
    with pytest.raises(IntegrityError, match="a_feature_is_in_force_once"), transaction.atomic():
        Feature.objects.filter(pk=other.pk).update(
            digest=one.digest, state="active", approved_by=world.xu, approved_at=timezone.now()
        )
