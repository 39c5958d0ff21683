"""Supervisors for the tests, each in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack import addresses, children
from tests.stack.keeping import Keeper, living


@pytest.fixture
def keep() -> Iterator[Callable[..., Keeper]]:
    """Starts keepers and ends them, and whatever a failing test left of them."""
    keepers: list[Keeper] = []

    def start(data: Path, *options: str, **more: tuple[Path, ...]) -> Keeper:
        keepers.append(Keeper(data, *options, **more))
        return keepers[-1]

    yield start
    running = [keeper for keeper in keepers if keeper.process.poll() is None]
    for keeper in running:
        keeper.process.terminate()
    for keeper in running:
        try:
            keeper.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            keeper.process.kill()
    for keeper in keepers:
        children.end(living(keeper.data), patience=0)
        short = addresses.run_dir(keeper.data)
        if short.parent == Path("/tmp"):
            shutil.rmtree(short, ignore_errors=True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that every user can reach; pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="mj-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
