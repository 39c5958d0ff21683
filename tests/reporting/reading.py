"""Reads bundles back, as their receiver would."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from core import evidence
from reporting.models import Bundle


def save(bundle: Bundle, path: Path) -> Path:
    """The stored archive as a file."""
    path.write_bytes(b"".join(evidence.stream(bundle.archive_id or "")))
    return path


def lines(bundle: Bundle) -> list[dict[str, Any]]:
    """The rows of a stored bundle."""
    with zipfile.ZipFile(evidence.open_file(bundle.archive_id or "")) as packed:
        return [json.loads(line) for line in packed.read(f"{bundle.name}.jsonl").splitlines()]


def cells(bundle: Bundle) -> list[dict[str, str]]:
    """The rows of a stored bundle's CSV."""
    with zipfile.ZipFile(evidence.open_file(bundle.archive_id or "")) as packed:
        text = packed.read(f"{bundle.name}.csv").decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def ids(bundle: Bundle) -> list[str]:
    """The ids of a stored bundle's decisions."""
    return [row["decision_id"] for row in lines(bundle)]
