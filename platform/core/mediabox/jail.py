"""How a process shuts itself in, before it reads the first byte of what it is given (M9, M10).

Each layer stands for itself: where a container or a kernel refuses one, the others hold and the missing one is named.
The libraries are loaded before, because afterwards no file can be opened.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable

from core.mediabox import landlock, seccomp

LAYERS = (
    "limits", "parent", "ordinary_user", "no_new_privileges", "user_namespace", "network_namespace", "ipc_namespace",
    "process_namespace", "empty_file_system", "no_capabilities", "one_process", "landlock", "seccomp",
)  # fmt: skip
NOBODY = 65534
FILES = 64
OUT_OF_TIME = 152  # what the outer process says when the inner one used up its processor time

_SET_DEATH_SIGNAL, _SET_NO_NEW_PRIVILEGES, _DROP_BOUNDING = 1, 38, 24
_CAPABILITY_VERSION_3 = 0x20080522
_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = (
    0x20000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_PRIVATE, _RECURSIVE, _DETACH = 1 << 18, 1 << 14, 2
_READ_ONLY_ETC = 1 | 2 | 4 | 8  # MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def limits(*, memory: int, cpu: int) -> list[str]:
    """The limits of the whole run, loading the libraries included. Soft and hard are one: the first process of a process
    namespace does not notice the soft one of the processor. Answers ["limits"] where the system knows one not."""
    refused = False
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 0),  # it answers by a pipe and writes no file at all
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(what, (most, most))
        except (OSError, ValueError):
            refused = True
    return ["limits"] if refused else []


def enter(parent: int, without: frozenset[str] = frozenset()) -> list[str]:
    """Shut this process in and answer which layers are missing (`without` leaves some out on purpose, for tests of the
    reduced mode). `parent` is the process that has to be alive for this one to live.

    May fork: what comes back is then the inner process, and the outer one ends with it and as it did."""
    if sys.platform != "linux":
        return [layer for layer in LAYERS if layer != "limits"]
    libc = ctypes.CDLL(None, use_errno=True)
    missing: list[str] = []

    def layer(name: str, put_on: Callable[[], None]) -> bool:
        try:
            if name in without:
                raise OSError("left out")
            put_on()
        except (OSError, ValueError, KeyError):
            missing.append(name)
            return False
        return True

    layer("ordinary_user", _become_nobody)
    layer("parent", lambda: _die_with(libc, parent))  # after the change of user, which forgets it
    layer("no_new_privileges", lambda: _check(libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)))
    if layer("user_namespace", lambda: _check(libc.unshare(_NEW_USER))):
        layer("network_namespace", lambda: _check(libc.unshare(_NEW_NETWORK)))
        layer("ipc_namespace", lambda: _check(libc.unshare(_NEW_IPC | _NEW_UTS)))
        layer("empty_file_system", lambda: _empty_root(libc))
        if layer("process_namespace", lambda: _check(libc.unshare(_NEW_PROCESSES))):
            _become_first(libc)
        layer("no_capabilities", lambda: _drop_capabilities(libc))
        layer("one_process", lambda: resource.setrlimit(resource.RLIMIT_NPROC, (1, 1)))
    else:
        missing += ["network_namespace", "ipc_namespace", "empty_file_system", "process_namespace", "no_capabilities"]
        layer("one_process", _one_process_of_an_ordinary_user)
    layer("landlock", lambda: landlock.deny_everything(libc))
    layer("seccomp", lambda: seccomp.install(libc))
    return missing


def _check(answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), "denied")


def _become_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def _die_with(libc: ctypes.CDLL, parent: int) -> None:
    _check(libc.prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0))
    if parent and os.getppid() != parent:
        os._exit(1)  # it died while this one was starting


def _empty_root(libc: ctypes.CDLL) -> None:
    """A file system with nothing in it, in a mount namespace of its own, as the root."""
    _check(libc.unshare(_NEW_MOUNTS))
    _check(libc.mount(None, b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None))
    _check(libc.mount(b"none", b"/tmp", b"tmpfs", ctypes.c_ulong(_READ_ONLY_ETC), b"size=4k"))
    os.chdir("/tmp")  # noqa: S108  the mount point, which is there on every system
    # The new root is put over the old one in the same place, and the old one then taken away from under it.
    _check(libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."))
    _check(libc.umount2(b".", _DETACH))
    os.chdir("/")


def _become_first(libc: ctypes.CDLL) -> None:
    """Become the first process of the new process namespace; who is left outside waits and ends in the same way."""
    inner = os.fork()
    if inner == 0:
        libc.prctl(_SET_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
        return
    os.close(0)
    os.close(1)
    _pid, status, used = os.wait4(inner, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL and used.ru_utime + used.ru_stime >= resource.getrlimit(resource.RLIMIT_CPU)[1] - 0.5:
        os._exit(OUT_OF_TIME)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -code)
    os._exit(max(code, 1) if code else 0)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    for capability in range(64):
        if libc.prctl(_DROP_BOUNDING, capability, 0, 0, 0):
            break
    nothing = struct.pack("6I", 0, 0, 0, 0, 0, 0)
    _check(libc.capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), nothing))


def _one_process_of_an_ordinary_user() -> None:
    # Counted over all processes of the user, so none more can be had; the kernel counts none of root's.
    if os.geteuid() == 0:
        raise OSError("root may always")
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
