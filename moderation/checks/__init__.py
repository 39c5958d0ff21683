"""Checks: what looks at a side of a submission (DS-10a). Each is a small class registered with its modality, the sides
it looks at, its cost, its time limit and its version.

Cheap ones look first. A check that raises, or that is still looking when its time is up, becomes a finding of its own,
which every policy sends to a person; it never leads to release.
"""

from __future__ import annotations

import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from moderation.library import Loaded
from moderation.normalisation import Normalised, normalise
from moderation.policy import Found

log = structlog.get_logger("checks")
SIDES = ("input", "output")


listed = partial(field, default_factory=list)  # inside Text the name `field` is the text's


class OutOfTime(Exception):
    """A check did not come to its end within its limit."""


@dataclass(slots=True)
class Text:
    """A text of a side: as handed in (`text`), or read out of its file (`ocr`, `transcript`) with where each part stands
    there: `layout` is as in `moderation.models.ExtractedText`."""

    field: str
    text: str
    layout: list[dict[str, Any]] = listed()
    check: str = ""
    version: str = ""
    _folded: Normalised | None = None

    def folded(self) -> Normalised:
        """The text folded for matching, once for all checks."""
        if self._folded is None:
            self._folded = normalise(self.text)
        return self._folded

    def boxes(self, spans: Sequence[Sequence[int]]) -> list[list[int]]:
        """For each span of an `ocr` text the box [x, y, w, h] around the parts of the picture it stands in; empty where
        the text has no layout."""
        boxes = []
        for start, end in spans:
            parts = [
                part["box"] for part in self.layout if part["start"] < end and start < part["end"] and "box" in part
            ]
            if not parts:
                return []
            left, top = min(b[0] for b in parts), min(b[1] for b in parts)
            right, bottom = max(b[0] + b[2] for b in parts), max(b[1] + b[3] for b in parts)
            boxes.append([left, top, right - left, bottom - top])
        return boxes


@dataclass(slots=True)
class Side:
    """One side of a submission as checks see it: its texts, its file (SHA-256 of stored evidence), what was declared,
    and the one version of the library that looks at all of the item (contract, ruling 4)."""

    name: str
    text: str
    file: str | None
    technology: str
    library: Loaded
    item: UUID | None = None
    declared: Mapping[str, Any] = field(default_factory=dict)
    edits_biometrics: bool = False
    texts: list[Text] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)  # what a check's `prepare` left for its `look`

    def __post_init__(self) -> None:
        if self.text and not self.texts:
            self.texts.append(Text("text", self.text))

    def folded(self) -> Normalised:
        """The given text, folded."""
        return self.texts[0].folded() if self.texts else normalise("")


class Check(ABC):
    """A check. `modality` is what it looks at: `text` (every text of a side), `file` (the side's file) or `declared`."""

    name = ""
    modality = "text"
    sides: tuple[str, ...] = SIDES
    cost = 10  # relative; cheap ones look first
    limit = 2.0  # seconds for one look

    @abstractmethod
    def version(self, library: Loaded) -> str:
        """Which library, model or rule set looks."""

    def prepare(self, sides: Sequence[Side]) -> None:  # noqa: B027  (most checks need nothing)
        """Called once for all sides of a batch before any is looked at, e.g. to ask the database one question for all;
        may leave what it learned in `side.notes[self.name]`. An exception here fails the check for every side."""

    @abstractmethod
    def look(self, side: Side, text: Text) -> list[Found]:
        """What it finds. Text checks are called once for each text of the side, the others once with an empty text; a
        file check may add to `side.texts` what it reads out of the file, and the text checks then look at that too."""


CHECKS: dict[str, Check] = {}


def register(check: Check) -> Check:
    """Make a check part of screening."""
    CHECKS[check.name] = check
    return check


def in_order() -> list[Check]:
    """All checks, the cheap ones first."""
    return sorted(CHECKS.values(), key=lambda check: check.cost)


def prepare(sides: Sequence[Side]) -> None:
    """Let the checks ask what they need to know about all of these sides at once."""
    for check in CHECKS.values():
        concerned = [side for side in sides if side.name in check.sides]
        try:
            check.prepare(concerned)
        except Exception as exc:
            log.error("check_failed", check=check.name, error=type(exc).__name__, exc_info=exc)
            for side in concerned:
                side.notes[check.name] = exc


def look(side: Side, *, files: Container[str] | None = None) -> tuple[list[Found], dict[str, str]]:
    """Run every check of a side: its findings, and what each check said with its version. With `files` of those that
    look at the side's file only the ones it names: for whoever looks again at what was read out of it before."""
    findings: list[Found] = []
    said: dict[str, str] = {}
    checks = [
        check
        for check in in_order()
        if side.name in check.sides
        and (check.modality != "file" or (side.file and (files is None or check.name in files)))
    ]
    of_texts = [check for check in checks if check.modality == "text"]
    given = len(side.texts)
    for check in checks:
        looked_at = side.texts[:given] if check.modality == "text" else [Text("", "")]
        _run(check, side, looked_at, findings, said)
    if len(side.texts) > given:
        for check in of_texts:
            _run(check, side, side.texts[given:], findings, said)
    return findings, said


_GRAVITY = {"clear": 0, "hit": 1, "failed": 2}


def _run(check: Check, side: Side, texts: Sequence[Text], findings: list[Found], said: dict[str, str]) -> None:
    verdict = "clear"
    try:
        if isinstance(side.notes.get(check.name), Exception):
            raise side.notes[check.name]
        with _at_most(check.limit):
            found = [one for text in texts for one in check.look(side, text)]
    except Exception as exc:
        log.error("check_failed", check=check.name, error=type(exc).__name__, exc_info=exc)
        found = [Found(side.name, "check_failed", None, 0, detail=f"{check.name}: {type(exc).__name__}")]
        verdict = "failed"
    else:
        if any(one.check == "check_failed" for one in found):
            verdict = "failed"
        elif found:
            verdict = "hit"
        elif check.modality == "file" and "unopened" in side.notes:
            verdict = "failed"  # it saw nothing because nobody could look; the check `media` says so as a finding
    findings += found
    before = said.get(check.name, "clear@").split("@", 1)[0]
    said[check.name] = f"{max(before, verdict, key=_GRAVITY.__getitem__)}@{check.version(side.library)}"


def _out_of_time(_signal: int, _frame: Any) -> None:
    raise OutOfTime


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    # Workers look in their main thread, where a signal ends even an endless loop. Elsewhere (the command line's threads)
    # the lease of the job is the last word.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
