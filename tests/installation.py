"""A whole installation of its own, started by script/server as a user would, with short leases so that recovery is seen.
The browser tests and the fault tests share it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

ROOT = Path(__file__).resolve().parents[1]
BRAKE_LEAST = 20
LEASE = 4


class Stack:
    """A running installation: its address, its processes, its database."""

    def __init__(self, data: Path, port: int, child: subprocess.Popen[str]):
        self.data, self.port, self.child = data, port, child
        self.url = f"http://127.0.0.1:{port}"

    @property
    def ready(self) -> dict[str, Any]:
        return json.loads((self.data / "ready.json").read_text(encoding="utf-8"))

    def pid(self, name: str) -> int:
        return self.ready["pids"][name]

    def database(self) -> psycopg.Connection[Any]:
        from stack.addresses import resolve

        given = resolve(ROOT, {"MINGJIAN_DATA": str(self.data)}).django_database()
        return psycopg.connect(
            host=given["HOST"],
            dbname=given["NAME"],
            user=given.get("USER") or None,
            autocommit=True,  # type: ignore[arg-type]
        )

    def broker(self) -> Any:
        from redis import Redis

        from stack.addresses import resolve

        return Redis.from_url(resolve(ROOT, {"MINGJIAN_DATA": str(self.data)}).broker_client_url)

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, float]:
        request = urllib.request.Request(
            self.url + path,
            data=body,
            headers={"Authorization": f"Bearer {self.ready['api_key']}", "Content-Type": "application/json", **headers},
        )
        started = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read(), time.perf_counter() - started
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read(), time.perf_counter() - started

    def wait_ready(self, limit: float = 60) -> None:
        until = time.monotonic() + limit
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                if self.call("/readyz")[0] == 200:
                    return
            time.sleep(0.2)
        raise AssertionError(f"not ready again within {limit} s: {self.call('/readyz')}")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def group(pid: int, sig: int) -> None:
    """Signal a whole process group."""
    os.killpg(os.getpgid(pid), sig)


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    data = Path(tempfile.mkdtemp(prefix="mj-fault-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        name: value
        for name, value in os.environ.items()
        if name
        not in ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "SECRET_KEY", "FIELD_KEY", "DIGEST_KEY", "MINGJIAN_DATA")
    }
    environment |= {
        "CHECK_MODULES": "tests.fault.poison",
        "MINGJIAN_SCREENING_LEASE": str(LEASE),
        "MINGJIAN_WEBHOOK_BACKOFF": "0.3",
        # So wide that only the test of the brake pulls it.
        "MINGJIAN_BRAKE_LEAST": str(BRAKE_LEAST),
        "MINGJIAN_BRAKE_SHARE": "0.5",
        "PYTHON": sys.executable,
    }
    log = (data / "server.log").open("w+", encoding="utf-8")
    child = subprocess.Popen(
        [str(ROOT / "script" / "server"), "--port", str(port), "--data", str(data)],
        stdout=log, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    running = Stack(data, port, child)
    try:
        until = time.monotonic() + 150
        while not (data / "ready.json").exists() or f"ready {running.url}" not in (data / "server.log").read_text():
            assert child.poll() is None, (data / "server.log").read_text()
            assert time.monotonic() < until, (data / "server.log").read_text()
            time.sleep(0.2)
        pids = running.ready["pids"]
        yield running
        pids |= running.ready["pids"]
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(40)
        except subprocess.TimeoutExpired:
            group(child.pid, signal.SIGKILL)
            raise
        finally:
            log.close()
    left = {name: pid for name, pid in pids.items() if alive(pid)}
    assert not left, f"processes outlived their supervisor: {left}"
    shutil.rmtree(data, ignore_errors=True)
