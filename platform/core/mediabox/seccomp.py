"""The few system calls that decoding needs; the kernel denies all others to the box (M10).

An allow-list: what isn't named answers EPERM. Among what is denied: execve, fork, socket, open, ptrace, kill, mount, bpf,
io_uring, memfd_create, and memory that is to be executed.
"""

from __future__ import annotations

import ctypes
import os
import struct

_SET_SECCOMP = 22
_FILTER = 2
_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_DENY = 0x00050000 | 1  # EPERM
_ABSENT = 0x00050000 | 38  # ENOSYS: the caller goes on to an older call
_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_NR, _ARCH, _ARGUMENT = 0, 4, 16

# name: (x86_64, aarch64)
CALLS = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "munmap": (11, 215),
    "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "pread64": (17, 67), "readv": (19, 65), "writev": (20, 66), "sched_yield": (24, 124), "mremap": (25, 216),
    "madvise": (28, 233), "nanosleep": (35, 101), "getpid": (39, 172), "exit": (60, 93), "uname": (63, 160),
    "gettimeofday": (96, 169), "getrusage": (98, 165), "sysinfo": (99, 179), "getuid": (102, 174), "getgid": (104, 176),
    "geteuid": (107, 175), "getegid": (108, 177), "sigaltstack": (131, 132), "gettid": (186, 178), "futex": (202, 98),
    "sched_getaffinity": (204, 123), "restart_syscall": (219, 128), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "exit_group": (231, 94), "set_robust_list": (273, 99),
    "getcpu": (309, 168), "getrandom": (318, 278), "membarrier": (324, 283), "rseq": (334, 293),
}  # fmt: skip
MMAP, MPROTECT, TGKILL, NEWFSTATAT, CLONE3 = (9, 222), (10, 226), (234, 131), (262, 79), (435, 435)
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_PROT_EXEC = 4
_AT_EMPTY_PATH = 0x1000


def program(machine: str, own_pid: int) -> bytes:
    """The filter for this kind of machine, as the kernel reads it. Raises KeyError for a machine without a table."""
    audit, column = _ARCHITECTURES[machine]
    lines = [
        _line(_LOAD, _ARCH), _line(_JUMP_EQUAL, audit, 1, 0), _line(_RETURN, _KILL_PROCESS), _line(_LOAD, _NR),
    ]  # fmt: skip
    for call in CALLS.values():
        lines += [_line(_JUMP_EQUAL, call[column], 0, 1), _line(_RETURN, _ALLOW)]
    for call in (MMAP, MPROTECT):  # nothing that is written may be run
        lines += [
            _line(_JUMP_EQUAL, call[column], 0, 4), _line(_LOAD, _ARGUMENT + 2 * 8),
            _line(_JUMP_SET, _PROT_EXEC, 0, 1), _line(_RETURN, _DENY), _line(_RETURN, _ALLOW),
        ]  # fmt: skip
    for call, argument, value in ((TGKILL, 0, own_pid), (NEWFSTATAT, 3, _AT_EMPTY_PATH)):  # abort(); fstat()
        lines += [
            _line(_JUMP_EQUAL, call[column], 0, 4), _line(_LOAD, _ARGUMENT + argument * 8),
            _line(_JUMP_EQUAL, value, 1, 0), _line(_RETURN, _DENY), _line(_RETURN, _ALLOW),
        ]  # fmt: skip
    lines += [_line(_JUMP_EQUAL, CLONE3[column], 0, 1), _line(_RETURN, _ABSENT), _line(_RETURN, _DENY)]
    return b"".join(lines)


def install(libc: ctypes.CDLL) -> None:
    """Put the filter on this process, for good. Raises OSError where the kernel or the machine has none."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError("no table of system calls for this machine")
    lines = program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(lines, len(lines))
    head = struct.pack("HxxxxxxQ", len(lines) // 8, ctypes.addressof(buffer))
    if libc.prctl(_SET_SECCOMP, _FILTER, head, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


def _line(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)
