"""The pages of models and evaluations."""

from __future__ import annotations

import pytest

from moderation import classifiers, evaluation, labelled
from moderation.models import Classifier
from tests.moderation.learning_rows import ADVERTS, FRAUDS, ORDINARY, write_rows
from tests.world import SCAM

pytestmark = pytest.mark.django_db


@pytest.fixture
def trained(world, tmp_path):
    """A version that Xu trained."""
    classifiers.look_again()
    file = write_rows(tmp_path / "rows.jsonl", ADVERTS + FRAUDS + ORDINARY)
    yield classifiers.train_from_file(name="desk", paths=[file], by=world.xu, note="首版")[0]
    classifiers.look_again()


def test_the_list_says_what_to_do_when_there_is_none(world, login):
    page = login("chen").get("/models/").content.decode()
    assert "manage.py train" in page
    assert "manage.py evaluate" in login("he").get("/evaluations/").content.decode()


def test_a_version_is_shown_with_figures_confusion_and_curves(world, login, trained):
    page = login("chen").get(f"/models/{trained.pk}/").content.decode()
    f1 = trained.figures["labels"]["fraud"]["f1"]
    assert f"{f1 * 100:.1f} %" in page and "首版" in page
    assert page.count('data-chart="curve-') == 2  # fraud and spam_advert, not "none"
    assert 'class="table confusion"' in page
    assert f"?kind=model&amp;target={trained.pk}" in page
    assert trained.artefact_id[:16] in page


def test_whoever_trained_it_is_told_to_wait_and_another_activates(world, login, trained):
    own = login("xu").get(f"/models/{trained.pk}/").content.decode()
    assert 'data-action="activate"' not in own
    answer = login("xu").post(f"/models/{trained.pk}/activate")
    assert answer.status_code == 403
    other = login("chen")
    assert 'data-action="activate"' in other.get(f"/models/{trained.pk}/").content.decode()
    done = other.post(f"/models/{trained.pk}/activate", follow=True)
    assert done.status_code == 200 and "desk v1" in done.content.decode()
    trained.refresh_from_db()
    assert trained.state == "active" and trained.approved_by == world.chen


def test_turning_down_and_retiring_ask_for_a_reason(world, login, trained):
    browser = login("chen")
    refused = browser.post(f"/models/{trained.pk}/refuse", {"reason": ""})
    assert refused.status_code == 422 and 'role="alert"' in refused.content.decode()
    classifiers.activate(classifier_id=trained.pk, by=world.chen)
    browser.post(f"/models/{trained.pk}/retire", {"reason": "误报太多"})
    trained.refresh_from_db()
    assert trained.state == "retired"
    assert "误报太多" in browser.get(f"/models/{trained.pk}/").content.decode()


def test_the_auditor_sees_and_decides_nothing(world, login, trained):
    browser = login("he")
    page = browser.get(f"/models/{trained.pk}/").content.decode()
    assert "data-action" not in page.split("<main")[1].split("</main")[0]
    assert browser.post(f"/models/{trained.pk}/activate").status_code == 403
    assert browser.get("/models/999999/").status_code == 404


def test_a_moderator_does_not_see_models(world, login, trained):
    for address in ("/models/", f"/models/{trained.pk}/", "/evaluations/"):
        assert login("lin").get(address).status_code == 403


def test_the_list_pages_without_losing_a_version(world, login, trained):
    rest = {name: getattr(trained, name) for name in ("artefact", "labels", "trained_on", "figures", "trained_by")}
    for number in range(2, 40):
        Classifier.objects.create(name="desk", version=number, **rest)
    browser = login("chen")
    first = browser.get("/models/")
    second = browser.get(f"/models/{first.context['next_url']}")
    seen = [row["model"].version for page in (first, second) for row in page.context["rows"]]
    assert sorted(seen) == list(range(1, 40))
    assert browser.get("/models/?before=nonsense").status_code == 200


def test_evaluations_are_shown_over_time_with_a_table_beneath(world, login):
    lines = [labelled.Line(1, SCAM, "fraud", {"kind": "a"}), labelled.Line(2, "好天气", "none", {"kind": "b"})]
    for _turn in range(2):
        measured = evaluation.evaluate(lines, by_field="kind")
        kept = evaluation.record(name="nightly", measured=measured, file_digest="ab" * 32, by="system:evaluate")
    browser = login("chen")
    answer = browser.get("/evaluations/")
    (group,) = answer.context["groups"]
    assert group["data"]["series"][0]["values"] == [100.0, 100.0]
    assert answer.content.decode().count(f"/evaluations/{kept.pk}/") == 1
    one = browser.get(f"/evaluations/{kept.pk}/").content.decode()
    assert "100.0 %" in one and "abababab" in one and "kind" in one
    assert browser.get("/evaluations/?name=nonsense").status_code == 200
    assert browser.get("/evaluations/999/").status_code == 404
