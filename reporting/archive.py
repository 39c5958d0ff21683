"""The one file of a bundle: a ZIP whose bytes follow from its contents, closed by a check sum over all of them.

A ZIP has bytes that no content depends on (times, attributes, padding of the compressed stream). So the archive's comment,
its last 64 bytes, is the SHA-256 of everything before it: not one byte can change unseen.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

CHUNK = 256 * 1024
SEAL = 64
_EPOCH = (1980, 1, 1, 0, 0, 0)
_HEX = re.compile(rb"[0-9a-f]{64}")


def pack(folder: Path, names: Iterable[str], out: IO[bytes], *, alive: Callable[[], None] = lambda: None) -> None:
    """Pack files of a folder into `out` (open for reading and writing); `alive` is called between the pieces."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
        packed.comment = b"0" * SEAL
        for name in names:
            path = folder / name
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            info.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(info, "w") as target:
                while piece := source.read(CHUNK):
                    target.write(piece)
                    alive()
    out.seek(0, 2)
    digest = _digest_before_seal(out, out.tell() - SEAL, alive)
    out.seek(-SEAL, 2)
    out.write(digest)
    out.seek(0)


def seal_holds(archive: IO[bytes]) -> bool:
    """Whether the archive ends with the check sum of all that comes before."""
    size = archive.seek(0, 2)
    if size <= SEAL:
        return False
    archive.seek(-SEAL, 2)
    seal = archive.read(SEAL)
    return bool(_HEX.fullmatch(seal)) and seal == _digest_before_seal(archive, size - SEAL, lambda: None)


def _digest_before_seal(archive: IO[bytes], length: int, alive: Callable[[], None]) -> bytes:
    digest = hashlib.sha256()
    archive.seek(0)
    while length > 0 and (piece := archive.read(min(CHUNK, length))):
        digest.update(piece)
        length -= len(piece)
        alive()
    return digest.hexdigest().encode()
