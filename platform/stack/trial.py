"""`script/test` and `script/bench`: servers of their own, one command, everything stopped afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from stack import Refused, browser, servers
from stack.datadir import DataDir
from stack.supervisor import Stopped, Supervisor, say

TRIALS_AT_ONCE = 8


def test(root: Path, arguments: list[str]) -> int:
    """Run pytest with the embedded servers, and a browser when the end-to-end tests are among the collected."""
    extra = browser.environment(root / "var/browser") if needs_browser(root, arguments) else {}
    return _run(
        root, ["python", "-m", "pytest", *_at_once(arguments), *arguments], folder="test", durable=False, extra=extra
    )


def _at_once(arguments: list[str]) -> list[str]:
    """All tests run on several cores, a few named ones in one process, where they can be watched. What is given by hand
    comes later and wins (`-n 0`)."""
    named = any(Path(word.partition("::")[0]).exists() for word in arguments if not word.startswith("-"))
    cores = min(4, os.cpu_count() or 1)
    return [] if named or cores < 2 else ["-n", str(cores), "--dist", "loadgroup"]


def bench(root: Path, names: list[str]) -> int:
    """Run the benchmarks on servers configured as in operation; they write var/bench.json."""
    return _run(root, ["python", "bench/run.py", *names], folder="bench", durable=True, extra={}, named=True)


def needs_browser(root: Path, arguments: list[str]) -> bool:
    """Whether pytest, given these arguments, will collect tests/e2e."""
    ours = root / "tests/e2e"
    named = [Path(os.path.abspath(word.partition("::")[0])) for word in arguments if not word.startswith("-")]
    paths = [path for path in named if path.exists()]
    return ours.exists() and (not paths or any(ours.is_relative_to(p) or p.is_relative_to(ours) for p in paths))


def _run(
    root: Path, command: list[str], *, folder: str, durable: bool, extra: dict[str, str], named: bool = False
) -> int:
    """Run a command beside servers of its own. With `named` their addresses are in DATABASE_URL and its like too; tests
    start whole stacks of their own and must not hand those addresses on to them."""
    with _data_dir(root, folder) as data, Supervisor(data=data.path, log=data.log) as supervisor:
        try:
            where = servers.resolve(root, os.environ, data.path)
            servers.start(supervisor, data, where, durable=durable)
            if named:
                extra = {**extra, **where.as_environment()}
            code, _ = supervisor.run(command, environ=servers.environment(root, data, **extra), cwd=root)
        except Stopped:
            say("stopping")
            return 130
    return code


@contextlib.contextmanager
def _data_dir(root: Path, name: str) -> Iterator[DataDir]:
    """A data directory nobody else uses at the moment: two runs at once must not share a database."""
    for number in range(1, TRIALS_AT_ONCE + 1):
        data = DataDir(root / "var" / (name if number == 1 else f"{name}-{number}"))
        data.create()
        try:
            data.lock()
        except Refused:
            continue
        servers.end_leftovers(data)
        try:
            yield data
        finally:
            data.unlock()
        return
    raise Refused(f"{TRIALS_AT_ONCE} runs already go on in {root / 'var'}.")
