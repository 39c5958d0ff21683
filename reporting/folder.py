"""The folder of a bundle: CSV and JSONL written and hashed in one pass, manifest, README, check sums."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from reporting.definitions import Column, Definition

FORMAT = "mingjian-bundle/1"
MANIFEST, SUMS, README = "manifest.json", "manifest.sha256", "README.txt"
BATCH = 500
GUARDED = ("=", "+", "-", "@")
_TEXT = Path(__file__).parent / "texts" / README


@dataclass(frozen=True)
class FileEntry:
    """A file as the manifest lists it; `rows` only where it has rows."""

    name: str
    sha256: str
    bytes: int
    rows: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class HashedFile:
    """A file that is hashed as it is written."""

    def __init__(self, path: Path):
        self.path = path
        self.digest = hashlib.sha256()
        self.size = 0
        self.file = path.open("xb")

    def write(self, piece: bytes) -> None:
        """Write and hash."""
        self.digest.update(piece)
        self.size += len(piece)
        self.file.write(piece)

    def close(self) -> None:
        """Close; without an error on a full disk being lost."""
        self.file.close()

    def entry(self, rows: int | None = None) -> FileEntry:
        """What the manifest says of it."""
        return FileEntry(self.path.name, self.digest.hexdigest(), self.size, rows)


def guarded(cell: str) -> str:
    """A cell that a spreadsheet would take for a formula, made text (contract.md ruling 14)."""
    if cell and (cell[0] in GUARDED or ord(cell[0]) < 0x20 or 0x7F <= ord(cell[0]) < 0xA0):
        return f"'{cell}"
    return cell


def write_rows(
    folder: Path,
    definition: Definition,
    rows: Iterable[Sequence[str | None]],
    *,
    guard: bool,
    progress: Callable[[int], None],
) -> list[FileEntry]:
    """Write `<name>.csv` (UTF-8 with a mark, for spreadsheets; RFC 4180) and `<name>.jsonl` in one pass."""
    sheet, lines = HashedFile(folder / f"{definition.name}.csv"), HashedFile(folder / f"{definition.name}.jsonl")
    names = [column.name for column in definition.columns]
    readers = [_reader(column) for column in definition.columns]
    encode = msgspec.json.Encoder().encode
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(names)
    sheet.write(b"\xef\xbb\xbf")
    json_lines: list[bytes] = []
    count = 0

    def flush() -> None:
        sheet.write(buffer.getvalue().encode("utf-8"))
        buffer.seek(0)
        buffer.truncate()
        if json_lines:
            lines.write(b"\n".join(json_lines) + b"\n")
            json_lines.clear()
        progress(count)

    try:
        for row in rows:
            count += 1
            cells = ["" if value is None else value for value in row]
            writer.writerow([guarded(cell) for cell in cells] if guard else cells)
            json_lines.append(
                encode({n: None if v is None else read(v) for n, v, read in zip(names, row, readers, strict=True)})
            )
            if count % BATCH == 0:
                flush()
        flush()
    finally:
        sheet.close()
        lines.close()
    return [sheet.entry(count), lines.entry(count)]


def _reader(column: Column) -> Callable[[str], Any]:
    # The values come as PostgreSQL writes them.
    readers: dict[str, Callable[[str], Any]] = {"int": int, "bool": "t".__eq__, "json": msgspec.json.decode}
    return readers.get(column.type, str)


def write_readme(folder: Path, *, name: str) -> FileEntry:
    """The page that says, in both languages, how to check the bundle without us."""
    readme = HashedFile(folder / README)
    readme.write(_TEXT.read_text(encoding="utf-8").replace("{name}", name).encode("utf-8"))
    readme.close()
    return readme.entry()


def write_manifest(folder: Path, manifest: dict[str, Any], files: Iterable[FileEntry]) -> str:
    """Write `manifest.json` and `manifest.sha256`; returns the manifest's digest."""
    path = folder / MANIFEST
    text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    path.write_bytes(text.encode("utf-8"))
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    (folder / SUMS).write_bytes(sums(digest, {entry.name: entry.sha256 for entry in files}))
    return digest


def sums(manifest_digest: str, files: dict[str, str]) -> bytes:
    """The bytes of `manifest.sha256`: what `sha256sum -c` reads, the manifest first, then the files by name."""
    lines = [f"{manifest_digest}  {MANIFEST}", *(f"{files[name]}  {name}" for name in sorted(files))]
    return ("\n".join(lines) + "\n").encode("utf-8")
