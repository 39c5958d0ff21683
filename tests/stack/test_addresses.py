from pathlib import Path

import pytest

from stack import addresses

ROOT = Path("/srv/mingjian")


def test_embedded_addresses_lie_in_the_data_directory():
    where = addresses.resolve(ROOT, {})
    assert where.embedded_postgres
    assert where.embedded_valkey
    assert where.broker_url == "redis+socket:///srv/mingjian/var/run/broker.sock?virtual_host=0"
    assert where.broker_client_url == "unix:///srv/mingjian/var/run/broker.sock?db=0"
    assert where.cache_url == "unix:///srv/mingjian/var/run/cache.sock?db=0"
    assert where.django_database() == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "mingjian",
        "USER": "postgres",
        "PASSWORD": "",
        "HOST": "/srv/mingjian/var/run/pg",
        "PORT": "",
        "OPTIONS": {},
    }


def test_data_directory_comes_from_the_environment():
    where = addresses.resolve(ROOT, {"MINGJIAN_DATA": "/data/one"})
    assert where.cache_url == "unix:///data/one/run/cache.sock?db=0"


def test_database_url_replaces_the_embedded_one_and_nothing_else():
    where = addresses.resolve(ROOT, {"DATABASE_URL": "postgres://u:p%40ss@Db.example:6432/prod?sslmode=verify-full"})
    assert not where.embedded_postgres
    assert where.embedded_valkey
    database = where.django_database()
    assert database["NAME"] == "prod"
    assert database["USER"] == "u"
    assert database["PASSWORD"] == "p@ss"
    assert database["HOST"] == "Db.example"
    assert database["PORT"] == "6432"
    assert database["OPTIONS"] == {"sslmode": "verify-full"}


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql:///name?host=/run/postgresql&user=me", "/run/postgresql", ""),
        ("postgres://me@%2Frun%2Fpostgresql/name", "/run/postgresql", ""),
        ("postgres://me@[::1]:5433/name", "::1", "5433"),
        ("postgres://me@h/name?port=7000", "h", "7000"),
    ],
)
def test_database_url_forms(url, host, port):
    database = addresses.django_database(url)
    assert (database["HOST"], database["PORT"], database["USER"]) == (host, port, "me")
    assert database["OPTIONS"] == {}


@pytest.mark.parametrize("url", ["mysql://u:secret@h/n", "postgres://u:secret@h", "secret"])
def test_a_wrong_database_url_is_refused_without_quoting_its_password(url):
    with pytest.raises(ValueError, match="DATABASE_URL") as refusal:
        addresses.django_database(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("environ", "broker", "cache"),
    [
        ({"REDIS_URL": "redis://h:6379/0"}, "redis://h:6379/0", "redis://h:6379/1"),
        ({"REDIS_URL": "rediss://:pw@h:6380"}, "rediss://:pw@h:6380", "rediss://:pw@h:6380/1"),
        ({"REDIS_URL": "redis://h/0", "CACHE_URL": "redis://c/0"}, "redis://h/0", "redis://c/0"),
        ({"REDIS_URL": "unix:///r.sock?db=2"}, "redis+socket:///r.sock?virtual_host=2", "unix:///r.sock?db=3"),
        ({"REDIS_URL": "redis+socket:///r.sock"}, "redis+socket:///r.sock", "unix:///r.sock?db=1"),
    ],
)
def test_redis_url_replaces_both_embedded_servers(environ, broker, cache):
    where = addresses.resolve(ROOT, environ)
    assert not where.embedded_valkey
    assert (where.broker_url, where.cache_url) == (broker, cache)


@pytest.mark.parametrize("path", ["/d" * 60, "/数据/明鉴", "/with space"])
def test_a_path_that_no_socket_can_have_gets_a_short_one(path):
    run = addresses.run_dir(Path(path))
    assert run.parent == Path("/tmp")
    assert len(str(addresses.postgres_socket_dir(run) / addresses.POSTGRES_SOCKET)) < addresses.LONGEST_SOCKET_PATH
    assert run != addresses.run_dir(Path(path + "x"))


def test_the_short_path_does_not_depend_on_the_environment(monkeypatch):
    before = addresses.run_dir(Path("/with space"))
    monkeypatch.setenv("TMPDIR", "/somewhere/else")
    assert addresses.run_dir(Path("/with space")) == before


def test_addresses_survive_the_environment():
    where = addresses.resolve(ROOT, {})
    again = addresses.resolve(Path("/elsewhere"), where.as_environment())
    assert again.django_database() == where.django_database()
    assert (again.broker_url, again.cache_url) == (where.broker_url, where.cache_url)


def test_resolving_creates_nothing(tmp_path):
    addresses.resolve(tmp_path, {"MINGJIAN_DATA": str(tmp_path / "data")})
    assert list(tmp_path.iterdir()) == []
