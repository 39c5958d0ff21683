"""Feeding items from a file through the same intake (contract.md, `manage.py ingest`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import Count
from django.utils.translation import gettext as _

from core import evidence, jobs, jsonbody
from core.errors import Refusal
from governance.models import Function, Service
from moderation import intake
from moderation.models import Submission

CHUNK = 500
MEDIA = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    ".mp4": "video/mp4", ".wav": "audio/wav", ".mp3": "audio/mpeg",
}  # fmt: skip


@dataclass
class Report:
    """What an ingestion did: lines by outcome, and why bad ones were refused."""

    lines: int = 0
    accepted: int = 0
    replayed: int = 0
    refused: list[tuple[str, int, str]] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)


def ingest(
    *,
    files: list[Path],
    service: Service,
    function: Function,
    user: str,
    by: Any,
    progress: Callable[[str, int, int], None],
) -> Report:
    """Take every line of the files in, screen them, and wait until each has left screening. A bad line is reported with
    its number and stops nothing. Works with or without a running worker: it does due work itself while it waits."""
    report = Report()
    ids: list[UUID] = []
    total = sum(path.stat().st_size for path in files)
    read = 0
    for path in files:
        for numbered in _chunks(path):
            lines: list[tuple[int, intake.Line]] = []
            for number, raw in numbered:
                report.lines += 1
                try:
                    lines.append((number, _line(raw, path, function, user)))
                except Refusal as refusal:
                    report.refused.append((path.name, number, _why(refusal)))
            answers = intake.take(service=service, lines=[line for _n, line in lines], by=by)
            for (number, _line_read), answer in zip(lines, answers, strict=True):
                if isinstance(answer, Refusal):
                    report.refused.append((path.name, number, _why(answer)))
                    continue
                ids.append(answer.id)
                report.replayed += answer.replayed
                report.accepted += not answer.replayed
            read += sum(len(raw) for _n, raw in numbered)
            progress(_("taken in"), read, total)
    wanted = list(dict.fromkeys(ids))
    while waiting := _screening(wanted):
        progress(_("screened"), len(wanted) - waiting, len(wanted))
        if not jobs.work("work", seconds=1.0) + jobs.work(jobs.MEDIA, seconds=1.0):
            time.sleep(0.05)  # what is left is leased by another worker or due for a retry
    progress(_("screened"), len(wanted), len(wanted))
    for chunk in _pieces(wanted):
        for state, count in (
            Submission.objects.filter(pk__in=chunk).values_list("state").annotate(n=Count("pk")).order_by()
        ):
            report.states[state] += count
    return report


def _screening(ids: list[UUID]) -> int:
    return sum(Submission.objects.filter(pk__in=chunk, state="screening").count() for chunk in _pieces(ids))


def _pieces(ids: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), 5_000):
        yield ids[start : start + 5_000]


def _chunks(path: Path) -> Iterator[list[tuple[int, bytes]]]:
    with path.open("rb") as opened:
        chunk: list[tuple[int, bytes]] = []
        for number, raw in enumerate(opened, 1):
            if raw.strip():
                chunk.append((number, raw))
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def _line(raw: bytes, path: Path, function: Function, user: str) -> intake.Line:
    read, _canonical = jsonbody.load_object(raw)
    files = {}
    if "file" in read:
        media = path.parent / str(read["file"])
        if not media.is_file() or media.suffix.lower() not in MEDIA:
            raise Refusal("file_unknown", _("There is no such media file: %(file)s") % {"file": read["file"]})
        with media.open("rb") as opened:
            stored = evidence.store(evidence.chunks_of(opened), media_type=MEDIA[media.suffix.lower()])
        files["output_file"] = stored.sha256
    body = {
        "external_id": read.get("external_id"),
        "user": read.get("user", user),
        "function": read.get("function", function.code),
        "technology": read.get("technology", function.technologies[0]),
        "input": {"text": read.get("prompt", "")},
        "output": {"text": read.get("text", "")},
    }
    for name in ("news", "consent_prompt_acknowledged"):
        if name in read:
            body[name] = read[name]
    return intake.read_line(jsonbody.encode(body), files=files)


def _why(refusal: Refusal) -> str:
    fields = ", ".join(f"{e['field']}: {e['detail']}" for e in refusal.errors)
    return f"{refusal.code}: {refusal.detail}" + (f" ({fields})" if fields else "")
