"""Child processes of which none is left behind: started with their parent's death as a signal, found again, ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LIBC = ctypes.CDLL(None, use_errno=True)
# Every process that a supervisor starts carries this name, its value being the data directory. PostgreSQL and Valkey
# overwrite their environment to show a title, so those two are found by their working directory instead.
MARK = "MINGJIAN_SUPERVISED"


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies, so that none escapes. Linux only."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def spawn(
    command: Sequence[str | os.PathLike[str]],
    *,
    environ: Mapping[str, str],
    cwd: Path,
    death_signal: signal.Signals,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    become: Callable[[], None] | None = None,
    own_session: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a process that gets `death_signal` when this one dies. `become` runs in the child and changes its user."""
    parent = os.getpid()

    def in_child() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if become is not None:
            become()
        # After `become`: changing the user clears the death signal.
        if sys.platform == "linux":
            LIBC.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # the parent died before it was asked for
                os._exit(1)

    return subprocess.Popen(
        [os.fspath(part) for part in command],
        env=dict(environ),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=own_session,
        preexec_fn=in_child,
    )


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, which may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def send_to_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to all of the group that this process leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def reap() -> dict[int, int]:
    """Collect the children that ended: pid to exit code, minus the number for a signal. Adopted ones are included."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def strays(leaders: Iterable[int]) -> list[psutil.Process]:
    """Our children that no living leader answers for, with their descendants: what a dead one left to us."""
    leaders = set(leaders)
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if child.pid not in leaders and os.getsid(child.pid) not in leaders | {os.getsid(0)}:
                found += [child, *child.children(recursive=True)]
    return found


def belonging_to(data: Path, *, homes: Iterable[Path] = ()) -> list[psutil.Process]:
    """Processes that another supervisor of this data directory started: by their mark, or working in one of `homes`."""
    mark, folders = str(data), {os.path.realpath(home) for home in homes}
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in ours:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            ours_too = (folders and process.cwd() in folders) or process.environ().get(MARK) == mark
            if ours_too and is_living(process):
                found.append(process)
    return found


def end(processes: Iterable[psutil.Process], *, patience: float) -> None:
    """Wait for processes to end by themselves, paused ones too, then kill those that don't."""
    alive = list(processes)
    for process in alive:
        send(process.pid, signal.SIGCONT)
    alive = _still_living(alive, patience)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _still_living(alive, 5)


def is_living(process: psutil.Process) -> bool:
    """Whether it runs; one that ended may stay in the table for ever when its new parent never looks after it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _still_living(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    while (living := [process for process in processes if is_living(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return living


def end_descendants(*, limit: float = 10) -> None:
    """Kill whatever still descends from us, until nothing does: an orphan becomes our child only when its parent died."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        reap()
        remaining = psutil.Process().children(recursive=True)
        if not remaining:
            return
        for process in remaining:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.02)
