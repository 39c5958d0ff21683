"""The user under whom PostgreSQL runs. It refuses root; every other user runs it as he is.

For root there are two ways: a user namespace in which root's own files belong to somebody else, and, where the kernel
or a container refuses that, the user `nobody` with directories that he owns and can reach.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from stack import Refused, addresses
from stack.children import LIBC

CLONE_NEWUSER = 0x10000000


class Owner:
    """An ordinary user: nothing to change."""

    uid = os.geteuid()
    gid = os.getegid()

    def become(self) -> None:
        """Called in the child, before it turns into PostgreSQL."""

    def home(self, data: Path) -> Path:
        """The directory below which this user can have the database of a data directory."""
        return data

    def program(self, installation: Path, home: Path) -> Path:
        """The PostgreSQL installation as this user can reach it."""
        return installation


class NamespaceOwner(Owner):
    """Root, seen as somebody else from inside a user namespace: files stay root's, nobody's permissions are opened."""

    def __init__(self) -> None:
        self.uid, self.gid = os.geteuid(), os.getegid()
        # initdb looks its user up, so the number inside must have a name on this machine.
        self.inside = _somebody()

    def become(self) -> None:
        """Leave root behind. Raises OSError where namespaces are refused."""
        if LIBC.unshare(CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "unshare")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{self.inside.pw_uid} {self.uid} 1")
        _write("/proc/self/gid_map", f"{self.inside.pw_gid} {self.gid} 1")


class NobodyOwner(Owner):
    """Another user: root gives up its rights for good, and the database's directories belong to him."""

    def __init__(self) -> None:
        self.user = _somebody()
        self.uid, self.gid = self.user.pw_uid, self.user.pw_gid

    def become(self) -> None:
        """Leave root behind."""
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)

    def home(self, data: Path) -> Path:
        """The data directory where its parents let others pass; else a directory that root keeps for it."""
        if _passable(data.parent):
            data.chmod(0o711)  # others may pass through, not look
            return data
        home = Path("/var/lib") / f"mingjian-{addresses.digest(data)}"
        home.mkdir(mode=0o755, exist_ok=True)
        return home

    def program(self, installation: Path, home: Path) -> Path:
        """The installation itself, or a copy when it lies where others cannot pass (a virtualenv below /root)."""
        postgres = installation / "bin/postgres"
        if _passable(installation) and postgres.stat().st_mode & 0o001:
            return installation
        # The size tells a new version's binary from the copied one.
        copy = home / f"program-{postgres.stat().st_size}"
        if not copy.exists():
            unfinished = copy.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)
            package = installation.parent
            # The programs look for their libraries in a neighbour of the package: the places must stay relative.
            libraries = package.with_name(f"{package.name}.libs")
            shutil.copytree(installation, unfinished / package.name / installation.name, symlinks=True)
            if libraries.exists():
                shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            for path in (unfinished, *unfinished.rglob("*")):
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.parent.name == "bin" else 0o444))
            unfinished.rename(copy)
        return copy / installation.parent.name / installation.name


def find(installation: Path) -> Owner:
    """The owner that works here. Raises Refused when PostgreSQL's binary cannot run at all."""
    postgres = installation / "bin/postgres"
    if os.geteuid() != 0:
        _try(postgres, Owner())
        return Owner()
    with contextlib.suppress(subprocess.SubprocessError, OSError, Refused):
        owner = NamespaceOwner()
        _try(postgres, owner)
        return owner
    return NobodyOwner()


def give(path: Path, owner: Owner) -> None:
    """Make a file, or a directory with all it holds, the owner's, if it isn't: another way of starting was used."""
    if os.geteuid() != 0 or path.stat().st_uid == owner.uid:
        return
    os.chown(path, owner.uid, owner.gid)
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), owner.uid, owner.gid, follow_symlinks=False)


def _try(postgres: Path, owner: Owner) -> None:
    ran = subprocess.run(
        [postgres, "--version"],
        preexec_fn=owner.become,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if ran.returncode:
        reason = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Refused(f"The embedded PostgreSQL does not run on this system: {reason[-1] if reason else 'no reason'}.")


def _somebody() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("nobody")
    for user in pwd.getpwall():
        if user.pw_uid != 0:
            return user
    raise Refused("PostgreSQL refuses to run as root, and this system has no other user to run it.")


def _passable(path: Path) -> bool:
    """Whether every directory on the way lets others pass."""
    path = Path(os.path.realpath(path))
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
