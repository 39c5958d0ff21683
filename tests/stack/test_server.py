"""The whole product through script/server: from nothing, killed, started again."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from stack import addresses, children
from tests.stack.keeping import OURS, living, until_gone

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "script/server"
pytestmark = pytest.mark.timeout(300)


def outside():
    """The environment of a person who has just opened a terminal."""
    return {name: value for name, value in os.environ.items() if name not in (*OURS, "DEMO")}


class Server:
    """One script/server on a port of its own."""

    def __init__(self, data, *options, **environ):
        self.data = data
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by the fixture)
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [SERVER, "--port", "0", "--data", data, *options],
            env={**outside(), **environ},
            stdout=self.output, stderr=subprocess.STDOUT, cwd="/",
        )  # fmt: skip

    def said(self):
        self.output.seek(0)
        return self.output.read()

    def ready(self, limit=150):
        while "\nready http" not in "\n" + self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() - self.begun < limit, self.said()
            time.sleep(0.05)
        self.seconds = time.monotonic() - self.begun
        return self

    def told(self):
        return json.loads((self.data / "ready.json").read_text())

    def answers(self):
        with urllib.request.urlopen(self.told()["url"] + "/readyz", timeout=10) as answer:
            return answer.status

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(*options, **environ):
        servers.append(Server(tmp_path / "var", *options, **environ))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()
        server.output.close()
    children.end(living(tmp_path / "var"), patience=0)


def test_from_nothing_through_kill_9_to_a_second_start(serve, tmp_path):
    data = tmp_path / "var"
    server = serve().ready()
    told = server.told()
    assert set(told) == {"url", "api_key", "webhook_secret", "staff", "pids"}
    assert {"web", "worker", "relay", "beat", "postgres", "valkey", "supervisor"} <= set(told["pids"])
    assert {person["role"] for person in told["staff"]} >= {"moderator", "senior_moderator", "identity_admin", "admin"}
    assert (data / "ready.json").stat().st_mode & 0o777 == 0o600
    assert server.said().splitlines()[-1] == f"ready {told['url']}"
    assert server.answers() == 200

    for name in ("web", "postgres", "worker"):
        os.kill(told["pids"][name], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(server.told()["pids"].get(name) in (None, told["pids"][name]) for name in ("web", "postgres", "worker")):
        assert time.monotonic() < deadline, server.said()
        time.sleep(0.05)

    second = serve("--no-demo")
    assert second.process.wait(timeout=30) == 1
    assert "already uses" in second.said()
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    assert until_gone(data, limit=30) == []

    again = serve().ready()
    # Others' work on the same cores is not this start's; alone it takes half of the ten seconds.
    assert again.seconds < 10 * max(1, os.getloadavg()[0] / os.cpu_count()), again.said()
    assert again.answers() == 200
    assert again.told()["api_key"] == told["api_key"]
    assert "static file" not in (data / "log/prepare.log").read_text()
    assert again.stop(signal.SIGINT) == 0
    assert living(data) == []
    assert not (data / "ready.json").exists()


def test_given_servers_replace_the_embedded_ones_and_commands_by_hand_find_the_secrets(serve, keep, tmp_path):
    """Without the demo, so that this also shows that nobody is let in who should not be."""
    others = keep(tmp_path / "others", "--servers").ready()
    where = addresses.resolve(ROOT, {"MINGJIAN_DATA": str(others.data)}).as_environment()
    server = serve("--no-demo", **where).ready()
    told = server.told()
    assert set(told) == {"url", "pids"}
    assert {"postgres", "valkey", "cache"}.isdisjoint(told["pids"])
    assert server.answers() == 200
    for name in ("web", "worker"):
        assert "DEMO" not in psutil.Process(told["pids"][name]).environ()
    with others.connect() as connection:
        assert connection.execute("SELECT count(*) FROM django_migrations").fetchone()[0] > 0
        assert connection.execute("SELECT count(*) FROM accounts_staff").fetchone() == (0,)

    code = "from django.conf import settings; print(settings.FIELD_KEYS['1'])"
    ran = subprocess.run(
        [sys.executable, ROOT / "manage.py", "shell", "--no-imports", "-c", code],
        env={**outside(), **where, "MINGJIAN_DATA": str(server.data)},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert f"FIELD_KEY={ran.stdout.strip()}\n" in (server.data / "secrets.env").read_text()
    assert server.stop() == 0
    assert living(server.data) == []
    assert living(others.data)


def test_a_busy_port_is_refused_before_anything_is_started(tmp_path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        ran = subprocess.run(
            [SERVER, "--port", port, "--data", tmp_path], capture_output=True, encoding="utf-8", check=False
        )
    assert ran.returncode == 1
    assert ran.stderr == f"mingjian: Port {port} cannot be used (Address already in use): choose another with --port.\n"
    assert not (tmp_path / "postgres").exists()
