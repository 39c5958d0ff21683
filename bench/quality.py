"""quality: how often screening is right on the public sets in ../shared/data, and how fast a model scores. Not a race
against a baseline: the ratio is against what a character n-gram logistic regression reaches in the same folds
(BENCH_QUALITY_FOLDS, default 5). Absent sets are skipped with one line. docs/quality.md explains the figures."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np

from bench import place

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDS = int(os.environ.get("BENCH_QUALITY_FOLDS", "5"))


def baseline(texts: list[str], labels: list[str], fold: np.ndarray) -> list[str]:
    """What TF-IDF of 1 to 3 characters and logistic regression say, each fold by the others."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    said = np.empty(len(texts), dtype=object)
    held = np.array(texts, dtype=object)
    for number in range(FOLDS):
        model = make_pipeline(
            TfidfVectorizer(analyzer="char", ngram_range=(1, 3)), LogisticRegression(max_iter=2000)
        ).fit(held[fold != number], np.array(labels)[fold != number])
        said[fold == number] = model.predict(held[fold == number])
    return said.tolist()


def folds_of(name: str, goals: tuple[str, ...]) -> dict[str, float]:
    """Our recipe and the baseline in the same random folds of one set."""
    from moderation.learning import figures, groups, training

    rows = [json.loads(line) for line in (DATA / "evaluate" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    dealt = np.random.default_rng(training.SEED).permutation(len(rows))
    fold = groups.folds(labels, [f"{number}" for number in dealt], FOLDS)
    said: list[str] = [""] * len(rows)
    for number in range(FOLDS):
        learn = [training.Row(texts[at], labels[at]) for at in range(len(rows)) if fold[at] != number]
        model = training.train(learn, hold_out=False).model
        for at in np.flatnonzero(fold == number):
            said[at] = model.opinion(texts[at]).label
    ours, theirs = figures.measure(labels, said), figures.measure(labels, baseline(texts, labels, fold))
    found = {}
    for goal in goals:
        mine, base = ours["labels"][goal]["f1"], theirs["labels"][goal]["f1"]
        place.line(f"quality/{name}/{goal}", f"F1 {mine:.4f}", f"char LR {base:.4f}", mine / base)
        found[f"{name}_{goal}_f1"] = mine
    place.line(
        f"quality/{name}/accuracy", f"{ours['accuracy']:.4f}", f"char LR {theirs['accuracy']:.4f}",
        ours["accuracy"] / theirs["accuracy"],
    )  # fmt: skip
    return found


def speed() -> dict[str, float]:
    """Scoring one text, folding included, beside folding alone; texts of a hundred characters."""
    from moderation.learning import training
    from moderation.normalisation import normalise

    lines = (DATA / "evaluate" / "fbs_spam_sms.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    model = training.train([training.Row(row["text"], row["label"]) for row in rows], hold_out=False).model
    texts = [text for text in (row["text"] for row in rows) if 90 <= len(text) <= 110][:500]
    taken = {"fold": 1e9, "score": 1e9}
    for _turn in range(5):
        start = time.perf_counter()
        folded = [normalise(text) for text in texts]
        middle = time.perf_counter()
        for one in folded:
            model.opinion(one)
        end = time.perf_counter()
        taken["fold"] = min(taken["fold"], (middle - start) / len(texts) * 1e6)
        taken["score"] = min(taken["score"], (end - middle) / len(texts) * 1e6)
    place.line(
        "quality/speed", f"{taken['score']:.0f} us a text of 100", f"folding {taken['fold']:.0f} us",
        taken["score"] / taken["fold"],
    )  # fmt: skip
    return {"score_us": taken["score"]}


def main() -> dict[str, float]:
    """Every set that is there."""
    if not (DATA / "evaluate").is_dir():
        print("quality: ../shared/data is not there, nothing to measure")
        return {}
    place.django()
    found = folds_of("fbs_spam_sms", ("fraud", "spam_advert", "illegal_promotion"))
    found |= folds_of("cold_offensive_zh", ("offensive",))
    return found | speed()
