"""Files full of personal data in the evidence store: encrypted before they reach a disk, each with a key of its own.

Frames of 64 KiB under AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce is a
random prefix, the number of the frame and a byte that marks the last one. So a frame that was changed, left out, moved,
doubled or taken from another file does not open, and neither does a file that was cut off. Nothing is handed out before
its frame was authenticated. Destroying the key destroys the file in every backup.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.files.storage import storages
from django.utils.translation import gettext_lazy as _

from core import crypto, evidence
from core.errors import Refusal
from core.evidence import Damaged
from core.models import Evidence

__all__ = ["Damaged", "Reader", "Sealed", "Sealer", "keep", "open_key", "read", "remove", "seal_key", "write"]

MAGIC = b"MJS1"
FRAME = 64 * 1024
TAG = 16
PREFIX = 7
MEDIA_TYPE = "application/octet-stream"


class Sealed(NamedTuple):
    """A file in the evidence store: the name of its ciphertext, its key (keep it by `seal_key`), its size in the clear."""

    sha256: str
    key: bytes
    size: int


class Sealer:
    """Encrypts what is pushed into it, for sources that can't be asked for more, such as an upload. `aad` names the row
    that owns the file and is authenticated with every frame. `update` and `finish` answer ciphertext to be kept in
    order; `key` and `size` stay here."""

    def __init__(self, aad: bytes):
        self.key = os.urandom(32)
        self.size = 0
        self._cipher = AESGCM(self.key)
        self._header = MAGIC + os.urandom(PREFIX)
        self._bound = _bound(self._header, aad)
        self._waiting = bytearray()
        self._number = 0
        self._begun = False

    def update(self, chunk: bytes) -> bytes:
        """The frames that are full now. The last bytes wait: only `finish` knows which frame is the last."""
        self.size += len(chunk)
        self._waiting += chunk
        sealed = [self._beginning()]
        taken = 0
        while len(self._waiting) - taken > FRAME:
            sealed.append(self._frame(bytes(self._waiting[taken : taken + FRAME]), last=False))
            taken += FRAME
        del self._waiting[:taken]
        return b"".join(sealed)

    def finish(self) -> bytes:
        """The last frame; also of an empty file there is one."""
        return self._beginning() + self._frame(bytes(self._waiting), last=True)

    def _beginning(self) -> bytes:
        header = b"" if self._begun else self._header
        self._begun = True
        return header

    def _frame(self, plain: bytes, *, last: bool) -> bytes:
        nonce = _nonce(self._header, self._number, last)
        self._number += 1
        return self._cipher.encrypt(nonce, plain, self._bound)


def write(source: IO[bytes] | Iterable[bytes], *, aad: bytes, limit: int | None = None) -> Sealed:
    """Encrypt a stream (or chunks) under a new key into the evidence store. Only ciphertext touches a disk, the
    temporary file included. Refuses with 413 past `limit` bytes, keeping nothing."""
    sealer = Sealer(aad)
    chunks: Iterable[bytes] = evidence.chunks_of(cast("IO[bytes]", source)) if hasattr(source, "read") else source

    def sealed() -> Iterator[bytes]:
        for chunk in chunks:
            yield sealer.update(chunk)
            if limit is not None and sealer.size > limit:
                raise Refusal("too_large", _("The file is too large."), status=413, extra={"limit": limit})
        yield sealer.finish()

    return keep(sealed(), sealer)


def read(sha256: str, key: bytes, *, aad: bytes) -> Iterator[bytes]:
    """The file in the clear, piece by piece; bounded memory whatever its size. Raises Damaged, at the piece where it
    shows, for a wrong key or row and for bytes that were changed, moved, added or cut off; FileNotFoundError where the
    file is gone."""
    cipher = AESGCM(key)
    with evidence.open_file(sha256) as opened:
        header = _exactly(opened, len(MAGIC) + PREFIX)
        if len(header) != len(MAGIC) + PREFIX or not header.startswith(MAGIC):
            raise Damaged(sha256)
        bound = _bound(header, aad)
        number = 0
        frame = _exactly(opened, FRAME + TAG)
        while True:
            following = _exactly(opened, FRAME + TAG)
            try:
                plain = cipher.decrypt(_nonce(header, number, not following), frame, bound)
            except (InvalidTag, ValueError):
                raise Damaged(sha256) from None
            yield plain
            if not following:
                return
            frame, number = following, number + 1


class Reader(io.RawIOBase):
    """A sealed file as a readable, seekable stream in the clear, for libraries that jump about in a file; one frame is
    held at a time. A file that was cut off is found out when it is opened, whatever else was done to it raises Damaged
    when the frame is read. Wrap it in io.BufferedReader."""

    def __init__(self, sha256: str, key: bytes, *, aad: bytes):
        self._name = sha256
        self._opened = evidence.open_file(sha256)
        self._cipher = AESGCM(key)
        self._header = _exactly(self._opened, len(MAGIC) + PREFIX)
        self._bound = _bound(self._header, aad)
        body = self._opened.seek(0, io.SEEK_END) - len(self._header)
        if len(self._header) != len(MAGIC) + PREFIX or not self._header.startswith(MAGIC) or body < TAG:
            raise Damaged(sha256)
        self._last = (body - 1) // (FRAME + TAG)
        self.size = body - (self._last + 1) * TAG
        self._place = 0
        self._number, self._plain = -1, b""
        self._load(self._last)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        if self._place >= self.size:
            return 0
        number, within = divmod(self._place, FRAME)
        self._load(number)
        piece = self._plain[within : within + len(buffer)]
        buffer[: len(piece)] = piece
        self._place += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._opened.close()
            self._plain = b""
        super().close()

    def _load(self, number: int) -> None:
        if number == self._number:
            return
        self._opened.seek(len(self._header) + number * (FRAME + TAG))
        frame = _exactly(self._opened, FRAME + TAG)
        try:
            nonce = _nonce(self._header, number, number == self._last)
            self._plain = self._cipher.decrypt(nonce, frame, self._bound)
        except (InvalidTag, ValueError):
            raise Damaged(self._name) from None
        self._number = number


def keep(ciphertext: Iterable[bytes], sealer: Sealer) -> Sealed:
    """Put what a Sealer made, from beginning to end, into the evidence store."""
    row = evidence.store(ciphertext, media_type=MEDIA_TYPE)
    return Sealed(row.pk, sealer.key, sealer.size)


def remove(sha256: str) -> None:
    """Delete a sealed file and its row. No other row can mean the same file: its key and nonces are random."""
    storages["evidence"].delete(evidence.path_of(sha256))
    Evidence.objects.filter(pk=sha256).delete()


def seal_key(key: bytes, context: str) -> bytes:
    """A file's key as it is kept in its row: sealed under the field key, bound to `context` (table, id, column)."""
    return crypto.seal(base64.b64encode(key).decode(), context)


def open_key(sealed: bytes, context: str) -> bytes:
    """The key that `seal_key` sealed. Raises Unreadable."""
    return base64.b64decode(crypto.unseal(bytes(sealed), context))


def _nonce(header: bytes, number: int, last: bool) -> bytes:
    # 2^32 frames are 256 TiB: far beyond every limit on the way in; to_bytes would raise before a nonce came twice.
    return header[len(MAGIC) :] + number.to_bytes(4, "big") + (b"\x01" if last else b"\x00")


def _bound(header: bytes, aad: bytes) -> bytes:
    return header + aad


def _exactly(opened: IO[bytes], size: int) -> bytes:
    """As many bytes as asked for, fewer only at the end: a storage may answer in smaller pieces."""
    parts: list[bytes] = []
    while size > 0 and (part := opened.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
