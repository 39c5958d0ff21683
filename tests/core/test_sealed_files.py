"""Sealed files: nothing in the clear on the disk, nothing handed out that was tampered with."""

from __future__ import annotations

import io

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from core import crypto, evidence, sealed_files
from core.errors import Refusal
from core.models import Evidence
from core.sealed_files import FRAME, TAG, Damaged

pytestmark = pytest.mark.django_db
AAD = b"row:1:file"
HEADER = 11


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }
    return tmp_path / "evidence"


def _raw(sha256):
    with evidence.open_file(sha256) as opened:
        return opened.read()


def _replace(sha256, raw):
    path = evidence.path_of(sha256)
    storages["evidence"].delete(path)
    storages["evidence"].save(path, ContentFile(raw))


def _open(sealed, aad=AAD):
    return b"".join(sealed_files.read(sealed.sha256, sealed.key, aad=aad))


def _jumping(sealed, aad=AAD):
    with io.BufferedReader(sealed_files.Reader(sealed.sha256, sealed.key, aad=aad)) as stream:
        return stream.read()


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 3 * FRAME + 17])
def test_what_goes_in_comes_out_at_every_edge_of_a_frame(size):
    plain = bytes(i % 251 for i in range(size))
    sealed = sealed_files.write(io.BytesIO(plain), aad=AAD)
    assert _open(sealed) == _jumping(sealed) == plain and sealed.size == size
    frames = max(1, -(-size // FRAME))
    assert Evidence.objects.get(pk=sealed.sha256).size == HEADER + size + TAG * frames


def test_nothing_is_in_the_clear_and_the_same_file_twice_looks_different(storage):
    plain = b"name,number\nZhang San,110101190001029823\n" * 10_000
    first = sealed_files.write([plain[:100], plain[100:]], aad=AAD)
    second = sealed_files.write([plain], aad=AAD)
    assert first.sha256 != second.sha256 and first.key != second.key
    for path in storage.rglob("*"):
        if path.is_file():
            assert b"110101190001029823" not in path.read_bytes()


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: raw[:-1],  # cut off by a byte
        lambda raw: raw[: HEADER + FRAME + TAG],  # cut off at the end of a frame
        lambda raw: raw[:HEADER],
        lambda raw: b"",
        lambda raw: raw + b"x",
        lambda raw: raw + raw[HEADER : HEADER + FRAME + TAG],
        lambda raw: raw[:HEADER] + raw[HEADER + FRAME + TAG :],  # a frame left out
        lambda raw: (  # two frames change places
            raw[:HEADER]
            + raw[HEADER + FRAME + TAG : HEADER + 2 * (FRAME + TAG)]
            + raw[HEADER : HEADER + FRAME + TAG]
            + raw[HEADER + 2 * (FRAME + TAG) :]
        ),
        lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:],
        lambda raw: raw[:5] + bytes([raw[5] ^ 1]) + raw[6:],  # the nonce's prefix
        lambda raw: b"MJS2" + raw[4:],
    ],
)
def test_whatever_was_harmed_is_damaged_and_never_shorter_data(harm):
    sealed = sealed_files.write([b"x" * (2 * FRAME + 100)], aad=AAD)
    _replace(sealed.sha256, harm(_raw(sealed.sha256)))
    for read in (_open, _jumping):
        with pytest.raises(Damaged):
            read(sealed)


def test_a_reader_jumps_about_as_in_a_plain_file():
    plain = bytes(i % 253 for i in range(3 * FRAME + 5000))
    sealed = sealed_files.write([plain], aad=AAD)
    stream = io.BufferedReader(sealed_files.Reader(sealed.sha256, sealed.key, aad=AAD))
    other = io.BytesIO(plain)
    for whence, offset, size in (
        (0, 0, 10), (2, -22, 22), (0, FRAME - 5, 10), (1, -3, FRAME * 2), (0, 10**9, 5), (0, 2 * FRAME, 1), (2, -5000, -1),
    ):  # fmt: skip
        assert stream.seek(offset, whence) == other.seek(offset, whence)
        assert stream.read(size) == other.read(size)
    stream.close()


def test_another_row_or_another_key_opens_nothing():
    sealed = sealed_files.write([b"secret"], aad=AAD)
    with pytest.raises(Damaged):
        _open(sealed, aad=b"row:2:file")
    with pytest.raises(Damaged):
        _open(sealed._replace(key=bytes(32)))


def test_past_the_limit_nothing_is_kept(storage):
    assert sealed_files.write([b"x" * 100], aad=AAD, limit=100).size == 100
    with pytest.raises(Refusal) as refused:
        sealed_files.write([b"x" * (FRAME + 1)], aad=AAD, limit=FRAME)
    assert refused.value.status == 413 and refused.value.extra == {"limit": FRAME}
    assert Evidence.objects.count() == 1


def test_a_removed_file_is_gone():
    sealed = sealed_files.write([b"x"], aad=AAD)
    sealed_files.remove(sealed.sha256)
    sealed_files.remove(sealed.sha256)  # a worker that was killed in between does it again
    with pytest.raises(FileNotFoundError):
        _open(sealed)
    assert not Evidence.objects.exists()


def test_the_key_is_bound_to_its_row():
    kept = sealed_files.seal_key(b"k" * 32, "user_import:1:file_key")
    assert sealed_files.open_key(kept, "user_import:1:file_key") == b"k" * 32
    with pytest.raises(crypto.Unreadable):
        sealed_files.open_key(kept, "user_import:2:file_key")
