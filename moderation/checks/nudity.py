"""Nudity in pictures, by NudeNet. Not part of the default install: its files are under the AGPL. An operator who accepts
that installs `nudenet==3.4.2` and names this module in `CHECK_MODULES` (docs/operator.md); importing it registers it."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from django.core.exceptions import ImproperlyConfigured

from core.mediabox import Frame
from moderation import media, ocr
from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.policy import Found

MODEL, DIGEST = "320n.onnx", "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f"
CATEGORY = "sexual.pornography"
LEAST = 0.45  # below it a box is as often wrong as right
SEVERITY = {
    "FEMALE_GENITALIA_EXPOSED": 3,
    "MALE_GENITALIA_EXPOSED": 3,
    "ANUS_EXPOSED": 3,
    "FEMALE_BREAST_EXPOSED": 2,
    "BUTTOCKS_EXPOSED": 2,
}


class Nudity(Check):
    """Bare bodies in a picture, or in the frames of what moves that differ."""

    name = "nudity"
    modality = "file"
    cost = 300
    limit = 20.0

    def __init__(self, folder: Path) -> None:
        self._model = folder / MODEL
        self._detector: Any = None

    def version(self, library: Loaded) -> str:
        """The package and the model, by their names and the model's hash."""
        return f"nudenet 3.4.2, {DIGEST[:8]}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding for each part of the body, where it is surest; in what moves `detail` says when."""
        seen = media.boxed(side)
        if seen is None or not seen.frames:
            return []
        moving = len(seen.frames) > 1
        surest: dict[str, Found] = {}
        for frame in ocr.distinct(seen.frames) if moving else seen.frames:
            for said in self._detect(frame):
                part, score = said["class"], round(float(said["score"]), 3)
                if part not in SEVERITY or score < LEAST:
                    continue
                if part in surest and score <= surest[part].score:
                    continue
                surest[part] = Found(
                    side.name,
                    self.name,
                    CATEGORY,
                    SEVERITY[part],
                    score=score,
                    boxes=[[round(value / (frame.scale or 1.0)) for value in said["box"]]],
                    detail=(f"{frame.seconds:.1f} s, " if moving else "") + part.lower().replace("_", " "),
                )
        return list(surest.values())

    def _detect(self, frame: Frame) -> list[dict[str, Any]]:
        if self._detector is None:
            if hashlib.sha256(self._model.read_bytes()).hexdigest() != DIGEST:
                raise ocr.ModelChanged(MODEL)  # M14
            from nudenet import NudeDetector

            self._detector = NudeDetector(str(self._model))
        picture = np.frombuffer(frame.rgb, np.uint8).reshape(frame.height, frame.width, 3)
        return self._detector.detect(np.ascontiguousarray(picture[:, :, ::-1]))


def _installed() -> Path:
    spec = find_spec("nudenet")
    if spec is None or spec.origin is None:
        raise ImproperlyConfigured("CHECK_MODULES names moderation.checks.nudity, but nudenet is not installed.")
    return Path(spec.origin).parent


register(Nudity(_installed()))
