"""Stored files as checks and people see them: opened in the box (design.md §3.10), what it said kept once per content.

A file that the box refused or could not decode is not opened again by the same box; one whose box crashed twice is not
opened again at all (security.md M17). Either way a person looks.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from django.core.files.storage import storages
from django.db import transaction

from core import evidence, mediabox
from core.mediabox import Boxed, Frame, Refused, Undecodable
from moderation.models import Medium

if TYPE_CHECKING:
    from moderation.checks import Side

log = structlog.get_logger("media")
FRAMES = 16
CRASHES = 2
DAMAGED = "the stored bytes are damaged"
COLUMNS, CELL = 4, 400  # of the sheet that shows the frames of what moves


def boxed(side: Side) -> Boxed | None:
    """What the box made of a side's file, opened once per side; None where there is no file or it could not be opened
    (`side.notes["unopened"]` then says why, and the check `media` says it as a finding)."""
    if "boxed" not in side.notes:
        side.notes["boxed"] = None
        if side.file:
            side.notes["unopened"] = "interrupted"  # until the opening comes to its end, whatever ends it
            try:
                side.notes["boxed"] = open_up(side.file)
                del side.notes["unopened"]
            except (Refused, Undecodable) as unopened:
                side.notes["unopened"] = f"{_state(unopened)}: {unopened.reason}"
    return side.notes["boxed"]


def open_up(sha256: str) -> Boxed:
    """Open a stored file in the box and keep what it said. Raises Refused or Undecodable, also without opening it where
    that was said before."""
    known = Medium.objects.filter(pk=sha256).first()
    if known:
        if known.crashes >= CRASHES:
            raise Undecodable(f"crashed: {known.crashes} times, not opened again")
        if known.box_version == version() and known.state == "refused":
            raise Refused(known.reason)
        if known.box_version == version() and known.state == "undecodable" and known.reason != DAMAGED:
            raise Undecodable(known.reason)
    try:
        with _on_disk(sha256) as path:
            seen = mediabox.open_up(path, frames=FRAMES)
    except (Refused, Undecodable) as unopened:
        state = _state(unopened)
        _record(sha256, state=state, reason=unopened.reason[:120], crashed=state == "crashed")
        log.warning("not_opened", evidence=sha256, state=state, reason=unopened.reason)
        raise
    if known is None or known.state != "decoded" or known.box_version != version():
        keep(sha256, seen)
    return seen


def version() -> str:
    """Which box looks."""
    return mediabox.BOX_VERSION[:80]


def _state(unopened: Refused | Undecodable) -> str:
    if isinstance(unopened, Refused):
        return "refused"
    return "crashed" if unopened.crashed else "undecodable"


@contextmanager
def _on_disk(sha256: str) -> Iterator[Path]:
    """The stored bytes as a file, copied where the storage has no files of its own. Raises Undecodable where they are
    not what was stored."""
    storage = storages["evidence"]
    try:
        path = Path(storage.path(evidence.path_of(sha256)))
    except NotImplementedError:
        path = None
    try:
        if path is not None and path.is_file():
            for _chunk in evidence.stream(sha256):
                pass
            yield path
            return
        with tempfile.NamedTemporaryFile(prefix="mingjian-") as copy:
            for chunk in evidence.stream(sha256):
                copy.write(chunk)
            copy.flush()
            yield Path(copy.name)
    except evidence.Damaged:
        raise Undecodable(DAMAGED) from None


def keep(sha256: str, seen: Boxed) -> Medium:
    """Write down what the box said of a file: its facts, its flags and what people are shown of it."""
    preview, sheet_facts = (seen.preview, {}) if len(seen.frames) < 2 else sheet(seen.frames)
    stored = evidence.store([preview], media_type=_image_type(preview)).pk if preview else None
    facts: dict[str, Any] = {
        "media_type": seen.media_type,
        "width": seen.width,
        "height": seen.height,
        "seconds": round(seen.seconds, 3),
        "sound": seen.sound is not None,
        "codecs": dict(seen.codecs),
        **sheet_facts,
    }
    return _record(sha256, state="decoded", kind=seen.kind, facts=facts, flags=list(seen.flags), preview=stored)


def _record(
    sha256: str,
    *,
    state: str,
    kind: str = "",
    facts: dict[str, Any] | None = None,
    flags: list[str] | None = None,
    reason: str = "",
    preview: str | None = None,
    crashed: bool = False,
) -> Medium:
    with transaction.atomic():
        medium, _created = Medium.objects.select_for_update(of=("self",)).get_or_create(
            pk=sha256, defaults={"state": state}
        )
        medium.state, medium.kind, medium.reason = state, kind or medium.kind, reason
        medium.facts = {**medium.facts, **(facts or {})}
        medium.flags = flags or []
        medium.preview_id = preview or medium.preview_id
        medium.crashes += crashed
        medium.box_version = version()
        medium.save()
    return medium


def sheet(frames: list[Frame]) -> tuple[bytes, dict[str, Any]]:
    """The frames of what moves, side by side in one JPEG; its size as `sheet`, and as `cells` the place of each frame:
    {seconds, x, y, w, h}."""
    from PIL import Image  # only where files are looked at; it encodes here, and decodes nothing

    width = max(16, min(CELL, max(frame.width for frame in frames)))
    height = max(max(1, round(frame.height * width / frame.width)) for frame in frames)
    height = min(height, 2 * CELL)
    columns = min(COLUMNS, len(frames))
    rows = -(-len(frames) // columns)
    page = Image.new("RGB", (columns * width, rows * height))
    cells = []
    for number, frame in enumerate(frames):
        picture = Image.frombytes("RGB", (frame.width, frame.height), frame.rgb)
        picture.thumbnail((width, height))
        x = number % columns * width + (width - picture.width) // 2
        y = number // columns * height + (height - picture.height) // 2
        page.paste(picture, (x, y))
        cells.append({"seconds": round(frame.seconds, 3), "x": x, "y": y, "w": picture.width, "h": picture.height})
    out = io.BytesIO()
    page.save(out, "JPEG", quality=80)
    return out.getvalue(), {"sheet": [page.width, page.height], "cells": cells}


def _image_type(data: bytes) -> str:
    if data[:4] == b"RIFF":
        return "image/webp"
    return "image/png" if data[:4] == b"\x89PNG" else "image/jpeg"
