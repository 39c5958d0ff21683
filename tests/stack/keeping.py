"""A supervisor in a process of its own, and ways to look at what it runs."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg

from stack import addresses, children

PLATFORM = Path(__file__).resolve().parents[2] / "platform"
# What a supervisor would take from the environment of the test run instead of its own data directory.
OURS = ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "MINGJIAN_DATA", "SECRET_KEY", "FIELD_KEY", "DIGEST_KEY")
KEEPER = Path(__file__).with_name("keeper.py")


class Keeper:
    """A running keeper.py, with what it printed."""

    def __init__(self, data: Path, *options: str, paths: tuple[Path, ...] = (PLATFORM,)) -> None:
        self.data = data
        self.pids: dict[str, int] = {}
        environ = {name: value for name, value in os.environ.items() if name not in OURS}
        environ["PYTHONPATH"] = os.pathsep.join(map(str, paths))
        self.process = subprocess.Popen(
            [sys.executable, "-P", KEEPER, data, *options],
            env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        self.lines: queue.Queue[str] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line.strip())
        self.lines.put("")

    def until(self, wanted: Callable[[str], bool], *, limit: float = 30) -> None:
        """Read what it prints until a line is the wanted one."""
        deadline = time.monotonic() + limit
        while True:
            line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if line.startswith("{"):
                self.pids = json.loads(line)
            if wanted(line):
                return
            assert line, f"the keeper ended: {self.process.stderr.read()}"

    def ready(self) -> Keeper:
        """Wait until everything is up."""
        self.until(lambda line: line == "ready")
        return self

    def until_replaced(self, name: str, old: int) -> int:
        """Wait until a program has another process than the old one."""
        self.until(lambda line: self.pids.get(name, old) != old)
        return self.pids[name]

    def connect(self) -> psycopg.Connection:
        """Connect to its database, waiting while it starts."""
        where = addresses.resolve(Path("/nowhere"), {"MINGJIAN_DATA": str(self.data)}).django_database()
        for _ in range(200):
            try:
                return psycopg.connect(
                    host=where["HOST"], user=where["USER"], dbname=where["NAME"], autocommit=True
                )  # fmt: skip
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError("the database does not come up")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def living(data: Path) -> list[psutil.Process]:
    """The processes that belong to a data directory, whoever is their parent now."""
    homes = [data / name for name in ("postgres", "valkey", "cache")]
    return children.belonging_to(data, homes=homes)


def until_gone(data: Path, *, limit: float = 15) -> list[psutil.Process]:
    """What is still there after some time, which should be nothing."""
    deadline = time.monotonic() + limit
    while (left := living(data)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
