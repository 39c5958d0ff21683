"""The feature library (DS-10b): two people for every entry, every change counts up, screening uses what is in force."""

from __future__ import annotations

import gc
import os
import threading
import time
from types import SimpleNamespace
from unittest import mock

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, Forbidden, Refusal
from core.models import Alarm
from moderation import library
from moderation.entries import Entry
from moderation.models import Feature, Library
from moderation.normalisation import normalise
from moderation.term_layers import MOST_ABOVE, TermLayers
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


# How a process takes a new version

SHA = "ab" * 32
TEXT = "家里有闲置手机的朋友看过来，高价回收旧手机，当场付款不拖欠。"


def in_force(world, value=TERM, **given):
    return library.approve(feature_id=propose(world, value, **given).pk, by=world.xu)


def held(loaded) -> dict[str, int]:
    """How many entries of each kind are held."""
    return {kind: len(getattr(loaded, attribute)) for kind, attribute in library._ATTRIBUTE.items()}


def taken(seconds=10.0):
    """The version in force, as a process comes to hold it that asks again and again."""
    until = time.monotonic() + seconds
    while library.current().version != version():
        assert time.monotonic() < until, "the new version was never taken"
        time.sleep(0.02)
    return library.current()


def test_every_kind_is_held_and_a_change_is_what_the_whole_would_be(world):
    values = {"term": TERM, "pattern": "加微信[a-z]{6}", "link": "example.cn", "sha256": SHA, "text": TEXT}
    before = held(library.current())
    made = [in_force(world, value, kind=kind) for kind, value in values.items()]
    library._look_at = 0.0
    changed = library.current()
    assert held(changed) == {kind: n + (kind in values) for kind, n in before.items()} == held(library.load())
    assert (changed.version, changed.patterns.find(normalise("加微信abcdef"))[0].entry.id) == (version(), made[1].pk)
    assert changed.links.find(normalise("打开 example.cn 就行"))[0].entry.id == made[2].pk
    assert changed.exact.find(SHA)[0].entry.id == made[3].pk
    for feature in made:
        library.retire(feature_id=feature.pk, reason="x", by=world.xu)
    library._look_at = 0.0
    assert held(library.current()) == before == held(library.load())


def test_only_what_changed_is_read_again(world, monkeypatch):
    library.current()
    in_force(world)
    read = []
    rows = library._rows
    monkeypatch.setattr(library, "_rows", lambda name, params: read.append(name) or rows(name, params))
    library._look_at = 0.0
    library.current()
    assert read == ["library_changed"]
    library.bump()
    library._look_at = 0.0
    library.current()
    assert read == ["library_changed", "library_whole"]


def test_a_change_made_behind_its_back_is_read_after_a_bump(world):
    library.current()
    Feature.objects.filter(value="刷单返佣").update(state="retired")
    library.bump()
    library._look_at = 0.0
    assert not library.current().matcher.find(normalise("刷单返佣"))


def test_a_trial_library_has_one_entry_more_or_less_and_leaves_the_real_one(world):
    now = library.current()
    trial = library.with_entry(now, Entry(999, 1, "试一试的词", "fraud.loan", 2))
    assert len(trial.matcher) == len(now.matcher) + 1 and trial.version == now.version
    assert trial.matcher.find(normalise("试一试的词"))[0].term.id == 999
    assert not now.matcher.find(normalise("试一试的词"))
    known = Feature.objects.get(value="刷单返佣")
    revised = library.with_entry(now, Entry(999, 2, "刷单返佣", "fraud.loan", 4), instead_of=[known.pk])
    assert [hit.term.severity for hit in revised.matcher.find(normalise("刷单返佣"))] == [4]
    assert not library.without_entries(now, [known.pk]).matcher.find(normalise("刷单返佣"))
    assert library.current() is now


def test_a_process_takes_a_new_version_beside_its_work(open_world):
    library.current()
    here = threading.get_ident()
    feature = in_force(open_world)
    library._look_at = 0.0
    loaders = []
    load = library.load
    library.load = lambda have=None: loaders.append(threading.get_ident()) or load(have)
    try:
        loaded = taken()
    finally:
        library.load = load
    assert here not in loaders and len(loaders) == 1
    assert loaded.matcher.find(normalise(TERM))[0].term.id == feature.pk


def test_the_old_version_goes_on_while_the_new_one_is_built(open_world, monkeypatch):
    old = library.current()
    in_force(open_world)
    go, load = threading.Event(), library.load

    def slowly(have=None):
        go.wait(10)
        return load(have)

    monkeypatch.setattr(library, "load", slowly)
    library._look_at = 0.0
    began = time.monotonic()
    assert library.current() is old
    assert time.monotonic() - began < 0.5
    library._look_at = 0.0
    assert library.current() is old  # and no second thread is started beside the first
    assert sum(thread.name == "library" for thread in threading.enumerate()) == 1
    go.set()
    assert taken().version == old.version + 1


def test_a_version_that_cannot_be_built_changes_nothing_and_calls_people_once(open_world, monkeypatch):
    old = library.current()
    in_force(open_world)

    def fails(have=None):
        raise ValueError("an entry that can't be matched")

    with monkeypatch.context() as patched:
        patched.setattr(library, "load", fails)
        for _ in range(2):
            library._look_at = 0.0
            assert library.current() is old
            library._thread.join()
    alarm = Alarm.objects.get(kind="library_stuck")
    assert alarm.subject == f"library:{old.version}"
    assert library._look_at > time.monotonic() + 10  # not again at once
    library._look_at = 0.0
    assert taken().version == old.version + 1


def test_the_threads_connection_is_closed(open_world):
    library.current()

    def connections() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            return cursor.fetchone()[0]

    before = connections()
    in_force(open_world)
    library._look_at = 0.0
    taken()
    library._thread.join()
    until = time.monotonic() + 5
    while connections() > before:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_fork_in_the_middle_of_a_build_does_not_wait_for_the_parents_thread(open_world, monkeypatch):
    old = library.current()
    in_force(open_world)
    go, load = threading.Event(), library.load
    monkeypatch.setattr(library, "load", lambda have=None: go.wait(30) and load(have))
    library._look_at = 0.0
    assert library.current() is old
    library._lock.acquire()
    pid = os.fork()
    if pid == 0:
        # The child has no such thread, and a lock that the parent held is not held here.
        os._exit(0 if library._thread is None and library._lock.acquire(timeout=1) and library._loaded is old else 1)
    library._lock.release()
    go.set()
    library._thread.join()
    assert os.waitpid(pid, 0)[1] == 0


def test_a_large_change_is_built_without_the_collector_and_leaves_it_on(world, monkeypatch):
    values = [f"词语{n}甲乙" for n in range(MOST_ABOVE + 5)]
    Feature.objects.bulk_create(
        Feature(
            kind="term", value=value, digest=library.digest_of(value), category_id="fraud.loan", severity=2,
            source="大名单", proposed_by=world.lin,
        )
        for value in values
    )  # fmt: skip
    library.current()
    assert library.approve_all(source="大名单", by=world.xu) == len(values)
    seen = []
    added = library.TermLayers.added
    monkeypatch.setattr(
        library.TermLayers, "added", lambda self, entries: seen.append(gc.isenabled()) or added(self, entries)
    )
    library._look_at = 0.0
    assert library.current().matcher.find(normalise(values[-1]))
    assert seen == [False] and gc.isenabled()
    gc.unfreeze()


# Terms in layers


def term(number: int, value: str, **more) -> Entry:
    return Entry(number, 1, value, "fraud.loan", 2, **more)


def found(layers, text) -> list[tuple[int, int, int]]:
    return [(hit.term.id, hit.start, hit.end) for hit in layers.find(normalise(text))]


def test_layers_find_what_one_index_of_all_would_find():
    low = [term(n, f"词语{n:04d}甲") for n in range(50)]
    layers = TermLayers(low).added([term(100, "新来的词"), term(3, "换了说法")]).without([7, 4711])
    whole = TermLayers([*(e for e in low if e.id not in (3, 7)), term(100, "新来的词"), term(3, "换了说法")])
    text = "词语0003甲词语0007甲词语0049甲新来的词换了说法，新来的词"
    assert found(layers, text) == found(whole, text) == [(49, 14, 21), (100, 21, 25), (3, 25, 29), (100, 30, 34)]
    assert sorted(e.id for e in layers.entries()) == sorted(e.id for e in whole.entries())
    assert len(layers) == len(whole) == 50


def test_layers_that_grow_become_one(monkeypatch):
    monkeypatch.setattr("moderation.term_layers.MOST_ABOVE", 4)
    monkeypatch.setattr("moderation.term_layers.MOST_MIDDLE", 12)
    layers, depths = TermLayers([term(n, f"词语{n:05d}甲") for n in range(20)]), []
    for n in range(30):
        layers = layers.added([term(1000 + n, f"新词{n:05d}乙")])
        depths.append(layers.depth)
    assert max(depths) == 3 and depths[0] == 2 and 1 in depths
    assert len(layers) == 50 == len(list(layers.entries()))
    text = "".join(f"新词{n:05d}乙" for n in range(30)) + "词语00019甲"
    assert [hit.term.id for hit in layers.find(normalise(text))] == [*range(1000, 1030), 19]


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 40), min_size=1, max_size=6)), max_size=25))
def test_layers_hold_what_was_added_and_not_taken_out(steps):
    with mock.patch("moderation.term_layers.MOST_ABOVE", 3), mock.patch("moderation.term_layers.MOST_MIDDLE", 8):
        layers, held_now = TermLayers(), {}
        for number, (comes, ids) in enumerate(steps):
            if comes:
                held_now |= {n: term(n, f"词{n:02d}第{number:02d}") for n in ids}
                layers = layers.added([held_now[n] for n in ids])
            else:
                held_now = {n: entry for n, entry in held_now.items() if n not in ids}
                layers = layers.without(ids)
            assert len(layers) == len(held_now)
        assert {e.id: e.value for e in layers.entries()} == {n: e.value for n, e in held_now.items()}
        text = "，".join(e.value for e in held_now.values())
        assert {hit.term.id for hit in layers.find(normalise(text))} == set(held_now)


def test_a_flood_of_hits_in_two_layers_is_told_as_truncated():
    layers = TermLayers([term(1, "甲乙")]).added([term(2, "丙丁")])
    hits = layers.find(normalise("甲乙丙丁" * 150))
    assert hits.truncated and {hit.term.id for hit in hits} == {1, 2}


def test_half_built_layers_are_never_seen(world):
    """What a thread reads is one version, whatever is added meanwhile."""
    layers = TermLayers([term(1, "甲乙")])
    holder, stop, wrong = SimpleNamespace(layers=layers), threading.Event(), []

    def reads():
        while not stop.is_set():
            seen = holder.layers
            if len(found(seen, "甲乙丙丁")) != len(seen):
                wrong.append(seen)

    thread = threading.Thread(target=reads)
    thread.start()
    for _ in range(200):
        holder.layers = layers.added([term(2, "丙丁")])
        holder.layers = layers
    stop.set()
    thread.join()
    assert not wrong


def test_what_was_read_before_a_fork_is_there_after_it_and_without_a_connection(open_world):
    library.preload()
    assert library._loaded.version == version()
    connection.close()
    library.preload()
    assert connection.connection is None and gc.isenabled()
    gc.unfreeze()


def test_a_worker_starts_without_its_database(db, monkeypatch):
    def away(have=None):
        raise OperationalError("the database is away")

    monkeypatch.setattr(library, "load", away)
    monkeypatch.setattr(connection, "close", lambda: None)  # the test's own
    library.preload()
    assert library._loaded is None and gc.isenabled()
