"""The evidence store: files known by their SHA-256, streamed in and out, never whole in memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from django.core.files import File
from django.core.files.storage import storages
from django.utils.translation import gettext_lazy as _

from core.errors import Refusal
from core.models import Evidence

CHUNK = 256 * 1024


class Damaged(Exception):
    """The stored bytes are not those that were stored."""


def path_of(sha256: str) -> str:
    """Where the bytes lie in the storage."""
    return f"{sha256[:2]}/{sha256}"


def chunks_of(stream: IO[bytes]) -> Iterator[bytes]:
    """A stream in pieces."""
    while chunk := stream.read(CHUNK):
        yield chunk


def store(
    chunks: Iterable[bytes], *, media_type: str = "application/octet-stream", limit: int | None = None
) -> Evidence:
    """Store a stream; the same content twice is one file. The row is written after the file, so that there is never a
    row without bytes. Refuses with 413 past `limit` bytes, keeping nothing."""
    storage = storages["evidence"]
    digest = hashlib.sha256()
    size = 0
    with tempfile.TemporaryFile() as spool:
        for chunk in chunks:
            size += len(chunk)
            if limit is not None and size > limit:
                raise Refusal("too_large", _("The file is too large."), status=413, extra={"limit": limit})
            digest.update(chunk)
            spool.write(chunk)
        sha256 = digest.hexdigest()
        if not storage.exists(path_of(sha256)):
            spool.seek(0)
            storage.save(path_of(sha256), File(spool))
    row, _created = Evidence.objects.get_or_create(pk=sha256, defaults={"size": size, "media_type": media_type})
    return row


def stream(sha256: str) -> Iterator[bytes]:
    """The bytes in pieces, checked against their name at the end: raises Damaged after the last piece of a file that
    is not what its name says."""
    digest = hashlib.sha256()
    with storages["evidence"].open(path_of(sha256), "rb") as opened:
        for chunk in chunks_of(opened):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != sha256:
        raise Damaged(sha256)


def open_file(sha256: str) -> Any:
    """A readable file for libraries that need one."""
    return storages["evidence"].open(path_of(sha256), "rb")
