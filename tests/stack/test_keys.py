import base64

import pytest

from stack import Refused, keys


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in keys.SECRETS:
        monkeypatch.delenv(name, raising=False)


def test_they_are_made_once_and_private(tmp_path):
    keys.ensure(tmp_path, database_exists=False)
    made = {}
    keys.load(tmp_path, made)
    assert set(made) == {"SECRET_KEY", "FIELD_KEY", "DIGEST_KEY"}
    assert all(len(base64.urlsafe_b64decode(value)) == 32 for value in made.values())
    assert len(set(made.values())) == 3
    assert (tmp_path / "secrets.env").stat().st_mode & 0o777 == 0o600
    keys.ensure(tmp_path, database_exists=True)
    again = {}
    keys.load(tmp_path, again)
    assert again == made


def test_the_environment_wins(tmp_path, monkeypatch):
    keys.ensure(tmp_path, database_exists=False)
    environ = {"FIELD_KEY": "given"}
    keys.load(tmp_path, environ)
    assert environ["FIELD_KEY"] == "given"
    for name in keys.SECRETS:
        monkeypatch.setenv(name, "given")
    (tmp_path / "secrets.env").unlink()
    keys.ensure(tmp_path, database_exists=True)
    assert not (tmp_path / "secrets.env").exists()


def test_new_ones_are_refused_for_a_database_that_used_others(tmp_path):
    (tmp_path / "secrets.env").write_text("SECRET_KEY=a\nDIGEST_KEY=b\n")
    with pytest.raises(Refused, match="secrets.env"):
        keys.ensure(tmp_path, database_exists=True)
    assert (tmp_path / "secrets.env").read_text() == "SECRET_KEY=a\nDIGEST_KEY=b\n"


def test_what_the_server_decided_is_seen_by_commands(tmp_path):
    keys.record(tmp_path, DEMO="1")
    environ = {}
    keys.load(tmp_path, environ)
    assert environ == {"DEMO": "1"}
    keys.record(tmp_path)
    environ = {}
    keys.load(tmp_path, environ)
    assert environ == {}
