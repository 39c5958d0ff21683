"""Landlock: this process opens no file any more, binds and connects no TCP port, signals nobody outside (M10)."""

from __future__ import annotations

import ctypes
import struct

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same numbers on every architecture
_QUERY_VERSION = 1
# What the kernel of each ABI version knows to deny: file access, network access, scopes.
_FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK = 0b11  # since 4
_SCOPES = 0b11  # since 6: abstract sockets, signals


def version(libc: ctypes.CDLL) -> int:
    """The ABI version of the kernel; 0 where there is no Landlock."""
    answer: int = libc.syscall(_CREATE_RULESET, None, 0, _QUERY_VERSION)
    return max(0, answer)


def deny_everything(libc: ctypes.CDLL) -> None:
    """A rule set without a rule. Needs NO_NEW_PRIVS. Raises OSError where there is no Landlock."""
    abi = version(libc)
    if not abi:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    attributes = struct.pack("Q", _FILES[max(known for known in _FILES if known <= abi)])
    if abi >= 4:
        attributes += struct.pack("Q", _NETWORK)
    if abi >= 6:
        attributes += struct.pack("Q", _SCOPES)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    if libc.syscall(_RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
