"""The feature library (DS-10b): two people for every entry, every change counts up, screening uses what is in force."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from core.errors import Conflict, Forbidden, Refusal
from moderation import library
from moderation.models import Feature, Library
from tests.world import CLEAN

TERM = "内部渠道包过"


def version() -> int:
    return Library.objects.get(pk=1).version


def propose(world, value=TERM, by=None, **given):
    return library.propose(
        value=value, category="fraud.part_time", severity=given.pop("severity", 3), by=by or world.lin, **given
    )


def test_nobody_approves_what_they_proposed(world):
    feature = propose(world, by=world.xu)
    with pytest.raises(Refusal) as refused:
        library.approve(feature_id=feature.pk, by=world.xu)
    assert (refused.value.code, refused.value.status) == ("own_proposal", 403)
    assert Feature.objects.get(pk=feature.pk).state == "proposed"


def test_the_database_forbids_it_too(world):
    feature = propose(world, by=world.xu)
    with pytest.raises(IntegrityError, match="nobody_approves_what_they_proposed"), transaction.atomic():
        Feature.objects.filter(pk=feature.pk).update(approved_by=world.xu)
    with pytest.raises(IntegrityError, match="an_active_feature_was_approved"), transaction.atomic():
        Feature.objects.filter(pk=feature.pk).update(state="active")


def test_a_proposal_is_found_by_nothing_until_it_is_approved_and_by_nothing_after_it_is_retired(world):
    text = f"办证就找我们，{TERM}"
    feature = propose(world)
    before = version()
    assert world.submit(text).state == "released"
    library.approve(feature_id=feature.pk, by=world.xu)
    library._look_at = 0.0
    caught = world.submit(text)
    assert (caught.state, caught.library_version) == ("in_review", before + 1)
    found = caught.findings.get(feature_id=feature.pk)
    assert text[slice(*found.spans[0])] == TERM
    library.retire(feature_id=feature.pk, reason="过宽", by=world.xu)
    library._look_at = 0.0
    assert version() == before + 2
    assert world.submit(text).state == "released"


def test_a_process_takes_a_new_version_within_a_second(world, monkeypatch):
    feature = propose(world)
    world.submit(CLEAN)
    library.approve(feature_id=feature.pk, by=world.xu)
    now = library.time.monotonic()
    monkeypatch.setattr(library.time, "monotonic", lambda: now + library.LOOK_AGAIN + 0.01)
    assert library.current().version == version()


@pytest.mark.parametrize("name", ["zhou", "chen", "he", "fang"])
def test_only_moderators_propose(world, name):
    with pytest.raises(Forbidden):
        propose(world, by=world.staff[name])


@pytest.mark.parametrize("name", ["bai", "zhou", "he", "fang"])
def test_only_seniors_and_compliance_approve_refuse_and_retire(world, name):
    feature = propose(world)
    person = world.staff[name]
    for act in (
        lambda: library.approve(feature_id=feature.pk, by=person),
        lambda: library.refuse(feature_id=feature.pk, reason="x", by=person),
        lambda: library.retire(feature_id=feature.pk, reason="x", by=person),
        lambda: library.approve_all(source="x", by=person),
    ):
        with pytest.raises(Forbidden):
            act()
    assert Feature.objects.get(pk=feature.pk).state == "proposed"


@pytest.mark.parametrize("value", ["a", " x ", "x" * 201, "坏\x00词"])
def test_a_term_that_cannot_be_is_refused(world, value):
    with pytest.raises(Refusal) as refused:
        propose(world, value)
    assert refused.value.errors[0]["field"] == "value"


def test_a_term_is_in_the_library_once_but_a_retired_one_may_come_back(world):
    feature = propose(world)
    with pytest.raises(Conflict):
        propose(world, by=world.bai)
    library.refuse(feature_id=feature.pk, reason="先不用", by=world.xu)
    assert propose(world).pk != feature.pk


def test_a_whole_list_counts_up_once_and_leaves_the_approvers_own_proposals(world):
    mine = propose(world, "名单词甲乙", by=world.xu, source="令〔2026〕5号")
    others = [propose(world, f"名单词{n}丙", source="令〔2026〕5号") for n in range(3)]
    elsewhere = propose(world, "另一名单", source="别处")
    before = version()
    assert library.approve_all(by=world.xu, source="令〔2026〕5号") == 3
    assert version() == before + 1
    states = dict(Feature.objects.values_list("pk", "state"))
    assert [states[f.pk] for f in (mine, *others, elsewhere)] == ["proposed", "active", "active", "active", "proposed"]


def test_retiring_needs_a_reason_and_a_state_that_allows_it(world):
    feature = propose(world)
    with pytest.raises(Conflict):
        library.retire(feature_id=feature.pk, reason="x", by=world.xu)
    library.approve(feature_id=feature.pk, by=world.xu)
    with pytest.raises(Refusal):
        library.retire(feature_id=feature.pk, reason=" ", by=world.xu)
    assert Feature.objects.get(pk=feature.pk).state == "active"
    before = version()
    with pytest.raises(Conflict):
        library.approve(feature_id=feature.pk, by=world.chen)
    assert version() == before
