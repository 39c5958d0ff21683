"""Makes the virtualenv of a bare checkout and installs what the requirements name, once. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from stack import Refused

STAMP = "mingjian-installed.json"


def environment(root: Path) -> Path:
    """The virtualenv's directory."""
    return root / ".venv"


def interpreter(root: Path) -> Path:
    """The virtualenv's Python."""
    return environment(root) / "bin" / "python"


def is_inside(root: Path) -> bool:
    """Whether this process already runs in the checkout's virtualenv."""
    return Path(sys.prefix).resolve() == environment(root).resolve()


def prepare(root: Path, requirements: list[str]) -> None:
    """Make the virtualenv if it is missing or broken, install the requirements whose files changed since the last time.

    When nothing changed, nothing is run but one look at a file. Raises Refused with the reason when pip or venv fail.
    """
    if _is_current(root, requirements):
        return
    with _one_at_a_time(root):  # another start may have done it while this one waited
        if not _works(interpreter(root)):
            _make(root)
        if not _is_current(root, requirements):
            _install(root, requirements)


def _is_current(root: Path, requirements: list[str]) -> bool:
    installed = _read_stamp(root)
    return interpreter(root).exists() and all(installed.get(name) == _fingerprint(root, name) for name in requirements)


def _fingerprint(root: Path, name: str) -> str:
    """The hash of a requirements file and of those that it includes with -r."""
    text = (root / name).read_text("utf-8")
    included = [line.split()[1] for line in text.splitlines() if line.startswith("-r ")]
    return hashlib.sha256("".join([text, *(_fingerprint(root, other) for other in included)]).encode()).hexdigest()


def _read_stamp(root: Path) -> dict[str, str]:
    try:
        stamp = json.loads((environment(root) / STAMP).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _works(python: Path) -> bool:
    """Whether the virtualenv's Python still runs, is new enough and has pip: the one it was made from may be gone."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _make(root: Path) -> None:
    version = ".".join(str(number) for number in sys.version_info[:3])
    say(f"making {environment(root).name} with Python {version}")
    made = subprocess.run(
        # Not sys.executable: when a broken virtualenv runs this, that one is about to be removed.
        [getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--clear", environment(root)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if made.returncode:
        if "ensurepip" in made.stdout + made.stderr:
            raise Refused(
                f"This Python {version} cannot make a virtualenv: install its venv module "
                "(on Debian and Ubuntu the package python3-venv) and start again."
            )
        said = (made.stderr or made.stdout).strip().splitlines()
        raise Refused(f"Making {environment(root)} failed: {said[-1] if said else 'no reason given'}")


def _install(root: Path, requirements: list[str]) -> None:
    installed = _read_stamp(root)
    wanted = {name: _fingerprint(root, name) for name in requirements}
    changed = [name for name in requirements if installed.get(name) != wanted[name]]
    say(f"installing {' and '.join(changed)} (once, about half a minute)")
    command = [str(interpreter(root)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", *(part for name in changed for part in ("-r", str(root / name)))]
    process = subprocess.Popen(
        command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    lines = list(_with_progress(process.stdout or ()))
    if process.wait():
        failed = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise Refused("pip could not install the requirements: " + " ".join(failed[-2:]).strip())
    stamp = environment(root) / STAMP
    temporary = stamp.with_suffix(".new")
    temporary.write_text(json.dumps({**installed, **wanted}, indent=1) + "\n", "utf-8")
    os.replace(temporary, stamp)


def _with_progress(output: Iterable[str]) -> Iterator[str]:
    """pip's lines, counting aloud what it fetches, every few seconds at most."""
    count, spoken = 0, time.monotonic()
    for line in output:
        yield line.rstrip()
        if line.startswith("Collecting "):
            count += 1
            if time.monotonic() - spoken > 3:
                spoken = time.monotonic()
                say(f"  {count} packages, now {line.split()[1]}")
        elif line.startswith("Installing collected packages"):
            say(f"  putting {count} packages in place")


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def say(text: str) -> None:
    """Tell the person at the terminal what takes so long."""
    print(f"mingjian: {text}", file=sys.stderr, flush=True)
