"""`verify` notices whatever was done to a bundle."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reporting import archive, folder
from reporting.definitions import DEFINITIONS
from reporting.verification import SMALL, Unusable, verify

DECISIONS = DEFINITIONS["decisions"]
FILES = ["decisions.csv", "decisions.jsonl", "README.txt", "manifest.json", "manifest.sha256"]
UNCHANGING = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path: Path, rows: int = 40, **changes) -> Path:
    """A small bundle as a folder."""
    path.mkdir()
    width = len(DECISIONS.columns)
    values = [
        [f'行"{n}",\n{i}' if DECISIONS.columns[i].type in ("text", "time") else None for i in range(width)]
        for n in range(rows)
    ]
    files = folder.write_rows(path, DECISIONS, values, guard=True, progress=lambda count: None)
    files.append(folder.write_readme(path, name="decisions"))
    manifest = {
        "format": folder.FORMAT,
        "name": "decisions",
        "rows": rows,
        "files": [f.as_json() for f in files],
        **changes,
    }
    folder.write_manifest(path, manifest, files)
    return path


def pack(path: Path) -> bytes:
    out = BytesIO()
    archive.pack(path, FILES, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("bundles") / "whole")


@pytest.fixture
def copy(bundle, tmp_path) -> Path:
    target = tmp_path / "copy"
    target.mkdir()
    for name in FILES:
        (target / name).write_bytes((bundle / name).read_bytes())
    return target


@pytest.fixture(scope="module")
def packed(bundle) -> bytes:
    return pack(bundle)


def test_a_whole_bundle_is_whole_as_folder_and_as_archive(bundle, packed, tmp_path):
    assert verify(bundle).problems == []
    (tmp_path / "b.zip").write_bytes(packed)
    report = verify(tmp_path / "b.zip")
    assert (report.problems, report.digest) == ([], verify(bundle).digest)


def test_the_archive_s_bytes_follow_from_its_contents(bundle, packed):
    assert pack(bundle) == packed


@UNCHANGING
@given(data=st.data())
def test_a_changed_byte_of_any_file_is_noticed(bundle, copy, data):
    name = data.draw(st.sampled_from(FILES))
    raw = bytearray((bundle / name).read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    (copy / name).write_bytes(raw)
    assert not verify(copy).whole
    (copy / name).write_bytes((bundle / name).read_bytes())


def test_a_changed_byte_at_every_place_of_the_archive_is_noticed(bundle, tmp_path):
    raw = pack(write(tmp_path / "small", rows=1))
    path = tmp_path / "b.zip"
    path.write_bytes(raw)
    assert verify(path).whole
    with path.open("r+b") as opened:
        for place in range(len(raw)):
            for flip in (0x01, 0x80) if place % 8 else (0xFF,):
                os.pwrite(opened.fileno(), bytes([raw[place] ^ flip]), place)
                assert not verify(path).whole, f"byte {place} of {len(raw)}"
                os.pwrite(opened.fileno(), raw[place : place + 1], place)
    assert verify(path).whole


@UNCHANGING
@given(data=st.data())
def test_a_shortened_or_lengthened_archive_is_noticed(packed, tmp_path, data):
    path = tmp_path / "b.zip"
    cut = data.draw(st.integers(0, len(packed) - 1))
    path.write_bytes(packed[:cut])
    assert not verify(path).whole
    path.write_bytes(packed + data.draw(st.binary(min_size=1, max_size=80)))
    assert not verify(path).whole
    path.write_bytes(data.draw(st.binary(min_size=1, max_size=80)) + packed)
    assert not verify(path).whole


@pytest.mark.parametrize("name", FILES)
def test_a_missing_shortened_or_lengthened_file_is_named(copy, name):
    whole = (copy / name).read_bytes()
    for changed in (whole[:-1], whole + b"\n", b""):
        (copy / name).write_bytes(changed)
        assert not verify(copy).whole
    (copy / name).unlink()
    assert f"{name}: missing" in verify(copy).problems


def test_an_extra_file_a_folder_and_a_link_are_named(copy, tmp_path):
    (copy / "notes.txt").write_text("x")
    (copy / "more").mkdir()
    (copy / "decisions.csv").rename(tmp_path / "elsewhere.csv")
    (copy / "decisions.csv").symlink_to(tmp_path / "elsewhere.csv")
    problems = verify(copy).problems
    assert "notes.txt: not part of the bundle" in problems
    assert "more: not a plain file" in problems
    assert "decisions.csv: not a plain file" in problems


def test_renamed_and_swapped_files_are_noticed(copy):
    (copy / "decisions.csv").rename(copy / "Decisions.csv")
    assert {"decisions.csv: missing", "Decisions.csv: not part of the bundle"} <= set(verify(copy).problems)
    (copy / "Decisions.csv").rename(copy / "keep")
    (copy / "decisions.jsonl").rename(copy / "decisions.csv")
    (copy / "keep").rename(copy / "decisions.jsonl")
    assert len(verify(copy).problems) == 2


def test_wrong_counts_are_noticed_even_where_all_digests_agree(tmp_path):
    problems = verify(write(tmp_path / "b", rows=3)).problems
    assert problems == []
    assert (
        "counts of its files disagree"
        in verify(write(tmp_path / "c", rows=3) and _recount(tmp_path / "c", {"rows": 4})).problems[0]
    )
    forged = _recount(write(tmp_path / "d", rows=3), {"rows": 4}, every=True)
    assert verify(forged).problems == ["decisions.csv: 3 rows, not 4", "decisions.jsonl: 3 rows, not 4"]


def _recount(path: Path, changes: dict, *, every: bool = False) -> Path:
    manifest = json.loads((path / "manifest.json").read_bytes())
    manifest.update(changes)
    for entry in manifest["files"]:
        if every and "rows" in entry:
            entry["rows"] = changes["rows"]
    entries = [folder.FileEntry(f["name"], f["sha256"], f["bytes"], f.get("rows")) for f in manifest["files"]]
    folder.write_manifest(path, manifest, entries)
    return path


def test_a_forged_bundle_that_agrees_with_itself_needs_the_digest_from_elsewhere(copy):
    """Without a signature, who recomputes everything is only found out by a digest known from the ledger."""
    before = verify(copy).digest
    _recount(copy, {"made_by": "somebody else"})
    assert verify(copy).whole
    assert not verify(copy, expected_digest=before).whole


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format": "other/1"}', b'{"a": 1, "a": 2}', b"x" * (SMALL + 1)],
)
def test_a_manifest_that_is_none_is_a_problem_not_a_crash(copy, raw):
    (copy / "manifest.json").write_bytes(raw)
    assert not verify(copy).whole


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "../../etc/passwd", "sha256": "0" * 64, "bytes": 1},
        {"name": "/etc/passwd", "sha256": "0" * 64, "bytes": 1},
        {"name": "README.txt", "sha256": "0" * 64, "bytes": -1},
        {"name": "README.txt", "sha256": "zz", "bytes": 1},
        {"name": "README.txt", "sha256": "0" * 64, "bytes": True},
        {"name": 5},
        "README.txt",
    ],
)
def test_a_manifest_that_points_elsewhere_is_not_followed(copy, entry):
    manifest = json.loads((copy / "manifest.json").read_bytes())
    manifest["files"][2] = entry
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert any(p.startswith("manifest.json:") for p in verify(copy).problems)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/b", "a\\b", "..", "C:evil", ".hidden", "new\nline", "a\x00b"])
def test_path_tricks_in_an_archive_are_named_and_nothing_is_unpacked(packed, tmp_path, name):
    inside = tmp_path / "in"
    inside.mkdir()
    path = inside / "b.zip"
    path.write_bytes(packed)
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(info, b"evil")
    problems = verify(path).problems
    assert any("a name that no bundle has" in p or "not part of the bundle" in p for p in problems)
    assert all("\n" not in p and "\x00" not in p for p in problems)
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "b.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_a_link_and_an_odd_packing_are_named(bundle, tmp_path):
    path = tmp_path / "b.zip"
    link = zipfile.ZipInfo("README.txt")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(link, "/etc/passwd")
        opened.writestr("decisions.csv", b"1")
        opened.writestr("decisions.csv", b"2")
        opened.writestr("manifest.json", b"{}", compress_type=zipfile.ZIP_BZIP2)
    text = "\n".join(verify(path).problems)
    assert "README.txt: not a plain file" in text
    assert "decisions.csv: twice in the archive" in text
    assert "packed in a way that bundles are not" in text


def test_an_archive_that_swells_is_read_no_further_than_its_manifest_allows(bundle, tmp_path):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in FILES:
            data = (bundle / name).read_bytes()
            opened.writestr(name, data if name != "decisions.csv" else b"\0" * (200 * 1024 * 1024))
    problems = verify(path).problems
    assert any(p.startswith("decisions.csv: 209715200 bytes, not") for p in problems)


def test_what_is_no_bundle_at_all_is_unusable(tmp_path):
    with pytest.raises(Unusable):
        verify(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unusable):
        verify(tmp_path / "pipe")
    (tmp_path / "text.zip").write_text("not a zip")
    assert not verify(tmp_path / "text.zip").whole
    assert verify(tmp_path).problems[-1] == "manifest.json: missing"


def test_the_sums_are_what_sha256sum_writes(bundle):
    text = (bundle / "manifest.sha256").read_text().splitlines()
    for line in text:
        digest, name = line.split("  ")
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    assert len(text) == 4
