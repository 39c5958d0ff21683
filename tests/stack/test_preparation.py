import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stack import Refused, preparation, trial

ROOT = Path(__file__).resolve().parents[2]


def write_program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\n# nothing\n")
    return tmp_path


@pytest.fixture
def no_processes(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def test_a_second_start_runs_nothing(checkout, monkeypatch, request):
    preparation.prepare(checkout, ["requirements.txt"])
    assert preparation.interpreter(checkout).exists()
    request.getfixturevalue("no_processes")
    preparation.prepare(checkout, ["requirements.txt"])
    (checkout / "requirements.txt").write_text("# something else\n")
    with pytest.raises(AssertionError, match="pip"):
        preparation._install(checkout, ["requirements.txt"])
    with pytest.raises(AssertionError, match="started"):
        preparation.prepare(checkout, ["requirements.txt"])


def test_a_change_in_an_included_file_counts(checkout):
    before = preparation._fingerprint(checkout, "requirements-dev.txt")
    (checkout / "requirements.txt").write_text("# changed\n")
    assert preparation._fingerprint(checkout, "requirements-dev.txt") != before


def test_a_broken_virtualenv_is_made_anew(checkout):
    broken = preparation.environment(checkout) / "bin"
    broken.mkdir(parents=True)
    (broken / "python").symlink_to("/nowhere/python")
    preparation.prepare(checkout, ["requirements.txt"])
    ran = subprocess.run([preparation.interpreter(checkout), "-c", "import pip"], check=False)
    assert ran.returncode == 0


def test_what_pip_cannot_install_is_said_in_one_sentence_and_tried_again(checkout):
    (checkout / "requirements.txt").write_text("./no-such-folder\n")
    for _ in range(2):
        with pytest.raises(Refused, match="no-such-folder"):
            preparation.prepare(checkout, ["requirements.txt"])


class TestLaunch:
    """launch.sh, with a PATH that holds only what the test puts there."""

    @pytest.fixture
    def programs(self, tmp_path):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "dirname").symlink_to(shutil.which("dirname"))
        return folder

    def launch(self, tmp_path, programs):
        stack = tmp_path / "checkout/platform/stack"
        stack.mkdir(parents=True)
        shutil.copy(ROOT / "platform/stack/launch.sh", stack)
        return subprocess.run(
            ["/bin/sh", stack / "launch.sh", "server", "--port", "1"],
            env={"PATH": str(programs)}, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip

    def test_an_old_python_is_refused_in_one_sentence(self, tmp_path, programs):
        write_program(programs / "python3", "exit 1")
        ran = self.launch(tmp_path, programs)
        assert ran.returncode == 1
        assert "Python 3.11 or newer is needed" in ran.stderr
        assert len(ran.stderr.splitlines()) == 1

    def test_a_newer_python_is_looked_for(self, tmp_path, programs):
        write_program(programs / "python3", "exit 1")
        write_program(programs / "python3.12", '[ "$1" = -c ] || echo "$@"')
        ran = self.launch(tmp_path, programs)
        assert ran.stdout.split() == ["-P", "-m", "stack", str(tmp_path / "checkout"), "server", "--port", "1"]


@pytest.mark.parametrize("name", ["server", "test", "bench"])
def test_the_scripts_can_be_run(name):
    assert (ROOT / "script" / name).stat().st_mode & stat.S_IXUSR
    assert os.access(ROOT / "platform/stack/launch.sh", os.R_OK)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ([], True),
        (["-x", "-q"], True),
        (["tests"], True),
        (["tests/e2e/test_desk.py::test_it"], True),
        (["-k", "e2e_word"], True),
        (["tests/core"], False),
        (["tests/core/test_a.py::test_it", "-k", "x"], False),
        (["tests/core", "tests/e2e"], True),
    ],
)
def test_a_browser_is_looked_for_when_the_end_to_end_tests_are_collected(tmp_path, monkeypatch, arguments, needed):
    for name in ("tests/core/test_a.py", "tests/e2e/test_desk.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert trial.needs_browser(tmp_path, arguments) is needed


def test_python_is_the_checkouts_own():
    assert preparation.is_inside(Path(sys.prefix).parent)
