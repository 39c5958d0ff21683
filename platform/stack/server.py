"""`script/server`: the whole product from one command, in the foreground, until it is stopped."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from pathlib import Path

from stack import Refused, keys, program, servers
from stack.datadir import DataDir, write_private
from stack.supervisor import Stopped, Supervisor, say

READY_LIMIT = 90.0
HOST = "127.0.0.1"


def serve(root: Path, *, port: int, data_path: Path, demo: bool) -> int:
    """Start everything, say when it answers, keep it alive until SIGTERM or Ctrl-C, leave no process.

    Raises Refused with one sentence when it cannot.
    """
    data = DataDir(data_path)
    data.create()
    data.lock()
    ready = data.path / "ready.json"
    ready.unlink(missing_ok=True)
    servers.end_leftovers(data)
    port = free_port(port)
    board = ReadyFile(ready, url=f"http://{HOST}:{port}")
    with contextlib.ExitStack() as exits:
        exits.callback(ready.unlink, missing_ok=True)
        supervisor = exits.enter_context(Supervisor(data=data.path, log=data.log, on_change=board.update))
        try:
            where = servers.resolve(root, os.environ, data.path)
            servers.start(supervisor, data, where)
            keys.record(data.path, **({"DEMO": "1"} if demo else {}))
            environ = servers.environment(root, data, PORT=str(port), **({"DEMO": "1"} if demo else {}))
            board.cast = prepare_database(supervisor, root=root, environ=environ, demo=demo)
            programs = program.from_procfile(root / "Procfile", environ=environ)
            for each in programs:
                supervisor.start(each)
            wait_until_ready(supervisor, port=port, names=[each.name for each in programs])
            board.publish(supervisor.pids())
            with contextlib.suppress(OSError):
                print(f"ready {board.url}", flush=True)
            supervisor.keep()
        except Stopped:
            say("stopping")
    return 0


def prepare_database(supervisor: Supervisor, *, root: Path, environ: dict[str, str], demo: bool) -> dict[str, object]:
    """Bring the schema, the taxonomy and the demo provider up to date; returns the demo's cast."""
    code, said = supervisor.run(
        ["python", "manage.py", "prepare", *(["--demo"] if demo else [])], environ=environ, cwd=root, log="prepare"
    )
    if code:
        raise Refused(f"manage.py prepare failed.\n{said}{supervisor.log_ends('prepare')}")
    return json.loads(said) if demo else {}


def wait_until_ready(supervisor: Supervisor, *, port: int, names: list[str]) -> None:
    """Wait for /readyz to answer 200. Raises Refused with what it said last and the ends of the logs."""
    answers = ["no answer"]

    def is_ready() -> bool:
        status, body = ask(port)
        answers[0] = f"{status} {body}"
        return status == 200

    supervisor.watch(until=lambda: is_ready() or bool(supervisor.hopeless()), limit=READY_LIMIT, every=0.1)
    if not is_ready():
        raise Refused(
            f"The server did not become ready, /readyz says: {answers[0]}\n"
            + supervisor.log_ends(*(supervisor.hopeless() or names))
        )


def ask(port: int) -> tuple[int, str]:
    """What /readyz says: status and the beginning of the body; status 0 while nobody listens."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read(2000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def free_port(port: int) -> int:
    """The port itself, or any free one for 0. Raises Refused when somebody listens there."""
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise Refused(f"Port {port} cannot be used ({error.strerror}): choose another with --port.") from error
        return probe.getsockname()[1]


class ReadyFile:
    """`ready.json`: who is running and, in the demo, with which keys. Written first when everything answers."""

    def __init__(self, path: Path, *, url: str) -> None:
        self.path = path
        self.url = url
        self.cast: dict[str, object] = {}
        self.published = False

    def publish(self, pids: dict[str, int]) -> None:
        """Write it, and from now on at every change."""
        self.published = True
        self.update(pids)

    def update(self, pids: dict[str, int]) -> None:
        """Write the present processes, once published."""
        if self.published:
            try:
                write_private(self.path, json.dumps({"url": self.url, **self.cast, "pids": pids}, indent=1) + "\n")
            except OSError as error:  # a full disk is no reason to stop keeping the processes alive
                say(f"{self.path.name} cannot be written: {error.strerror}")
