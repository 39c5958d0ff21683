"""The evidence store: known by content, streamed, never half-kept."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import pytest
from django.core.files.storage import storages

from core import evidence
from core.errors import Refusal
from core.models import Evidence


@pytest.fixture
def place(db, settings, tmp_path):
    """A store of its own."""
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }
    return tmp_path / "evidence"


def files(place: Path):
    return [path for path in place.rglob("*") if path.is_file()] if place.exists() else []


def test_what_was_stored_comes_back_under_its_own_hash(place):
    pieces = [b"one", b"", b"two" * 1000]
    row = evidence.store(iter(pieces), media_type="text/plain")
    whole = b"".join(pieces)
    assert (row.pk, row.size, row.media_type) == (hashlib.sha256(whole).hexdigest(), len(whole), "text/plain")
    assert b"".join(evidence.stream(row.pk)) == whole
    assert evidence.open_file(row.pk).read() == whole
    assert [path.name for path in files(place)] == [row.pk]


def test_nothing_is_something_too(place):
    row = evidence.store([])
    assert row.size == 0 and b"".join(evidence.stream(row.pk)) == b""


def test_the_same_content_twice_is_one_file_and_one_row(place):
    first = evidence.store([b"a" * 10], media_type="text/plain")
    again = evidence.store([b"a"] * 10, media_type="image/png")
    assert (again.pk, again.media_type) == (first.pk, "text/plain")
    assert Evidence.objects.count() == 1 and len(files(place)) == 1


@pytest.mark.parametrize("damage", [b"A" * 10, b"a" * 9, b"a" * 11, b""])
def test_damage_is_noticed_by_whoever_reads(place, damage):
    row = evidence.store([b"a" * 10])
    files(place)[0].write_bytes(damage)
    with pytest.raises(evidence.Damaged):
        list(evidence.stream(row.pk))


def test_past_the_limit_nothing_is_kept_and_nothing_more_is_read(place):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield b"x" * 1000

    with pytest.raises(Refusal) as refused:
        evidence.store(endless(), limit=4500)
    assert (refused.value.status, refused.value.code, refused.value.extra) == (413, "too_large", {"limit": 4500})
    assert len(asked) == 5 and Evidence.objects.count() == 0 and files(place) == []
    assert evidence.store([b"x" * 4500], limit=4500).size == 4500


def test_a_sender_that_breaks_off_leaves_nothing(place):
    def broken():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        evidence.store(broken())
    assert Evidence.objects.count() == 0 and files(place) == []


def test_a_store_that_fails_leaves_no_row(place, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(storages["evidence"]), "save", full)
    with pytest.raises(OSError, match="No space"):
        evidence.store([b"x"])
    assert Evidence.objects.count() == 0


def test_a_large_file_is_never_whole_in_memory(place):
    piece = b"\x5a" * evidence.CHUNK
    tracemalloc.start()
    try:
        row = evidence.store(piece for _ in range(160))  # 40 MB
        size = sum(len(chunk) for chunk in evidence.stream(row.pk))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == row.size == 160 * evidence.CHUNK
    assert peak < 8 * 1024 * 1024
