"""One process that starts the others, starts again what dies, and leaves none behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Self

import psutil

from stack import Refused, children
from stack.program import Program

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
STEADY_AFTER = 30.0  # seconds of life after which a death counts as the first again
HOPELESS = 4  # deaths during a start
HELPER_LIMIT = 15.0
LOG_LIMIT = 20 * 1024 * 1024
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """Somebody asked this process to stop."""


@dataclass
class Keeping:
    """A program and its present process, if it has one."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    delay: float = FIRST_DELAY
    deaths: int = 0

    @property
    def pid(self) -> int:
        """The process's number, 0 while there is none."""
        return self.process.pid if self.process is not None else 0


class Supervisor:
    """Keeps programs alive. A context manager: leaving it stops all of them and whatever they left.

    Single-threaded on purpose: the parent-death signal is bound to the thread that forked, and a fork of a threaded
    process may hang.
    """

    def __init__(
        self, *, data: Path, log: Path, on_change: Callable[[dict[str, int]], None] = lambda pids: None
    ) -> None:
        self.data = data
        self.log = log
        self.on_change = on_change
        self.kept: dict[str, Keeping] = {}
        self.helper: subprocess.Popen[bytes] | None = None
        self.asked_to_stop = 0  # or the signal's number

    def __enter__(self) -> Self:
        children.adopt_orphans()
        self.wake_read, self.wake_write = os.pipe()
        for end in (self.wake_read, self.wake_write):
            os.set_blocking(end, False)
        self.old_wakeup = signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        self.old_handlers = {signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda number, frame: None)}
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN or number is not signal.SIGHUP:  # nohup stays nohup
                self.old_handlers[number] = signal.signal(number, self._ask_to_stop)
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.stop()
        finally:
            signal.set_wakeup_fd(self.old_wakeup)
            for number, handler in self.old_handlers.items():
                signal.signal(number, handler)
            os.close(self.wake_read)
            os.close(self.wake_write)

    def start(self, program: Program) -> None:
        """Start a program and keep it from now on."""
        self.kept[program.name] = Keeping(program)
        self._launch(self.kept[program.name])

    def wait_ready(self, *names: str, limit: float) -> None:
        """Wait until these programs answer. Raises Refused with the end of the log when one does not in time."""

        def missing() -> list[str]:
            kept = [self.kept[name] for name in names]
            return [each.program.name for each in kept if not each.pid or not each.program.is_ready(each.pid)]

        self.watch(until=lambda: not missing() or bool(self.hopeless()), limit=limit)
        if failed := missing():
            raise Refused(f"{' and '.join(failed)} did not start.\n{self.log_ends(*failed)}")

    def hopeless(self) -> list[str]:
        """The programs that died so often that waiting for them to come up is of no use."""
        return [name for name, kept in self.kept.items() if kept.deaths >= HOPELESS]

    def watch(
        self, *, until: Callable[[], bool] = lambda: False, limit: float | None = None, every: float = 0.05
    ) -> bool:
        """Keep the programs alive until something holds (True) or the limit is over (False).

        Raises Stopped when this process is asked to stop.
        """
        deadline = time.monotonic() + limit if limit is not None else float("inf")
        waits_forever = limit is None and every <= 0
        while True:
            self._collect()
            if self.asked_to_stop:
                raise Stopped
            self._launch_due()
            if until():
                return True
            now = time.monotonic()
            if now >= deadline:
                return False
            due = min((kept.due for kept in self.kept.values() if kept.process is None), default=float("inf"))
            pause = min(due, deadline, float("inf") if waits_forever else now + every) - now
            self._sleep(None if pause == float("inf") else max(pause, 0.0))

    def keep(self) -> None:
        """Keep the programs alive until asked to stop. Raises Stopped then."""
        self.watch(every=0)

    def run(
        self, command: Sequence[str], *, environ: Mapping[str, str], cwd: Path, log: str | None = None
    ) -> tuple[int, str]:
        """Run a command to its end, keeping the programs alive meanwhile; returns its exit code and standard output.

        With `log` what it says on standard error goes there; without, it has our terminal and nothing is captured.
        """
        with contextlib.ExitStack() as files:
            if log:
                self._log_path(log).unlink(missing_ok=True)  # its end is shown when the command fails: only this run's
            captured = files.enter_context(tempfile.TemporaryFile()) if log else None
            errors = files.enter_context(self._open_log(log)) if log else None
            self.helper = children.spawn(
                command,
                environ={**environ, children.MARK: str(self.data)},
                cwd=cwd,
                death_signal=signal.SIGTERM,
                stdin=subprocess.DEVNULL if log else None,
                stdout=captured,
                stderr=errors,
                own_session=log is not None,  # a debugger in a test needs the terminal's own session
            )
            try:
                helper = self.helper
                self.watch(until=lambda: helper.returncode is not None, every=0.5)
            finally:
                self._end_helper()
            said = b""
            if captured is not None:
                captured.seek(0)
                said = captured.read()
            return helper.returncode, said.decode("utf-8", "replace")

    def pids(self) -> dict[str, int]:
        """The present process of each program, and our own."""
        living = {name: kept.pid for name, kept in self.kept.items() if kept.pid}
        return {**living, "supervisor": os.getpid()}

    def log_ends(self, *names: str, lines: int = 15) -> str:
        """The last lines of the programs' logs, for a person who wants to know why."""
        return "\n".join(f"--- {self._log_path(name)}\n{tail(self._log_path(name), lines)}" for name in names)

    def stop(self) -> None:
        """Stop everything, the users of the servers first and the database last; whatever is left then is killed."""
        for stage in sorted({kept.program.stage for kept in self.kept.values()}):
            self._stop_stage([kept for kept in self.kept.values() if kept.program.stage == stage])
        self.kept.clear()
        children.end_descendants()

    def _stop_stage(self, group: list[Keeping]) -> None:
        for kept in group:
            if kept.pid:
                children.send(kept.pid, kept.program.stop_signal)
                children.send_to_group(kept.pid, signal.SIGCONT)  # a paused process would not hear it
        begun = time.monotonic()
        while running := [kept for kept in group if kept.pid]:
            for kept in running:
                if time.monotonic() - begun > kept.program.stop_limit:
                    say(f"{kept.program.name} did not stop within {kept.program.stop_limit:.0f} s and is killed")
                    children.send_to_group(kept.pid, signal.SIGKILL)
            self._sleep(0.1)
            self._collect(restart=False)

    def _launch(self, kept: Keeping) -> None:
        program = kept.program
        program.before_start()
        with self._open_log(program.name) as log:
            kept.process = children.spawn(
                program.command,
                environ={**program.environ, children.MARK: str(self.data)},
                cwd=program.cwd,
                death_signal=program.stop_signal,
                stdout=log,
                stderr=log,
                become=program.become,
            )
        kept.started = time.monotonic()
        self.on_change(self.pids())

    def _launch_due(self) -> None:
        for kept in self.kept.values():
            if kept.process is None and time.monotonic() >= kept.due:
                try:
                    self._launch(kept)
                except (OSError, Refused, subprocess.SubprocessError, psutil.Error) as error:
                    say(f"{kept.program.name} cannot be started again yet: {error}")
                    self._postpone(kept)

    def _collect(self, *, restart: bool = True) -> None:
        """Take note of the processes that ended, and end what they left."""
        ended = children.reap()
        if self.helper is not None and self.helper.pid in ended:
            self.helper.returncode = ended[self.helper.pid]
        died = [kept for kept in self.kept.values() if kept.pid in ended]
        for kept in died:
            self._bury(kept, ended[kept.pid], restart=restart)
        if died:
            self._end_strays()
            self.on_change(self.pids())

    def _bury(self, kept: Keeping, code: int, *, restart: bool) -> None:
        children.send_to_group(kept.pid, signal.SIGKILL)
        if kept.process is not None:
            kept.process.returncode = code  # collected by us; Popen would ask the system again
        kept.process = None
        kept.deaths += 1
        if time.monotonic() - kept.started > STEADY_AFTER:
            kept.delay = FIRST_DELAY
        if restart:
            say(f"{kept.program.name} ended ({reason(code)}), starts again in {kept.delay:.1f} s")
        self._postpone(kept)

    def _end_strays(self) -> None:
        leaders = [kept.pid for kept in self.kept.values() if kept.pid]
        if self.helper is not None:
            leaders.append(self.helper.pid)
        for process in children.strays(leaders):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _postpone(self, kept: Keeping) -> None:
        kept.due = time.monotonic() + kept.delay
        kept.delay = min(kept.delay * 2, LONGEST_DELAY)

    def _end_helper(self) -> None:
        """Stop the command that `run` started, if it still goes on."""
        helper = self.helper
        if helper is not None and helper.returncode is None:
            # Ctrl-C reached everybody at the terminal already; a second one would cut the command's own ending short.
            if not (self.asked_to_stop == signal.SIGINT and os.isatty(0)):
                children.send(helper.pid, signal.SIGINT)
            deadline = time.monotonic() + HELPER_LIMIT
            while helper.returncode is None and time.monotonic() < deadline:
                self._sleep(0.1)
                self._collect(restart=False)
            children.send(helper.pid, signal.SIGKILL)
        self.helper = None

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_stop = number

    def _sleep(self, seconds: float | None) -> None:
        """Wait for a signal, a child's end among them, or for some time."""
        select.select([self.wake_read], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wake_read, 512):
                pass

    def _open_log(self, name: str) -> IO[bytes]:
        path = self._log_path(name)
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")

    def _log_path(self, name: str) -> Path:
        return self.log / f"{name}.log"


def tail(path: Path, lines: int) -> str:
    """The last lines of a file, or nothing."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 16384))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    return ""


def reason(code: int) -> str:
    """An exit code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def say(text: str) -> None:
    """Tell the person at the terminal, who may have left."""
    with contextlib.suppress(OSError):
        print(f"mingjian: {text}", file=sys.stderr, flush=True)
