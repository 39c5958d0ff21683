"""What a process in the box must not be able to do, tried out in the box itself (M9, M10)."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from collections.abc import Callable

TRIED = ("network", "local_sockets", "files", "writing", "processes", "programs", "signals", "memory")


def run(port: int, parent: int) -> dict[str, str]:
    """For each: "denied", or what happened. `port` is one on this machine where the
    `parent` does answer."""
    libc = ctypes.CDLL(None, use_errno=True)
    tries: dict[str, Callable[[], object]] = {
        "network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", port)),
        "local_sockets": lambda: socket.socketpair(),
        "files": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "writing": lambda: os.open("/tmp/mediabox", os.O_WRONLY | os.O_CREAT),  # noqa: S108  it must fail
        "processes": _fork,
        "programs": lambda: _execute(libc),
        "signals": lambda: _refused(libc.kill(parent, 0)),
        "memory": lambda: bytearray(4_000_000_000),
    }
    return {name: _tried(tries[name]) for name in TRIED}


def _tried(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (OSError, MemoryError):
        return "denied"
    except Exception as exc:
        return type(exc).__name__
    return "possible"


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()


def _execute(libc: ctypes.CDLL) -> None:
    # With arguments that can't be read: who may start a program is told of those, and goes on here.
    libc.execve(sys.executable.encode(), ctypes.c_void_p(1), None)
    if ctypes.get_errno() != errno.EFAULT:
        raise OSError(ctypes.get_errno(), "denied")


def _refused(answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), "denied")
