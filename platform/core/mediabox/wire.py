"""How the box answers: `MJBX`, the length of a JSON head, the head, the raw bytes that the head announces, the end.

The parent reads it as what it is, a message from a process that may have been taken over: every size is checked before
anything is read, every name is one it knows, and a byte too many or too few voids the whole.
"""

from __future__ import annotations

import json
import os
from typing import Any

MAGIC = b"MJBX"
MOST_HEAD = 256 * 1024
MOST_METADATA = 64 * 1024


def write(descriptor: int, head: dict[str, Any], parts: list[bytes]) -> None:
    """Send an answer."""
    said = json.dumps(head, allow_nan=False).encode()
    for piece in (MAGIC + len(said).to_bytes(4), said, *parts):
        left = memoryview(piece)
        while left:
            left = left[os.write(descriptor, left) :]
