"""Screening measured on labelled lines: right counts, nothing written, bad lines named."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from core.models import AuditEvent
from moderation import evaluation, labelled
from moderation.models import Evaluation, Submission
from moderation.policy import Found
from tests.moderation.learning_rows import ADVERTS, ORDINARY, write_rows
from tests.world import SCAM

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[dict, str]:
    """The command's figures, and what it said beside them."""
    out, err = StringIO(), StringIO()
    call_command("evaluate", *arguments, "--json", stdout=out, stderr=err)
    return json.loads(out.getvalue()), err.getvalue()


def test_the_plain_run_counts_what_the_library_finds(world, tmp_path):
    file = tmp_path / "lines.jsonl"
    lines = [(SCAM, "fraud"), ("秋天的旧书店里有阳光", "none"), ("今天的菜很新鲜", "none"), ("骗你没商量", "fraud")]
    file.write_text("".join(json.dumps({"text": t, "label": la}) + "\n" for t, la in lines))
    said, _err = run(str(file))
    assert said["labels"]["fraud"] == {"precision": 1.0, "recall": 0.5, "f1": 0.6667, "rows": 2}
    assert said["labels"]["none"]["recall"] == 1.0
    assert said["confusion"]["fraud"] == {"fraud": 1, "none": 1} and said["accuracy"] == 0.75
    assert said["held"] == {"fraud": 0.5, "none": 0.0}
    assert said["used"]["library"] > 0 and said["used"]["policy"] == 1


def test_an_evaluation_writes_nothing_unless_it_is_recorded(world, tmp_path):
    file = write_rows(tmp_path / "lines.jsonl", [(SCAM, "fraud"), ("好天气", "none")])
    before = (Submission.objects.count(), AuditEvent.objects.count(), Evaluation.objects.count())
    run(str(file))
    assert (Submission.objects.count(), AuditEvent.objects.count(), Evaluation.objects.count()) == before
    said, _err = run(str(file), "--record", "nightly")
    kept = Evaluation.objects.get()
    assert said["recorded"] == kept.pk and kept.name == "nightly" and kept.rows == 2
    assert kept.figures["labels"]["fraud"]["f1"] == 1.0 and kept.file_digest == said["digest"]


def test_a_bad_line_is_reported_with_its_number_and_stops_nothing(world, tmp_path):
    file = tmp_path / "lines.jsonl"
    file.write_bytes(
        b'{"text": "a", "label": "none"}\nnot json\n\n{"label": "none"}\n{"text": "b"}\n[1]\n'
        b'{"text": "c", "label": true}\n\xff\xfe\n{"text": "d", "label": "none"}\n'
    )
    said, err = run(str(file))
    assert said["rows"] == 2
    assert [one["line"] for one in said["refused"]] == [2, 4, 5, 6, 7, 8]
    assert "line 2: not JSON" in err


def test_held_is_counted_by_a_further_field(world, tmp_path):
    file = tmp_path / "lines.jsonl"
    rows = [(SCAM, 1), (SCAM, 3), ("好天气", 3)]
    file.write_text("".join(json.dumps({"text": t, "label": "none", "fine": f}) + "\n" for t, f in rows))
    said, _err = run(str(file), "--by", "fine")
    assert said["by_field"]["held"] == {"1": 1.0, "3": 0.5}


def test_a_model_trained_for_the_run_finds_what_no_rule_knows(world, tmp_path):
    learn = write_rows(tmp_path / "learn.jsonl", ADVERTS[:60] + ORDINARY[:60])
    measure = write_rows(tmp_path / "measure.jsonl", ADVERTS[60:80] + ORDINARY[60:80])
    plain, _err = run(str(measure))
    assert plain["labels"]["spam_advert"]["recall"] == 0.0
    taught, _err = run(str(measure), "--train-on", str(learn))
    assert taught["labels"]["spam_advert"]["recall"] >= 0.9 and taught["labels"]["none"]["recall"] >= 0.9
    assert taught["held"]["spam_advert"] >= 0.9  # the policy holds what the model is sure of


def test_copies_of_a_text_stay_in_one_fold_unless_they_are_dealt_at_random():
    texts = [text for text, _label in ADVERTS[:60]]
    lines = [labelled.Line(at, text, "none") for at, text in enumerate([t for t in texts for _copy in range(2)])]
    labels = [line.label for line in lines]

    def parted(apart: bool) -> int:
        fold = evaluation._folds(lines, labels, 5, apart)
        assert set(fold.tolist()) == set(range(5))
        return sum(fold[at] != fold[at + 1] for at in range(0, len(lines), 2))

    assert parted(True) == 0
    assert parted(False) > 20


def test_cross_validation_measures_every_line_once(world):
    rows = ADVERTS[:60] + ORDINARY[:60]
    lines = [labelled.Line(at, text, label) for at, (text, label) in enumerate(rows)]
    measured = evaluation.cross_validate(lines, folds=3)
    assert measured.figures["rows"] == 120 and len(measured.said) == 120
    assert measured.figures["labels"]["spam_advert"]["rows"] == 60
    assert measured.figures["labels"]["spam_advert"]["f1"] > 0.9


def test_what_cross_validation_says_of_a_line_does_not_come_from_its_own_label(world):
    # Labels that follow from nothing in the text: whoever measured with what was learned would still be right.
    lines = [labelled.Line(at, text, ("fraud", "none")[at % 2]) for at, (text, _own) in enumerate(ORDINARY + ADVERTS)]
    assert evaluation.cross_validate(lines, folds=2).figures["accuracy"] < 0.75


def test_models_speak_before_rules_and_the_likeliest_first():
    names = ["fraud", "spam_advert", "none"]
    term = Found("output", "terms", "fraud.prize", 4)
    model = Found("output", "classifier", "promotion.diversion", 1, score=0.7, detail="m v1: spam_advert")
    signs = Found("output", "fraud", "fraud.prize", 3, score=0.9)
    assert evaluation.said_of([term], names) == "fraud"
    assert evaluation.said_of([term, model], names) == "spam_advert"
    assert evaluation.said_of([term, model, signs], names) == "fraud"
    assert evaluation.said_of([Found("output", "personal_information", "personal_info.contact", 2)], names) == "none"
    assert evaluation.said_of([], names) == "none"


@pytest.mark.parametrize(
    ("category", "label"),
    [
        ("fraud.refund", "fraud"),
        ("gambling.channel", "illegal_promotion"),
        ("documents.certificates", "illegal_promotion"),
        ("promotion.diversion", "spam_advert"),
        ("harassment.abuse", "offensive"),
        ("public_interest.discrimination", "offensive"),
        ("personal_info.contact", None),
        (None, None),
    ],
)
def test_a_category_says_a_label(category, label):
    assert labelled.label_of(category, ["fraud", "illegal_promotion", "spam_advert", "offensive"]) == label


def test_a_category_of_the_tree_is_a_label_of_its_own():
    assert labelled.label_of("gambling.channel", ["gambling", "illegal_promotion"]) is not None
    assert labelled.label_of("gambling.channel", ["gambling.channel", "illegal_promotion"]) == "gambling.channel"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model", "x=999999"],
        ["--policy", "99"],
        ["--no-model", "--cross-validate", "3"],
        ["--cross-validate", "5"],
        ["--labels", "missing.json"],
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_sentence(world, tmp_path, arguments):
    file = write_rows(tmp_path / "lines.jsonl", [("好天气", "none"), (SCAM, "fraud")] * 5)
    with pytest.raises(CommandError, match=r"\w"):
        run(str(file), *arguments)


def test_a_missing_or_empty_file_is_refused(world, tmp_path):
    with pytest.raises(CommandError, match="there is no file"):
        run(str(tmp_path / "none.jsonl"))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(CommandError, match="no line"):
        run(str(tmp_path / "empty.jsonl"))
