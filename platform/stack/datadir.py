"""The directory that holds everything one installation keeps: databases, sockets, logs, secrets."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from pathlib import Path

from stack import Refused, addresses


class DataDir:
    """One data directory, private to the user who runs the stack."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        self.run = addresses.run_dir(self.path)
        self.log = self.path / "log"
        self._lock: int | None = None

    def create(self) -> None:
        """Make the directories. Raises Refused when one cannot be made or belongs to somebody else."""
        for directory in (self.path, self.run, self.log):
            try:
                make_private(directory)
            except OSError as error:
                raise Refused(f"Cannot make the directory {directory}: {error.strerror}.") from error

    def lock(self) -> None:
        """Take the directory for this process until it ends, however it ends. Raises Refused when another has it."""
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode("ascii", "replace").strip()
            os.close(handle)
            raise Refused(f"Another server (process {holder or 'unknown'}) already uses {self.path}.") from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._lock = handle

    def unlock(self) -> None:
        """Give the directory back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def make_private(directory: Path) -> None:
    """Make a directory that only we may write to.

    One in /tmp could have been put there by somebody else before us, to hand us their socket: Refused then.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) and not directory.is_dir():
        raise Refused(f"{directory} is in the way: it is not a directory.")
    if directory.parent == Path("/tmp") and (stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid()):
        raise Refused(f"{directory} belongs to somebody else; remove it or choose another data directory.")
    if not stat.S_ISLNK(found.st_mode) and found.st_mode & 0o022:
        directory.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read, whole or not at all, also across a power cut."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
