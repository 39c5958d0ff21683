"""Text in pictures: RapidOCR on the frames that the box decoded. Its models lie in its wheel and are loaded only where
every byte is the known one (security.md M14); nothing is ever fetched. Loaded on the first look, by the worker of the
queue `media`, with one thread.

A picture larger than a tile is read in overlapping tiles at full size, so that the small print of a long screenshot is
not scaled away.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.mediabox import Frame

MODELS = {
    "Det": ("PP-OCRv6_det_small.onnx", "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f"),
    "Cls": ("ch_ppocr_mobile_v2.0_cls_mobile.onnx", "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"),
    "Rec": ("PP-OCRv6_rec_small.onnx", "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884"),
}
VERSION = f"rapidocr {version_of('rapidocr')}, " + " ".join(digest[:8] for _name, digest in MODELS.values())
TILE, OVERLAP, TILES = 1120, 160, 12  # in larger pieces a single small line is not noticed; a million pixels take 1 s
WHOLE = 1280  # a picture whose sides are no longer is read in one piece
FRAMES = 8  # of a video
SECONDS = 50.0
MOST = 20_000  # code points that are read out of one file
_CELLS = 64
_DIFFERENT = 16  # of 255, in one cell of the thumbnail


class ModelChanged(Exception):
    """A model file is not the one that was shipped: it is not loaded."""


class OutOfTime(Exception):
    """The file holds more than can be read in SECONDS."""


class Line(NamedTuple):
    """A line as it was read: where it stands, and where its characters do, in pixels of the array."""

    text: str
    score: float
    box: tuple[float, float, float, float]  # x, y, w, h
    parts: list[tuple[int, int, tuple[float, float, float, float]]]


@dataclass
class Read:
    """What stands in a file: its lines joined by newlines, with where each part stands (see ExtractedText)."""

    text: str = ""
    layout: list[dict[str, Any]] = field(default_factory=list)
    truncated: bool = False


class Reader:
    """The loaded models."""

    def __init__(self, folder: Path | None = None):
        paths = verified(folder or _shipped())
        from rapidocr import RapidOCR

        self._engine = RapidOCR(
            params={
                **{f"{part}.model_path": str(path) for part, path in paths.items()},
                "Global.log_level": "critical",
                "Global.return_word_box": True,
                "Global.return_single_char_box": True,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Det.box_thresh": 0.4,  # what is no writing is left out by its score as text
                "Rec.rec_batch_num": 1,
                "Cls.cls_batch_num": 1,
            }
        )
        # All at once and now: what was looked at above is what is loaded.
        self._engine._load_det_model()
        self._engine._load_cls_model()
        self._engine._load_rec_model()

    def lines(self, picture: np.ndarray) -> list[Line]:
        """The lines of an RGB picture, read in one piece, in reading order."""
        seen: Any = self._engine(np.ascontiguousarray(picture[:, :, ::-1]))
        if getattr(seen, "txts", None) is None or seen.boxes is None:
            return []
        words = list(seen.word_results or ())
        found = []
        for text, score, corners in zip(seen.txts, seen.scores, seen.boxes, strict=True):
            # The characters' places come apart from the lines, without those of a line that has none.
            parts = _parts(text, words[0]) if words else None
            if parts is not None:
                words.pop(0)
            found.append(Line(text, float(score), _around(corners), parts or []))
        return found


def _shipped() -> Path:
    spec = find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise ModelChanged("rapidocr is not installed")
    return Path(spec.origin).parent / "models"


def verified(folder: Path) -> dict[str, Path]:
    """The model files of a folder by their part, each compared with the hash it was shipped with; raises ModelChanged
    for one that is missing or another."""
    paths = {}
    for part, (name, digest) in MODELS.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ModelChanged(name)
        paths[part] = path
    return paths


def _around(corners: Any) -> tuple[float, float, float, float]:
    xs, ys = [float(point[0]) for point in corners], [float(point[1]) for point in corners]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _parts(text: str, words: Any) -> list[tuple[int, int, tuple[float, float, float, float]]] | None:
    """Where the characters of a line stand, if these are its characters; spaces between them have no place."""
    parts, at = [], 0
    for word, _score, corners in words:
        start = text.find(word, at)
        if not word or start < 0 or text[at:start].strip():
            return None
        at = start + len(word)
        parts.append((start, at, _around(corners)))
    return parts if not text[at:].strip() else None


_reader: Reader | None = None


def reader() -> Reader:
    """The models of this process, loaded on the first call. Raises ModelChanged."""
    global _reader
    if _reader is None:
        _reader = Reader()
    return _reader


def read(frames: Sequence[Frame], *, moving: bool = False) -> Read:
    """Read the frames of a file. Places are in pixels of the original picture; of a video each part says the second it
    was seen at, and a line that stands through several frames is read once. Raises ModelChanged and OutOfTime."""
    until = time.monotonic() + SECONDS
    found, known = Read(), set()
    for frame in distinct(frames) if moving else frames[:1]:
        picture = np.frombuffer(frame.rgb, np.uint8).reshape(frame.height, frame.width, 3)
        for line in _lines(picture, until):
            if moving and line.text in known:
                continue
            known.add(line.text)
            if len(found.text) + len(line.text) >= MOST:
                found.truncated = True
                return found
            _append(found, line, 1 / (frame.scale or 1.0), {"seconds": round(frame.seconds, 3)} if moving else {})
    return found


def _append(found: Read, line: Line, scale: float, more: dict[str, Any]) -> None:
    start = len(found.text) + bool(found.text)
    found.text += ("\n" if found.text else "") + line.text
    for first, last, (x, y, w, h) in line.parts or [(0, len(line.text), line.box)]:
        left, top = math.floor(x * scale), math.floor(y * scale)
        box = [left, top, math.ceil((x + w) * scale) - left, math.ceil((y + h) * scale) - top]
        found.layout.append({"start": start + first, "end": start + last, "box": box, **more})


def _lines(picture: np.ndarray, until: float) -> list[Line]:
    """The lines of a picture of any size, with places in its pixels."""
    import cv2

    height, width = picture.shape[:2]
    factor, places = tiles(width, height)
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    found: list[Line] = []
    for x, y, w, h in places:
        if time.monotonic() > until:
            raise OutOfTime(f"more than {SECONDS:.0f} s")
        for line in reader().lines(picture[y : y + h, x : x + w]):
            if _cut_lengthwise(line, y, h, picture.shape[0]):
                continue  # the tile above or below has it whole
            moved = _moved(line, x, y, 1 / factor)
            if not any(_same(moved, other) for other in found):
                found.append(moved)
    return found


def tiles(width: int, height: int) -> tuple[float, list[tuple[int, int, int, int]]]:
    """How much a picture is made smaller, and in which pieces x, y, w, h it is then read: one up to WHOLE pixels, else
    at most TILES that overlap by more than a line of text."""
    factor = 1.0
    while True:
        columns, rows = _starts(round(width * factor)), _starts(round(height * factor))
        if len(columns) * len(rows) <= TILES:
            return factor, [(x, y, w, h) for y, h in rows for x, w in columns]
        factor *= 0.85


def _starts(length: int) -> list[tuple[int, int]]:
    if length <= WHOLE:
        return [(0, max(1, length))]
    count = math.ceil((length - OVERLAP) / (TILE - OVERLAP))
    step = (length - TILE) / (count - 1)
    return [(round(n * step), TILE) for n in range(count)]


def _cut_lengthwise(line: Line, top: int, height: int, whole: int) -> bool:
    first, last = line.box[1], line.box[1] + line.box[3]
    at_edge = (top > 0 and first <= 1) or (top + height < whole and last >= height - 1)
    return at_edge and line.box[3] < OVERLAP


def _moved(line: Line, x: int, y: int, scale: float) -> Line:
    def place(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        return (box[0] + x) * scale, (box[1] + y) * scale, box[2] * scale, box[3] * scale

    return Line(line.text, line.score, place(line.box), [(a, b, place(box)) for a, b, box in line.parts])


def _same(line: Line, other: Line) -> bool:
    """Whether two tiles read the same line: one of them stands within the other, and says no more than it."""
    if line.text not in other.text:
        return False
    x, y = line.box[0] + line.box[2] / 2, line.box[1] + line.box[3] / 2
    return (
        other.box[0] <= x <= other.box[0] + other.box[2] and other.box[1] <= y <= other.box[1] + other.box[3]
    )  # fmt: skip


def distinct(frames: Sequence[Frame], most: int = FRAMES) -> list[Frame]:
    """Frames that differ visibly from the one kept before, spread over the whole if there are more than `most`."""
    kept: list[Frame] = []
    before: np.ndarray | None = None
    for frame in frames:
        small = _thumbnail(frame)
        if before is None or np.abs(small - before).max() >= _DIFFERENT:
            kept.append(frame)
            before = small
    if len(kept) <= most:
        return kept
    return [kept[round(n * (len(kept) - 1) / (most - 1))] for n in range(most)]


def _thumbnail(frame: Frame) -> np.ndarray:
    import cv2

    picture = np.frombuffer(frame.rgb, np.uint8).reshape(frame.height, frame.width, 3)
    small: Any = cv2.resize(picture, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return np.asarray(small).astype(np.int16).mean(axis=2)


def loaded() -> bool:
    """Whether this process holds the models."""
    return _reader is not None
