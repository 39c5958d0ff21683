"""Where keyed digests come from: a file that only its owner reads, a daemon that limits, and never a second best."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import crypto, pepper
from core.pepper_daemon import Daemon

ROOT = Path(__file__).resolve().parents[2]
KEY = base64.urlsafe_b64encode(b"d" * 32).decode()
VALUE, PURPOSE = "13800138000", "identity.mobile"


@pytest.fixture
def by_environment(settings):
    """What the digest is with the key in the environment; the other ways must answer the same."""
    settings.DIGEST_KEY, settings.DIGEST_KEY_FILE, settings.PEPPER_SOCKET = KEY, "", ""
    return crypto.digest(VALUE, PURPOSE)


@pytest.fixture
def daemon(tmp_path):
    """`daemon(*arguments)` starts one and answers its process and socket."""
    running = []

    def start(*arguments, key=KEY):
        path = tmp_path / f"p{len(running)}.sock"
        child = subprocess.Popen(
            [sys.executable, "manage.py", "pepper", "--socket", str(path), *arguments],
            cwd=ROOT,
            env={**os.environ, "DIGEST_KEY": key, "DIGEST_KEY_FILE": "", "PYTHONPATH": ""},
            stderr=subprocess.DEVNULL,
        )
        running.append(child)
        until = time.monotonic() + 60
        while not path.exists():
            assert child.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        return child, str(path)

    yield start
    for child in running:
        if child.poll() is None:
            child.terminate()
            child.wait(20)
    pepper._hang_up()


def test_a_file_gives_the_same_digests_as_the_environment(settings, tmp_path, by_environment):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    file.chmod(0o400)
    settings.DIGEST_KEY_FILE = str(file)
    settings.DIGEST_KEY = base64.urlsafe_b64encode(b"other" + b"x" * 27).decode()  # a second best that is not taken
    assert crypto.digest(VALUE, PURPOSE) == by_environment


@pytest.mark.parametrize("mode", [0o440, 0o604, 0o644, 0o700, 0o666])
def test_a_file_that_others_may_read_is_refused_and_nothing_else_is_tried(settings, tmp_path, by_environment, mode):
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(mode)
    settings.DIGEST_KEY_FILE = str(file)
    with pytest.raises(pepper.Away) as away:
        crypto.digest(VALUE, PURPOSE)
    assert (away.value.status, away.value.code) == (503, "lookup_unavailable")
    file.chmod(0o600)  # put right, it is read at the next try
    assert crypto.digest(VALUE, PURPOSE) == by_environment


@pytest.mark.parametrize("content", [b"", b"short", b"\xff\xfe", KEY.encode()[:-8]])
def test_a_file_without_a_key_is_refused(settings, tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    settings.DIGEST_KEY_FILE = str(file)
    with pytest.raises(pepper.Away):
        crypto.digest(VALUE, PURPOSE)


def test_a_file_of_somebody_else_is_refused(settings, tmp_path, monkeypatch):
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    settings.DIGEST_KEY_FILE = str(file)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(pepper.Away):
        crypto.digest(VALUE, PURPOSE)


def test_a_file_that_is_not_there_is_refused(settings, tmp_path):
    settings.DIGEST_KEY_FILE = str(tmp_path / "nowhere")
    with pytest.raises(pepper.Away):
        crypto.digest(VALUE, PURPOSE)


def test_the_daemon_gives_the_same_digests_and_survives_its_own_restart(settings, daemon, by_environment):
    child, path = daemon()
    settings.PEPPER_SOCKET, settings.DIGEST_KEY = path, ""
    assert Path(path).stat().st_mode & 0o777 == 0o660
    assert crypto.digest(VALUE, PURPOSE) == by_environment
    assert crypto.digest("名", PURPOSE) != by_environment
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0
    assert not Path(path).exists()
    with pytest.raises(pepper.Away):
        crypto.digest(VALUE, PURPOSE)
    _child, again = daemon()
    os.rename(again, path)  # the daemon is back at its place
    assert crypto.digest(VALUE, PURPOSE) == by_environment


def test_while_the_daemon_is_away_nothing_falls_back_to_the_environment(settings, tmp_path, by_environment):
    settings.PEPPER_SOCKET = str(tmp_path / "nobody.sock")
    with pytest.raises(pepper.Away):
        crypto.digest(VALUE, PURPOSE)


def test_a_daemon_that_does_not_answer_is_away_after_a_second(settings, tmp_path, by_environment):
    path = str(tmp_path / "deaf.sock")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(path)
        deaf.listen()
        settings.PEPPER_SOCKET = path
        started = time.monotonic()
        with pytest.raises(pepper.Away):
            crypto.digest(VALUE, PURPOSE)
        assert time.monotonic() - started < 5
    pepper._hang_up()


def test_a_peer_that_asks_too_much_is_refused_and_the_refusal_reaches_the_caller(settings, daemon):
    _child, path = daemon("--rate", "0.01", "--burst", "3")
    settings.PEPPER_SOCKET = path
    for number in range(3):
        crypto.digest(str(number), PURPOSE)
    with pytest.raises(pepper.Away):
        crypto.digest("3", PURPOSE)


def test_whoever_is_not_a_peer_gets_no_answer(settings, daemon):
    _child, path = daemon("--peer", str(os.geteuid() + 1))
    settings.PEPPER_SOCKET = path
    with pytest.raises(pepper.Away):
        crypto.digest(VALUE, PURPOSE)


def test_the_allowance_of_a_peer_grows_with_time_and_belongs_to_it_alone():
    daemon = Daemon(b"d" * 32, rate=2, burst=3)
    assert [daemon.may(1, 0.0) for _ in range(4)] == [True, True, True, False]
    assert daemon.may(2, 0.0)
    assert [daemon.may(1, 1.0) for _ in range(3)] == [True, True, False]
    assert [daemon.may(1, 1000.0) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    "question",
    [b"", b"x", b"[]", b"{}", b'{"purpose": 1, "value": "x"}', b'{"purpose": "", "value": "x"}', b'"a"', b"null"]
    + [json.dumps({"purpose": "p" * 81, "value": "x"}).encode(), b'{"purpose": "p", "value": "\\ud800"}'],
)
def test_nonsense_is_answered_as_nonsense_and_counts_against_nobody(question):
    daemon = Daemon(b"d" * 32, rate=0.001, burst=1)
    assert daemon.answer(question, 1) == {"error": "malformed"}
    assert "digest" in daemon.answer(json.dumps({"purpose": "p", "value": "x"}).encode(), 1)


def test_a_number_search_and_a_registration_refuse_with_503_while_the_key_is_away(
    world, api, login, settings, tmp_path
):
    from accounts.models import Identity
    from tests.world import ID_NUMBER

    settings.PEPPER_SOCKET = str(tmp_path / "nobody.sock")
    before = Identity.objects.count()
    answer = api.post("users/liu/identity", {"method": "mobile", "number": "13912345678", "name": "试名"})
    assert (answer.status_code, answer.json()["code"]) == (503, "lookup_unavailable")
    assert answer["Retry-After"]
    assert Identity.objects.count() == before
    assert login("zhou").post("/users/by-number/", {"number": ID_NUMBER}).status_code == 503


def test_the_peer_is_read_from_the_socket_itself():
    from core.pepper_daemon import _user_of

    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        assert _user_of(left) == os.geteuid()
        assert len(struct.pack("3i", 0, 0, 0)) == 12
