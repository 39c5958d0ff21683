"""Learning: the same rows are the same model, copies don't leak, nobody's own words are kept, long texts are heard."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.learning import artefact, figures, groups, ngrams, training
from moderation.learning.training import Row
from moderation.normalisation import normalise
from tests.moderation.learning_rows import ADVERTS, FRAUDS, ORDINARY

ROWS = [Row(text, label) for text, label in ADVERTS + FRAUDS + ORDINARY]


@pytest.fixture(scope="module")
def trained():
    return training.train(ROWS)


def test_it_learns_what_it_is_taught(trained):
    found = trained.figures["labels"]
    assert set(found) == {"fraud", "spam_advert", "none"}
    assert all(18 <= row["rows"] <= 24 for row in found.values())  # one in five of a hundred
    assert all(row["f1"] > 0.9 for row in found.values())


def test_the_same_rows_are_the_same_file_to_the_byte(trained):
    again = training.train(list(ROWS))
    assert artefact.write(again.model) == artefact.write(trained.model)
    assert again.figures == trained.figures
    assert artefact.write(training.train(ROWS[1:]).model) != artefact.write(trained.model)


def test_what_is_read_back_says_the_same(trained):
    again = artefact.read(artefact.write(trained.model))
    for text, _label in ADVERTS[:10] + FRAUDS[:10] + ORDINARY[:10]:
        assert again.opinion(text) == trained.model.opinion(text)


def test_the_run_time_adds_up_as_the_trainer_does(trained):
    # An independent reckoning of one text: weights of its distinct known n-grams over the root of their number.
    text = FRAUDS[0][0]
    seen = ngrams.view(normalise(text))
    known = {
        seen[a : a + n]
        for n in range(1, 5)
        for a in range(len(seen) - n + 1)
        if seen[a : a + n] in trained.model.vocabulary
    }
    sums = sum(trained.model.weights[trained.model.vocabulary[gram]] for gram in known) / len(known) ** 0.5
    expected = sums + trained.model.bias
    assert np.allclose(trained.model.sums(seen)[0], expected, atol=1e-4)


def test_no_n_gram_of_fewer_than_three_people_is_kept():
    # One person sends the same secret word forty times; three people send another one.
    rows = [Row(f"{text}暗号青鸾", label, owner="one") for text, label in ADVERTS[:40]]
    rows += [Row(f"{text}口令白泽", label, owner=f"user {at % 3}") for at, (text, label) in enumerate(FRAUDS[:40])]
    rows += [Row(text, label, owner=f"user {at}") for at, (text, label) in enumerate(ORDINARY[:40])]
    vocabulary = training.train(rows, hold_out=False).model.vocabulary
    assert not any("鸾" in gram for gram in vocabulary)
    assert any("白泽" in gram for gram in vocabulary)


def test_the_beginning_of_every_n_gram_is_kept_even_when_there_are_too_many(trained, monkeypatch):
    monkeypatch.setattr(training, "MAX_GRAMS", 700)
    small = training.train(ROWS, hold_out=False).model.vocabulary
    assert len(small) == 700 < len(trained.model.vocabulary)
    for vocabulary in (small, trained.model.vocabulary):
        assert all(gram[:-1] in vocabulary for gram in vocabulary if len(gram) > 1)


def test_digits_are_folded_so_that_no_number_is_kept():
    rows = [Row(f"{text}电话{13800000000 + at}", label) for at, (text, label) in enumerate(ADVERTS + ORDINARY)]
    vocabulary = training.train(rows, hold_out=False).model.vocabulary
    assert not any(character in "123456789" for gram in vocabulary for character in gram)
    assert "0000" in vocabulary


def test_copies_are_held_out_together():
    texts = [text for text, _label in ADVERTS] * 2 + [text + "。" for text, _label in ADVERTS]
    likeness = groups.by_likeness([ngrams.view(normalise(text)) for text in texts])
    third = len(ADVERTS)
    assert likeness[:third] == likeness[third : 2 * third]
    assert sum(a == b for a, b in zip(likeness[:third], likeness[2 * third :], strict=True)) >= 0.95 * third


def test_a_mass_mailing_is_never_what_a_model_is_measured_with():
    rows = [Row(FRAUDS[0][0], "fraud") for _copy in range(60)] + [Row(t, la) for t, la in FRAUDS[1:] + ORDINARY]
    held = training.train(rows).held_out
    assert FRAUDS[0][0] not in {row.text for row in held}
    counts = Counter(row.label for row in held)
    assert counts["fraud"] >= 15 and counts["none"] >= 15


def test_rows_that_are_all_copies_are_refused_because_nothing_could_be_measured():
    copies = [Row(FRAUDS[0][0] + "！" * (at % 3), "fraud") for at in range(60)]
    with pytest.raises(training.TooAlike) as refused:
        training.train(copies + [Row(text, label) for text, label in ORDINARY])
    assert refused.value.labels == ["fraud"]


def test_most_of_what_was_held_out_stays_held_out_when_rows_are_added():
    texts = [ngrams.view(normalise(row.text)) for row in ROWS]
    labels = [row.label for row in ROWS]
    first = {texts[at] for at in np.flatnonzero(groups.folds(labels[:250], groups.by_likeness(texts[:250]), 5) == 0)}
    after = {texts[at] for at in np.flatnonzero(groups.folds(labels, groups.by_likeness(texts), 5) == 0)}
    assert len(first & after) >= 0.7 * len(first)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [Row("一样", "none")] * 100,
        [Row(t, la) for t, la in ADVERTS],
        [Row(t, la) for t, la in ADVERTS + ORDINARY[:29]],
    ],
)
def test_too_few_rows_are_refused(rows):
    with pytest.raises(training.TooFewRows):
        training.train(rows)


def test_one_sentence_of_fraud_does_not_drown_in_a_long_conversation(trained):
    chat = "。".join(text for text, _label in ORDINARY[:60])
    assert len(chat) > 2 * trained.model.whole
    assert trained.model.opinion(chat).label == "none"
    fraud = FRAUDS[3][0] + FRAUDS[7][0] + FRAUDS[11][0]
    hidden = chat[: len(chat) // 2] + fraud + chat[len(chat) // 2 :]
    opinion = trained.model.opinion(hidden)
    assert opinion.label == "fraud"
    start, end = opinion.window
    at = ngrams.view(normalise(hidden)).index(ngrams.view(normalise(FRAUDS[3][0]))[:10])
    assert start < at + len(fraud) and at < end


def test_of_what_it_was_never_shown_it_has_no_opinion(trained):
    opinion = trained.model.opinion("Lorem ipsum dolor sit amet, consectetur adipiscing elit")
    assert opinion.label == "none" and not opinion.familiar and not opinion.sure


def test_the_places_that_spoke_stand_in_the_original(trained):
    plain = FRAUDS[0][0]
    disguised = "　".join(["好的！"]) + plain.replace("账户", "賬\u200b戶")
    folded = normalise(disguised)
    opinion = trained.model.opinion(folded)
    spans = trained.model.explain(folded, opinion)
    assert opinion.label == "fraud" and spans
    assert all(0 <= start < end <= len(disguised) for start, end in spans)
    assert spans == sorted(spans) and len(spans) <= ngrams.EXPLAINED
    spoken = "".join(disguised[start:end] for start, end in spans)
    assert not spoken.startswith("好的")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=600))
def test_any_text_gets_an_opinion_and_spans_inside_it(trained, text):
    folded = normalise(text)
    opinion = trained.model.opinion(folded)
    assert all(0 <= p <= 1 for p in opinion.probabilities.values())
    assert all(0 <= start < end <= len(text) for start, end in trained.model.explain(folded, opinion))


def test_a_text_of_a_hundred_thousand_characters_is_scored_in_bounded_work(trained):
    pieces = 0
    sums = trained.model.sums
    model = artefact.read(artefact.write(trained.model))

    def counted(seen):
        nonlocal pieces
        pieces += 1
        return sums(seen)

    model.sums = counted  # type: ignore[method-assign]
    model.opinion("长话短说" * 25_000)
    assert pieces <= ngrams.MAX_WINDOWS + 2


# The file


def _changed(data: bytes, **members: np.ndarray) -> bytes:
    with np.load(io.BytesIO(data)) as arrays:
        kept = dict(arrays) | members
    out = io.BytesIO()
    np.savez(out, **kept)
    return out.getvalue()


def test_a_file_with_a_pickle_is_refused_and_nothing_in_it_runs(trained, tmp_path):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    data = artefact.write(trained.model)
    for evil in (pickle.dumps(Evil()), _changed(data, weights=np.array([Evil()], dtype=object))):
        with pytest.raises(artefact.Unreadable):
            artefact.read(evil)
    assert not ran.exists()


def test_files_that_are_not_what_they_say_are_refused(trained):
    data = artefact.write(trained.model)
    labels = len(trained.model.labels)
    wrong = {
        "empty": b"",
        "cut": data[: len(data) // 2],
        "no numbers": _changed(data, weights=np.full_like(trained.model.weights, np.nan)),
        "another shape": _changed(data, weights=trained.model.weights[:-1]),
        "another type": _changed(data, bias=np.zeros(labels)),
        "a threshold of 1": _changed(data, thresholds=np.ones(labels, np.float32)),
        "one more part": _changed(data, more=np.zeros(3)),
        "an n-gram twice": _changed(
            data, vocabulary=np.frombuffer("\x00".join(["啊"] * len(trained.model.vocabulary)).encode(), np.uint8)
        ),
        "not JSON": _changed(data, about=np.frombuffer(b"{", np.uint8)),
        "too large": data + b"\0" * artefact.MAX_BYTES,
    }
    for what, bad in wrong.items():
        with pytest.raises(artefact.Unreadable):
            artefact.read(bad)
            pytest.fail(what)


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(trained):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(artefact.write(trained.model))) as whole, zipfile.ZipFile(out, "w") as packed:
        for member in whole.infolist():
            packed.writestr(member.filename, whole.read(member), compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(artefact.Unreadable, match="compressed"):
        artefact.read(out.getvalue())


def test_a_model_is_far_smaller_than_its_bound(trained):
    assert len(artefact.write(trained.model)) < artefact.MAX_BYTES / 10


# Figures


def test_figures_are_those_of_the_textbook():
    found = figures.measure(["a", "a", "a", "none"], ["a", "none", "b", "a"])
    assert found["labels"]["a"] == {"precision": 0.5, "recall": 0.3333, "f1": 0.4, "rows": 3}
    assert found["labels"]["b"] == {"precision": 0.0, "recall": None, "f1": None, "rows": 0}
    assert found["confusion"]["a"] == {"a": 1, "b": 1, "none": 1} and found["accuracy"] == 0.25


def test_a_threshold_curve_says_what_each_threshold_would_give():
    curve = {p["threshold"]: p for p in figures.curve([True, True, False, False], [0.9, 0.3, 0.6, 0.1])}
    assert curve[0.05] == {"threshold": 0.05, "precision": 0.5, "recall": 1.0, "found": 1.0}
    assert curve[0.65] == {"threshold": 0.65, "precision": 1.0, "recall": 0.5, "found": 0.25}
    assert curve[0.95] == {"threshold": 0.95, "precision": None, "recall": 0.0, "found": 0.0}
