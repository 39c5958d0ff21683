"""Checks a bundle, folder or archive: every byte, every file, every count. Needs no database and trusts nothing: nothing is
unpacked or run, no file is held in memory, and an archive is read no further than its manifest allows."""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from reporting import archive
from reporting.folder import FORMAT, MANIFEST, README, SUMS, sums

CHUNK = 256 * 1024
SMALL = 4 * 1024 * 1024  # what a manifest or a list of sums may measure
MANY = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_HEX = re.compile(r"[0-9a-f]{64}")


class Unusable(Exception):
    """There is nothing at the path that could be a bundle."""


@dataclass
class Report:
    """What was found: no problems, or each of them in one line."""

    problems: list[str] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def whole(self) -> bool:
        """Whether the bundle is what was made."""
        return not self.problems


@dataclass
class Contents:
    """A bundle's files by name, with their size and how to open them."""

    sizes: dict[str, int]
    open: Callable[[str], Any]


def verify(path: Path, *, expected_digest: str = "") -> Report:
    """Check the bundle at a path. `expected_digest` is the digest of its manifest as known from elsewhere (the page,
    the ledger). Raises Unusable when the path is neither a folder nor a file that can be read."""
    report = Report()
    try:
        if path.is_dir():
            _check(_folder(path, report), report)
        elif path.is_file():
            with _archive(path, report) as contents:
                if contents is not None:
                    _check(contents, report)
        else:
            raise Unusable(f"{path}: neither a folder nor a file")
    except PermissionError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    if expected_digest and report.digest != expected_digest.lower():
        report.problems.append(f"{MANIFEST}: its digest is {report.digest or 'unknown'}, not {expected_digest}")
    return report


def _folder(path: Path, report: Report) -> Contents:
    sizes = {}
    for found in sorted(path.iterdir()):
        about = found.lstat()
        if stat.S_ISREG(about.st_mode):
            sizes[found.name] = about.st_size
        else:
            report.problems.append(f"{_shown(found.name)}: not a plain file")
    return Contents(sizes, lambda name: (path / name).open("rb"))


@contextmanager
def _archive(path: Path, report: Report) -> Iterator[Contents | None]:
    with path.open("rb") as opened:
        if not archive.seal_holds(opened):
            report.problems.append(
                f"{_shown(path.name)}: the archive was changed, cut short or packed anew (its closing check sum fails)"
            )
        try:
            packed = zipfile.ZipFile(opened)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
            report.problems.append(f"{_shown(path.name)}: not a readable ZIP archive ({type(error).__name__})")
            yield None
            return
        with packed:
            sizes: dict[str, int] = {}
            for info in packed.infolist():
                if problem := _entry_problem(info, sizes):
                    report.problems.append(f"{_shown(info.orig_filename)}: {problem}")
                else:
                    sizes[info.filename] = info.file_size
                if len(report.problems) + len(sizes) > MANY:
                    report.problems.append("too many files")
                    yield None
                    return
            yield Contents(sizes, packed.open)


def _entry_problem(info: zipfile.ZipInfo, known: dict[str, int]) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if not _NAME.fullmatch(info.orig_filename) or info.filename != info.orig_filename:
        return "a name that no bundle has (a path?)"
    if info.filename in known:
        return "twice in the archive"
    if kind not in (0, stat.S_IFREG):
        return "not a plain file"
    if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "encrypted, or packed in a way that bundles are not"
    return ""


def _check(contents: Contents, report: Report) -> None:
    problems = report.problems
    raw = _small(contents, MANIFEST, problems)
    if raw is None:
        return
    report.digest = hashlib.sha256(raw).hexdigest()
    manifest = _read_manifest(raw, problems)
    if manifest is None:
        return
    report.manifest = manifest
    listed = {entry["name"]: entry for entry in manifest["files"]}
    expected = sums(report.digest, {name: entry["sha256"] for name, entry in listed.items()})
    told = _small(contents, SUMS, problems)
    if told is not None and told != expected:
        problems.append(f"{SUMS}: does not agree with {MANIFEST}; one of them was changed")
    for name in sorted(set(contents.sizes) - set(listed) - {MANIFEST, SUMS}):
        problems.append(f"{_shown(name)}: not part of the bundle")
    for name, entry in listed.items():
        if name not in contents.sizes:
            problems.append(f"{name}: missing")
        else:
            problems.extend(f"{name}: {problem}" for problem in _file_problems(contents, entry))


def _small(contents: Contents, name: str, problems: list[str]) -> bytes | None:
    if name not in contents.sizes:
        problems.append(f"{name}: missing")
        return None
    try:
        with contents.open(name) as opened:
            raw = opened.read(SMALL + 1)
    except _READING as error:
        problems.append(f"{name}: can't be read ({type(error).__name__})")
        return None
    if len(raw) > SMALL:
        problems.append(f"{name}: too large")
        return None
    return raw


# What reading a damaged archive or a failing disk may raise.
_READING = (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)


def _read_manifest(raw: bytes, problems: list[str]) -> dict[str, Any] | None:
    try:
        manifest = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_key_twice)
    except (ValueError, RecursionError):
        problems.append(f"{MANIFEST}: not readable as JSON")
        return None
    if wrong := _manifest_problem(manifest):
        problems.append(f"{MANIFEST}: {wrong}")
        return None
    return manifest


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _value in pairs}) < len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def _manifest_problem(manifest: Any) -> str:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return f"not of the format {FORMAT}"
    name, files, rows = manifest.get("name"), manifest.get("files"), manifest.get("rows")
    if not isinstance(name, str) or not isinstance(files, list) or not _count(rows):
        return "name, files or rows are missing"
    if not all(isinstance(entry, dict) and _entry_is_sound(entry) for entry in files):
        return "an entry of files is not sound"
    if sorted(entry["name"] for entry in files) != sorted([f"{name}.csv", f"{name}.jsonl", README]):
        return "it lists other files than a bundle has"
    if any(entry.get("rows") != (None if entry["name"] == README else rows) for entry in files):
        return "the counts of its files disagree"
    return ""


def _entry_is_sound(entry: dict[str, Any]) -> bool:
    name, digest = entry.get("name"), entry.get("sha256")
    return (
        isinstance(name, str)
        and bool(_NAME.fullmatch(name))
        and isinstance(digest, str)
        and bool(_HEX.fullmatch(digest))
        and _count(entry.get("bytes"))
        and (entry.get("rows") is None or _count(entry.get("rows")))
    )


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _file_problems(contents: Contents, entry: dict[str, Any]) -> Iterator[str]:
    name, wanted = entry["name"], entry["bytes"]
    if contents.sizes[name] != wanted:
        yield f"{contents.sizes[name]} bytes, not {wanted}"
        return
    counter = Counter(quotes=name.endswith(".csv"))
    try:
        with contents.open(name) as opened:
            digest, size = _digest(opened, wanted, counter)
    except _READING as error:
        yield f"can't be read ({type(error).__name__})"
        return
    if size != wanted:
        yield f"{'more' if size > wanted else 'fewer'} bytes than {wanted}"
    elif digest != entry["sha256"]:
        yield "changed: its SHA-256 is not the one in the manifest"
    if entry.get("rows") is not None:
        rows = counter.lines - 1 if name.endswith(".csv") else counter.lines
        if rows != entry["rows"]:
            yield f"{rows} rows, not {entry['rows']}"


def _digest(opened: IO[bytes], limit: int, counter: Counter) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while size <= limit and (piece := opened.read(CHUNK)):
        size += len(piece)
        digest.update(piece)
        counter.feed(piece)
    return digest.hexdigest(), size


class Counter:
    """Counts the lines of JSONL, or of CSV, where a line break within quotes ends no line."""

    def __init__(self, *, quotes: bool):
        self.quotes = quotes
        self.inside = False
        self.lines = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        if not self.quotes:
            self.lines += piece.count(b"\n")
            return
        for number, part in enumerate(piece.split(b'"')):
            if number:
                self.inside = not self.inside
            if not self.inside:
                self.lines += part.count(b"\n")


def _shown(name: str) -> str:
    """A name that may be hostile, on one line."""
    return name if _NAME.fullmatch(name) else ascii(name)[:120]
