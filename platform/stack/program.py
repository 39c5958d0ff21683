"""What the supervisor keeps alive: a name, a command, and how to stop it; and the Procfile that lists the product's."""

from __future__ import annotations

import os
import shlex
import signal
import string
from collections.abc import Mapping
from pathlib import Path

from stack import Refused


class Program:
    """One long-running process. Servers override what they need more than a command for."""

    stage = 0  # programs stop stage by stage: first what uses the servers, the database last
    stop_signal = signal.SIGTERM
    stop_limit = 15.0  # seconds before it is killed

    def __init__(self, name: str, command: list[str], *, environ: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        self.command = command
        self.environ = dict(environ)
        self.cwd = cwd

    def before_start(self) -> None:
        """Put everything in place for a start, also after a kill -9. Called before each start."""

    def become(self) -> None:
        """Called in the child before it turns into the program."""

    def is_ready(self, pid: int) -> bool:
        """Whether the process answers."""
        return True


def from_procfile(path: Path, *, environ: Mapping[str, str]) -> list[Program]:
    """The programs of a Procfile: `name: command` a line, $NAME replaced from the environment, no shell in between.

    Raises Refused for a line or a name that cannot be understood.
    """
    programs = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, command = line.partition(":")
        try:
            words = [string.Template(word).substitute(environ) for word in shlex.split(command)]
        except (KeyError, ValueError) as error:
            raise Refused(f"{path.name} line {number} cannot be understood: {error}.") from error
        if not colon or not words or not name.strip().isidentifier():
            raise Refused(f"{path.name} line {number} is not of the form 'name: command'.")
        programs.append(Program(name.strip(), words, environ=environ, cwd=Path(os.path.abspath(path)).parent))
    return programs
