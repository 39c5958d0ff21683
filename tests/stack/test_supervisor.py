import itertools
import json
import os
import signal
import sys
import time

import psutil
import pytest

from stack import Refused, program
from stack.datadir import DataDir
from stack.server import ReadyFile, free_port
from tests.stack.keeping import living, until_gone

# Each writes its pid to a file; `family` also has a child in its own session, as Celery's and granian's parents do.
SLEEPER = "import time; time.sleep(600)"
FAMILY = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], \
start_new_session=bool(int(sys.argv[1]))); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def run(keep, tmp_path):
    def start(*options, **programs):
        procfile = tmp_path / "Procfile"
        lines = [f'{name}: "{sys.executable}" -c "{code}" {words}' for name, (code, words) in programs.items()]
        procfile.write_text("# the product\n\n" + "\n".join(lines) + "\n")
        return keep(tmp_path / "var", "--procfile", str(procfile), *options).ready()

    return start


def family_of(keeper, name, size):
    """The process and its descendants, once there are as many as wanted."""
    for _ in range(200):
        leader = psutil.Process(keeper.pids[name])
        family = [leader, *leader.children(recursive=True)]
        if len(family) == size:
            return family
        time.sleep(0.05)
    raise AssertionError(f"{name} has not {size} processes")


@pytest.mark.parametrize("own_session", ["0", "1"])
def test_a_killed_process_starts_again_after_its_family_has_gone(run, own_session):
    keeper = run(family=(FAMILY, own_session), other=(SLEEPER, ""))
    old = family_of(keeper, "family", 2)
    other = keeper.pids["other"]
    os.kill(old[0].pid, signal.SIGKILL)
    keeper.until_replaced("family", old[0].pid)
    assert not any(process.is_running() for process in old)
    assert keeper.pids["other"] == other
    family_of(keeper, "family", 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_leaves_no_process(run, tmp_path, number):
    keeper = run(one=(FAMILY, "1"), two=(SLEEPER, ""))
    family_of(keeper, "one", 2)
    assert len(living(tmp_path / "var")) == 3
    assert keeper.stop(number) == 0
    assert living(tmp_path / "var") == []


def test_one_that_will_not_stop_is_killed_after_its_limit(run, tmp_path):
    keeper = run("--stop-limit", "1", stubborn=(STUBBORN, ""))
    time.sleep(0.5)  # it has to get as far as ignoring the signal; earlier it would simply end
    begun = time.monotonic()
    assert keeper.stop() == 0
    assert time.monotonic() - begun > 0.9
    assert living(tmp_path / "var") == []


def test_one_that_is_paused_is_stopped(run, tmp_path):
    keeper = run(one=(SLEEPER, ""))
    os.kill(keeper.pids["one"], signal.SIGSTOP)
    begun = time.monotonic()
    assert keeper.stop() == 0
    assert time.monotonic() - begun < 5
    assert living(tmp_path / "var") == []


def test_nothing_outlives_a_killed_supervisor(run, tmp_path):
    keeper = run(one=(SLEEPER, ""), two=(SLEEPER, ""))
    keeper.stop(signal.SIGKILL)
    assert until_gone(tmp_path / "var", limit=5) == []


def test_what_outlived_a_killed_supervisor_is_ended_by_the_next(run, tmp_path):
    """A child that ignores its parent's death, and a grandchild that never hears of it."""
    first = run(stubborn=(STUBBORN, ""), family=(FAMILY, "1"))
    left = [first.pids["stubborn"], *(process.pid for process in family_of(first, "family", 2))]
    time.sleep(0.5)  # as above
    first.stop(signal.SIGKILL)
    second = run(stubborn=(SLEEPER, ""))
    now = {process.pid for process in living(tmp_path / "var")}
    assert now.isdisjoint(left)
    assert now == {second.pids["stubborn"]}


def test_one_that_always_dies_is_started_ever_less_often(run, tmp_path):
    starts = tmp_path / "starts"
    run(failing=(f"import time; open('{starts}', 'a').write(str(time.time()) + chr(10)); raise SystemExit(3)", ""))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (not starts.exists() or len(starts.read_text().split()) < 5):
        time.sleep(0.05)
    times = [float(word) for word in starts.read_text().split()]
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert len(pauses) >= 4
    assert pauses[3] > 2 * pauses[0]


def test_what_they_say_goes_to_their_logs(run, tmp_path):
    keeper = run(talker=("print('said', flush=True); import time; time.sleep(600)", ""))
    log = tmp_path / "var/log/talker.log"
    for _ in range(100):
        if "said" in log.read_text():
            break
        time.sleep(0.05)
    assert log.read_text() == "said\n"
    assert log.stat().st_mode & 0o077 == 0
    keeper.stop()


@pytest.mark.parametrize("line", ["web granian", "web:", ": granian", "web: granian --port $NOT_SET", 'web: "open'])
def test_a_procfile_that_cannot_be_understood_is_refused_with_its_line(tmp_path, line):
    (tmp_path / "Procfile").write_text(f"# comment\n{line}\n")
    with pytest.raises(Refused, match="line 2"):
        program.from_procfile(tmp_path / "Procfile", environ={})


def test_a_procfile_takes_values_from_the_environment(tmp_path):
    (tmp_path / "Procfile").write_text("web: serve --port $PORT 'two words'\n")
    [web] = program.from_procfile(tmp_path / "Procfile", environ={"PORT": "81"})
    assert (web.name, web.command) == ("web", ["serve", "--port", "81", "two words"])
    assert web.cwd == tmp_path


def test_two_servers_on_one_data_directory_are_refused(run, tmp_path):
    keeper = run(one=(SLEEPER, ""))
    with pytest.raises(Refused, match=f"process {keeper.process.pid}"):
        DataDir(tmp_path / "var").lock()
    keeper.stop(signal.SIGKILL)
    DataDir(tmp_path / "var").lock()


def test_a_busy_port_is_refused():
    free = free_port(0)
    assert free_port(free) == free
    import socket

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(Refused, match="--port"):
            free_port(busy.getsockname()[1])


def test_the_ready_file_is_written_when_published_and_at_every_change_after(tmp_path):
    board = ReadyFile(tmp_path / "ready.json", url="http://127.0.0.1:1")
    board.cast = {"api_key": "k"}
    board.update({"web": 1})
    assert not board.path.exists()
    board.publish({"web": 1})
    board.update({"web": 2})
    assert json.loads(board.path.read_text()) == {"url": "http://127.0.0.1:1", "api_key": "k", "pids": {"web": 2}}
    assert board.path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [board.path]
