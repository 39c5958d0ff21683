"""NudeNet is an extra that the operator installs and names; here a module of ours stands in its place."""

from __future__ import annotations

import hashlib
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from core import mediabox
from moderation import checks, ocr
from moderation.models import Finding
from tests.moderation.test_media import looked_at
from tests.moderation.writing import picture_boxed, png, written
from tests.world import World

MODEL = b"stands in for the model"


class Detector:
    """Sees what the tests tell it to."""

    sees: list[dict[str, Any]] = []
    loaded = 0
    shapes: list[tuple[int, ...]] = []

    def __init__(self, model: str):
        type(self).loaded += 1
        assert Path(model).read_bytes() == MODEL

    def detect(self, picture: Any) -> list[dict[str, Any]]:
        self.shapes.append(picture.shape)
        return self.sees


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The check, as it registers itself where a package of that name is installed."""
    (tmp_path / "320n.onnx").write_bytes(MODEL)
    fake = ModuleType("nudenet")
    fake.__spec__ = ModuleSpec("nudenet", None, origin=str(tmp_path / "__init__.py"))
    fake.NudeDetector = Detector  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nudenet", fake)
    monkeypatch.setattr(checks, "CHECKS", dict(checks.CHECKS))
    monkeypatch.delitem(sys.modules, "moderation.checks.nudity", raising=False)
    module = import_module("moderation.checks.nudity")
    monkeypatch.setattr(module, "DIGEST", hashlib.sha256(MODEL).hexdigest())
    Detector.sees, Detector.loaded, Detector.shapes = [], 0, []
    yield module
    sys.modules.pop("moderation.checks.nudity", None)


def test_it_is_no_part_of_the_default_install() -> None:
    assert "nudity" not in checks.CHECKS
    assert "nudenet" not in Path("requirements.txt").read_text(encoding="utf-8")


def test_naming_it_without_installing_it_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nudenet", None)
    monkeypatch.delitem(sys.modules, "moderation.checks.nudity", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured, match="nudenet is not installed"):
        import_module("moderation.checks.nudity")
    assert "nudity" not in checks.CHECKS


def test_what_is_bare_is_found_with_its_place_and_what_is_not_sure_or_covered_is_not(
    world: World, installed: Any
) -> None:
    Detector.sees = [
        {"class": "FEMALE_BREAST_EXPOSED", "score": 0.8, "box": [10, 20, 30, 40]},
        {"class": "FEMALE_BREAST_EXPOSED", "score": 0.6, "box": [90, 20, 30, 40]},
        {"class": "ANUS_EXPOSED", "score": 0.2, "box": [0, 0, 9, 9]},
        {"class": "FACE_FEMALE", "score": 0.99, "box": [5, 5, 9, 9]},
    ]
    item = looked_at(world, png(written([])))
    found = Finding.objects.get(submission=item, check_name="nudity")
    assert (found.category_id, found.severity, found.score) == ("sexual.pornography", 2, 0.8)
    assert (found.boxes, found.detail) == ([[10, 20, 30, 40]], "female breast exposed")
    assert item.screened["output"]["checks"]["nudity"].startswith("hit@nudenet 3.4.2")
    assert Detector.shapes == [(500, 900, 3)]


def test_places_are_of_the_original_and_of_what_moves_the_second_is_said(
    world: World, installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = picture_boxed(written([], ground="white"), written([], ground="black"), kind="video")
    monkeypatch.setattr(mediabox, "open_up", lambda path, **given: still)
    monkeypatch.setattr(
        Detector,
        "detect",
        lambda self, picture: [
            {"class": "BUTTOCKS_EXPOSED", "score": 0.5 + 0.4 * (picture.max() == 0), "box": [1, 2, 3, 4]}
        ],
    )
    item = looked_at(world, b"a video of two", media_type="video/mp4")
    found = Finding.objects.get(submission=item, check_name="nudity")
    assert (found.score, found.detail, found.boxes) == (0.9, "1.0 s, buttocks exposed", [[1, 2, 3, 4]])


def test_another_model_is_not_loaded_and_a_person_looks(
    world: World, installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "DIGEST", "0" * 64)
    item = looked_at(world, png(written([])))
    assert (item.state, item.rule, Detector.loaded) == ("in_review", "R-01", 0)
    details = Finding.objects.filter(submission=item, check_name="check_failed").values_list("detail", flat=True)
    assert list(details) == [f"nudity: {ocr.ModelChanged.__name__}"]


def test_the_models_are_loaded_once_and_not_for_texts(world: World, installed: Any) -> None:
    world.submit()
    assert Detector.loaded == 0
    for word in ("一", "二"):
        looked_at(world, png(written([], size=(300 + len(word), 300))))
    assert Detector.loaded == 1
