"""Where keyed digests come from: the port to the digest key (the "pepper"), which never lies with the data.

Three places, the strictest that is configured wins and there is no falling back from one to another:

- `PEPPER_SOCKET`: a small daemon of this machine (`manage.py pepper`) holds the key, counts and limits what it is asked.
  A process of the web that was taken over can ask it, slowly, and never read the key;
- `DIGEST_KEY_FILE`: a file of mode 0400 or 0600 that belongs to whoever runs the process;
- `DIGEST_KEY`: the environment.

While the key is away nothing is looked up and no identity is registered: both refuse with 503.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import socket
import stat
import threading
from functools import lru_cache
from pathlib import Path

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from core.errors import Refusal

log = structlog.get_logger("pepper")
TIMEOUT = 1.0
LONGEST = 64 * 1024  # bytes of one question to the daemon


class Away(Refusal):
    """The digest key can't be reached, may not be read, or its daemon has had enough for now."""

    status = 503


def digest(value: str, purpose: str) -> bytes:
    """HMAC-SHA256 of the value under the key of the purpose. Raises Away (503); never answers by another key."""
    if path := settings.PEPPER_SOCKET:
        return _asked(path, value, purpose)
    return keyed(_root(), value, purpose)


def keyed(root: bytes, value: str, purpose: str) -> bytes:
    """The digest itself: one key per purpose, and the purpose once more in the message."""
    return hmac.digest(_derived(root, purpose), purpose.encode() + b"\x00" + value.encode("utf-8"), "sha256")


@lru_cache(maxsize=256)
def _derived(root: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(root)


def read_root(*, environment: str = "", file: str = "") -> bytes:
    """The 32 bytes of the key from a file or from the environment. Raises Away for a key that is missing or of another
    length, and for a file that others may read or that belongs to somebody else."""
    encoded = _from_file(file) if file else environment
    try:
        root = base64.urlsafe_b64decode(encoded)
    except ValueError:
        root = b""
    if len(root) != 32:
        raise _away("the digest key is not 32 bytes")
    return root


def _root() -> bytes:
    return _read_once(settings.DIGEST_KEY_FILE, settings.DIGEST_KEY)


@lru_cache(maxsize=8)
def _read_once(file: str, environment: str) -> bytes:
    # Not remembered when it raises: a file whose mode was put right is read at the next try.
    return read_root(environment=environment, file=file)


def _from_file(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            # Asked of the open file: the name could point elsewhere by the time it is read.
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) not in (0o400, 0o600):
                raise _away("the digest key's file must have mode 0400 or 0600")
            if status.st_uid != os.geteuid():
                raise _away("the digest key's file belongs to somebody else")
            return opened.read(1024).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise _away("the digest key's file can't be read") from None


def _away(why: str) -> Away:
    log.error("pepper_away", why=why)
    return Away(
        "lookup_unavailable",
        _("Numbers can't be looked up at the moment; nothing was changed. Try again."),
        retry_after=2,
    )


# The daemon's client


class _Line(threading.local):
    """One connection per thread; a child process opens its own."""

    process = 0
    path = ""
    stream: socket.socket | None = None


_line = _Line()


def _asked(path: str, value: str, purpose: str) -> bytes:
    question = json.dumps({"purpose": purpose, "value": value}).encode() + b"\n"
    if len(question) > LONGEST:
        raise _away("the value is too long")
    fresh = _connect(path)
    try:
        answer = _exchange(question)
    except OSError:
        # A connection from before may belong to a daemon that was restarted; one that is new may not fail.
        _hang_up()
        if fresh:
            raise _away("the daemon does not answer") from None
        _connect(path)
        try:
            answer = _exchange(question)
        except OSError:
            _hang_up()
            raise _away("the daemon does not answer") from None
    found = answer.get("digest")
    if not isinstance(found, str):
        raise _away(f"the daemon refuses: {str(answer.get('error'))[:40]}")
    return base64.b64decode(found)


def _connect(path: str) -> bool:
    """Have a connection; True when it was made just now."""
    if _line.stream is not None and (_line.process, _line.path) == (os.getpid(), path):
        return False
    _hang_up()
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(TIMEOUT)
    try:
        stream.connect(path)
    except OSError:
        stream.close()
        raise _away("the daemon can't be reached") from None
    _line.process, _line.path, _line.stream = os.getpid(), path, stream
    return True


def _exchange(question: bytes) -> dict[str, object]:
    assert _line.stream is not None
    _line.stream.sendall(question)
    read = b""
    while not read.endswith(b"\n"):
        part = _line.stream.recv(4096)
        if not part or len(read) > 4096:
            raise ConnectionError
        read += part
    answer = json.loads(read)
    return answer if isinstance(answer, dict) else {}


def _hang_up() -> None:
    if _line.stream is not None:
        with contextlib.suppress(OSError):
            _line.stream.close()
    _line.stream = None
