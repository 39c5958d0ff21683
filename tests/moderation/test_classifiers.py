"""Models: trained by one, activated by another, taken by workers at once, and never able to release anything."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from core import audit, evidence
from core.errors import Forbidden, Refusal
from moderation import checks, classifiers, decisions, labelled, library, queue
from moderation.models import Classifier, Finding
from moderation.policy import version
from tests.moderation.learning_rows import ADVERTS, FRAUDS, ORDINARY, write_rows
from tests.world import BLOCKED, SCAM, work

pytestmark = pytest.mark.django_db
ROWS = ADVERTS + FRAUDS + ORDINARY
NEW_ADVERT = "云杉家具城本周末全场五折，沙发买一送一，到店即领抱枕"


@pytest.fixture(autouse=True)
def fresh():
    """Tests go back in time, so nothing loaded may outlive one."""
    classifiers.look_again()
    yield
    classifiers.look_again()


@pytest.fixture
def file(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", ROWS)


@pytest.fixture
def trained(world, file):
    """A version that Xu trained."""
    return classifiers.train_from_file(name="desk", paths=[file], by=world.xu)[0]


@pytest.fixture
def active(world, trained):
    """The version at work."""
    classifiers.activate(classifier_id=trained.pk, by=world.chen)
    classifiers.look_again()
    return trained


# Training


def test_training_stores_the_model_with_its_figures_and_acts_on_nothing(world, trained):
    assert trained.state == "trained" and trained.version == 1 and trained.trained_by == world.xu
    assert trained.figures["labels"]["fraud"]["f1"] > 0.9 and trained.figures["confusion"]
    assert trained.trained_on["by_label"] == {"fraud": 100, "spam_advert": 100, "none": 100}
    assert trained.labels["spam_advert"]["category"] == "promotion.diversion"
    assert b"".join(evidence.stream(trained.artefact_id))  # whole, by its digest
    assert classifiers.current() == ()
    assert audit.of(f"classifier:{trained.pk}")[0].action == "classifier.trained"


def test_the_same_rows_are_the_next_version_with_the_same_artefact(world, trained, file):
    again, _refused = classifiers.train_from_file(name="desk", paths=[file], by=world.xu)
    assert again.version == 2 and again.artefact_id == trained.artefact_id


def test_only_whom_the_grants_name_trains(world, file):
    with pytest.raises(Forbidden):
        classifiers.train_from_file(name="desk", paths=[file], by=world.lin)


def test_a_version_is_compared_with_the_active_one_on_the_same_rows(world, active, file, tmp_path):
    more = write_rows(tmp_path / "more.jsonl", ROWS[:-5])
    following, _refused = classifiers.train_from_file(name="desk", paths=[more], by=world.xu)
    before = following.figures["active"]
    assert before["version"] == 1 and before["rows"] == following.figures["rows"]
    assert set(before["labels"]) == set(following.figures["labels"])


def test_too_few_rows_and_labels_that_mean_nothing_are_refused(world, tmp_path):
    few = write_rows(tmp_path / "few.jsonl", ADVERTS[:10] + ORDINARY)
    with pytest.raises(Refusal) as refused:
        classifiers.train_from_file(name="desk", paths=[few], by=world.xu)
    assert refused.value.code == "too_few_rows" and refused.value.extra["counts"]["spam_advert"] == 10
    odd = write_rows(tmp_path / "odd.jsonl", [(t, "gossip" if la != "none" else la) for t, la in ADVERTS + ORDINARY])
    with pytest.raises(Refusal) as refused:
        classifiers.train_from_file(name="desk", paths=[odd], by=world.xu)
    assert refused.value.code == "label_unknown"
    renamed, _refused = classifiers.train_from_file(
        name="desk", paths=[odd], by=world.xu, renamed={"gossip": "harassment.abuse"}
    )
    assert renamed.labels["harassment.abuse"]["category"] == "harassment.abuse"


def test_decisions_are_rows_blocked_as_their_root_and_released_as_none(world):
    made = {}
    for text, outcome in ((SCAM, "block"), (f"{SCAM}，仅限今天", "release")):
        item = world.submit(text)
        lease = queue.next_task(by=world.lin)
        decisions.decide(
            submission_id=item.pk,
            token=lease.token,
            outcome=outcome,
            by=world.lin,
            category="fraud.part_time" if outcome == "block" else "",
            reason="招揽刷单" if outcome == "block" else "",
        )
        made[text] = "fraud" if outcome == "block" else "none"
    world.submit(BLOCKED)  # by the policy: nobody decided
    rows = labelled.from_decisions()
    assert {row.text: row.label for row in rows} == made
    assert {row.owner for row in rows} == {str(world.wen.pk)}
    assert {row.label for row in labelled.from_decisions(renamed={"fraud": "spam_advert"})} == {"spam_advert", "none"}


def test_training_from_too_few_decisions_is_refused(world):
    with pytest.raises(Refusal) as refused:
        classifiers.train_from_decisions(name="desk", by=world.xu)
    assert refused.value.code == "too_few_rows"


def test_the_command_trains_and_prints_the_figures(world, file):
    out = StringIO()
    call_command("train", "--name", "desk", "--from", str(file), "--by", "xu", stdout=out, stderr=StringIO())
    made = Classifier.objects.get()
    assert made.trained_by == world.xu
    assert f"/models/{made.pk}/" in out.getvalue() and "spam_advert" in out.getvalue() and "accuracy" in out.getvalue()
    out = StringIO()
    call_command("train", "--name", "desk", "--from", str(file), "--json", stdout=out, stderr=StringIO())
    said = json.loads(out.getvalue())
    assert said["version"] == 2 and said["artefact"] == made.artefact_id


@pytest.mark.parametrize(
    "arguments",
    [
        ["--from", "none.jsonl"],
        ["--from-decisions"],
        ["--from-decisions", "--by", "nobody"],
        ["--from-decisions", "--since", "soon"],
    ],
)
def test_the_command_refuses_with_a_sentence(world, arguments):
    with pytest.raises(CommandError, match=r"\w"):
        call_command("train", "--name", "desk", *arguments, stdout=StringIO(), stderr=StringIO())
    assert not Classifier.objects.exists()


# Activating


def test_nobody_activates_or_turns_down_what_they_trained(world, trained):
    for command, given in ((classifiers.activate, {}), (classifiers.refuse, {"reason": "不好"})):
        with pytest.raises(Refusal) as refused:
            command(classifier_id=trained.pk, by=world.xu, **given)
        assert refused.value.code == "own_model"
    with pytest.raises(IntegrityError), transaction.atomic():
        trained.approved_by = world.xu
        trained.save()


def test_activating_replaces_the_version_before(world, active, file):
    following, _refused = classifiers.train_from_file(name="desk", paths=[file], by=world.xu)
    classifiers.activate(classifier_id=following.pk, by=world.chen)
    active.refresh_from_db()
    assert active.state == "retired"
    assert [e.action for e in audit.of(f"classifier:{active.pk}")][-1] == "classifier.retire"
    classifiers.look_again()
    assert [str(one) for one in classifiers.current()] == ["desk v2"]


def test_a_refused_version_never_acts_and_a_retired_one_stops(world, active, file):
    following, _refused = classifiers.train_from_file(name="desk", paths=[file], by=world.xu)
    with pytest.raises(Refusal):
        classifiers.refuse(classifier_id=following.pk, reason=" ", by=world.chen)
    classifiers.refuse(classifier_id=following.pk, reason="不如现用", by=world.chen)
    with pytest.raises(Refusal) as refused:
        classifiers.activate(classifier_id=following.pk, by=world.chen)
    assert refused.value.code == "state_forbids"
    classifiers.retire(classifier_id=active.pk, reason="误报太多", by=world.xu)
    classifiers.look_again()
    assert classifiers.current() == ()


def test_a_damaged_artefact_is_never_activated_and_fails_the_check_if_it_acts(world, trained):
    path = evidence.path_of(trained.artefact_id)
    storage = storages["evidence"]
    with storage.open(path, "rb") as opened:
        whole = opened.read()
    storage.delete(path)
    with storage.open(path, "wb") as opened:
        opened.write(whole[:-100] + b"x" * 100)
    try:
        with pytest.raises(Refusal) as refused:
            classifiers.activate(classifier_id=trained.pk, by=world.chen)
        assert refused.value.code == "artefact_damaged"
        trained.state, trained.approved_by = "active", world.chen  # as if the disk broke after the activation
        trained.save()
        classifiers.look_again()
        item = world.submit("江边的桂花开了")
        assert item.state == "in_review"
        assert Finding.objects.filter(
            submission=item, check_name="check_failed", detail__startswith="classifier"
        ).exists()
    finally:
        storage.delete(path)


# Looking


def test_an_active_model_holds_what_no_rule_knows_and_says_why(world, active):
    item = world.submit(NEW_ADVERT)
    assert item.state == "in_review"
    found = Finding.objects.get(submission=item, check_name="classifier")
    assert found.category_id == "promotion.diversion" and found.detail == "desk v1: spam_advert"
    assert 0.5 < found.score <= 1 and found.severity >= 2
    assert found.spans and all(0 <= a < b <= len(NEW_ADVERT) for a, b in found.spans)
    assert item.screened["output"]["checks"]["classifier"].startswith("hit@desk v1")


def test_a_model_releases_nothing_that_a_rule_holds(world, active):
    assert world.submit(BLOCKED).state == "blocked"
    assert world.submit(SCAM).state == "in_review"
    assert world.submit(ORDINARY[0][0]).state == "released"


def test_an_unsure_opinion_is_shown_and_holds_nothing(world, active):
    text = checks.Text("text", NEW_ADVERT)
    side = checks.Side("output", NEW_ADVERT, None, "text", library.current())
    one = classifiers.current()[0]
    one.model.sure[:] = 2.0  # of nothing
    side.notes["classifier"] = (one,)
    (found,) = checks.CHECKS["classifier"].look(side, text)
    assert found.severity == 1
    assert version(1).judge([found]).disposition == "release"


def test_workers_take_a_change_without_being_restarted(world, trained, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("moderation.classifiers.time.monotonic", lambda: now[0])
    classifiers.look_again()
    assert classifiers.current() == ()
    classifiers.activate(classifier_id=trained.pk, by=world.chen)
    now[0] += classifiers.LOOK_AGAIN
    assert [one.id for one in classifiers.current()] == [trained.pk]
    loaded = classifiers.current()[0].model
    now[0] += classifiers.LOOK_AGAIN
    assert classifiers.current()[0].model is loaded  # unchanged is not read again
    assert classifiers.LOOK_AGAIN < 5


def test_all_of_a_batch_is_looked_at_with_one_version(world, active, file):
    following, _refused = classifiers.train_from_file(name="desk", paths=[file], by=world.xu)
    sides = [checks.Side("output", NEW_ADVERT, None, "text", library.current()) for _one in range(2)]
    checks.prepare(sides)
    first = checks.look(sides[0])
    classifiers.activate(classifier_id=following.pk, by=world.chen)
    classifiers.look_again()
    second = checks.look(sides[1])
    assert first[1]["classifier"] == second[1]["classifier"]
    assert [f.detail for f in first[0]] == [f.detail for f in second[0]] == ["desk v1: spam_advert"]


def test_a_trial_looks_with_its_own_models_and_leaves_the_others_alone(world, active, file):
    following, _refused = classifiers.train_from_file(name="desk", paths=[file], by=world.xu)
    with classifiers.using(classifiers.with_model(following)):
        assert [one.version for one in classifiers.current()] == [2]
    assert [one.version for one in classifiers.current()] == [1]
    assert classifiers.without_model("desk") == ()


def test_a_finding_of_a_model_is_marked_at_the_desk(world, active, login):
    item = world.submit(NEW_ADVERT)
    work()
    page = login("lin").post("/review/next", follow=True).content.decode()
    assert item.external_id in page or "desk v1" in page
    assert "<mark" in page and "desk v1: spam_advert" in page
