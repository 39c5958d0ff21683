"""The file of a trained model: plain arrays and JSON in an npz. Nothing in it is ever executed (no pickle), and a file
that is too large, or not what it says, is refused before it is used."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from moderation.learning.ngrams import LONGEST, Model

FORMAT = 1
MAX_BYTES = 30_000_000
MAX_GRAMS = 300_000
MAX_LABELS = 40
_BETWEEN = "\x00"
_COLUMNS = ("bias", "slope", "intercept", "thresholds", "sure")
_MEMBERS = {"weights.npy", "vocabulary.npy", "about.npy", *(f"{name}.npy" for name in _COLUMNS)}


class Unreadable(ValueError):
    """Not a model of ours, or not a whole one."""


def write(model: Model) -> bytes:
    """The same model is the same bytes: arrays without compression or times."""
    ordered = sorted(model.vocabulary, key=model.vocabulary.__getitem__)
    about = {
        "format": FORMAT,
        "labels": model.labels,
        "familiar": model.familiar,
        "whole": model.whole,
        "window": model.window,
        "about": model.about,
    }
    arrays: dict[str, Any] = {
        "weights": model.weights.astype(np.float32),
        "vocabulary": np.frombuffer(_BETWEEN.join(ordered).encode(), np.uint8),
        "about": np.frombuffer(json.dumps(about, sort_keys=True, ensure_ascii=False).encode(), np.uint8),
        **{name: getattr(model, name).astype(np.float32) for name in _COLUMNS},
    }
    held = io.BytesIO()
    np.savez(held, **arrays)
    if held.tell() > MAX_BYTES:
        raise Unreadable(f"the model is larger than {MAX_BYTES} bytes")
    return held.getvalue()


def read(data: bytes) -> Model:
    """The model in these bytes. Raises Unreadable for anything else."""
    if len(data) > MAX_BYTES:
        raise Unreadable("too large")
    try:
        return _read(data)
    except Unreadable:
        raise
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as wrong:
        raise Unreadable(str(wrong)) from wrong


def _read(data: bytes) -> Model:
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        members = packed.infolist()
        # Stored, not compressed: what is unpacked can't be larger than the file, which is bounded.
        if {m.filename for m in members} != _MEMBERS or len(members) != len(_MEMBERS):
            raise Unreadable("its parts are not those of a model")
        if any(m.compress_type != zipfile.ZIP_STORED for m in members):
            raise Unreadable("its parts are compressed")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        about = json.loads(bytes(arrays["about"]))
        vocabulary = bytes(arrays["vocabulary"]).decode().split(_BETWEEN)
        weights = arrays["weights"]
        columns = {name: arrays[name] for name in _COLUMNS}
    labels, whole, window = about["labels"], about["whole"], about["window"]
    familiar = about["familiar"]
    if about["format"] != FORMAT:
        raise Unreadable("another format")
    if not (isinstance(labels, list) and 1 <= len(labels) <= MAX_LABELS and all(isinstance(x, str) for x in labels)):
        raise Unreadable("its labels are not understood")
    if not (isinstance(whole, int) and isinstance(window, int) and 10 <= window <= 100_000 and window <= whole):
        raise Unreadable("its windows are not understood")
    if not (isinstance(familiar, int | float) and 0 <= familiar < 1):
        raise Unreadable("its familiarity is not a share")
    if len(vocabulary) > MAX_GRAMS or any(not 1 <= len(gram) <= LONGEST for gram in vocabulary):
        raise Unreadable("its vocabulary is not understood")
    right = weights.shape == (len(vocabulary), len(labels)) and weights.dtype == np.float32
    if not right or any(c.shape != (len(labels),) or c.dtype != np.float32 for c in columns.values()):
        raise Unreadable("its weights don't fit its labels")
    if not all(np.isfinite(a).all() for a in (weights, *columns.values())):
        raise Unreadable("its weights are not numbers")
    if any(((columns[name] <= 0) | (columns[name] >= 1)).any() for name in ("thresholds", "sure")):
        raise Unreadable("its thresholds are not probabilities")
    place = {gram: at for at, gram in enumerate(vocabulary)}
    if len(place) != len(vocabulary):
        raise Unreadable("its vocabulary names an n-gram twice")
    return Model(labels, place, weights, **columns, familiar=familiar, whole=whole, window=window, about=about["about"])
