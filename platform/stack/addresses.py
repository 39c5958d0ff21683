"""Where the database, the broker and the cache are. Pure: settings import it, nothing is created or contacted here."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

DATABASE = "mingjian"
DATABASE_USER = "postgres"
# sockaddr_un holds 107 bytes on Linux and 103 on macOS; PostgreSQL's own file name needs 17 of them.
LONGEST_SOCKET_PATH = 103
POSTGRES_SOCKET = ".s.PGSQL.5432"
# A path made of these needs no quoting in a URL, in postgresql.conf or on Valkey's command line.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")


@dataclass(frozen=True)
class Addresses:
    """The three servers' addresses; `embedded_*` says whether the stack starts them itself."""

    database_url: str
    broker_url: str  # as Celery spells it: redis+socket:///path?virtual_host=0
    cache_url: str  # as redis-py spells it: unix:///path?db=0
    embedded_postgres: bool
    embedded_valkey: bool

    @property
    def broker_client_url(self) -> str:
        """The broker's address as redis-py spells it."""
        return for_client(self.broker_url)

    def as_environment(self) -> dict[str, str]:
        """The environment from which `resolve` gets these addresses again."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.broker_client_url, "CACHE_URL": self.cache_url}

    def django_database(self) -> dict[str, object]:
        """The database as an entry of Django's DATABASES. Raises ValueError when the URL is not PostgreSQL's."""
        return django_database(self.database_url)


def resolve(base_dir: Path, environ: Mapping[str, str]) -> Addresses:
    """The addresses for this checkout: DATABASE_URL, REDIS_URL and CACHE_URL replace the embedded servers'."""
    run = run_dir(data_dir(base_dir, environ))
    database_url = environ.get("DATABASE_URL", "")
    redis_url = environ.get("REDIS_URL", "")
    cache_url = environ.get("CACHE_URL", "")
    broker_url = redis_url or f"unix://{broker_socket(run)}?db=0"
    if not cache_url:
        cache_url = other_database(redis_url) if redis_url else f"unix://{cache_socket(run)}?db=0"
    embedded_url = f"postgres:///{DATABASE}?" + urlencode(
        {"host": str(postgres_socket_dir(run)), "user": DATABASE_USER}
    )
    return Addresses(
        database_url=database_url or embedded_url,
        broker_url=for_celery(broker_url),
        cache_url=for_client(cache_url),
        embedded_postgres=not database_url,
        embedded_valkey=not redis_url,
    )


def data_dir(base_dir: Path, environ: Mapping[str, str]) -> Path:
    """The data directory: MINGJIAN_DATA, else `var` in the checkout."""
    return Path(os.path.abspath(environ.get("MINGJIAN_DATA") or base_dir / "var"))


def run_dir(data: Path) -> Path:
    """The directory of the sockets: inside the data directory, or a short one when that path is too deep or unusual.

    Derived from the path alone, and /tmp rather than TMPDIR, so that a shell with another environment finds the server.
    """
    inside = data / "run"
    longest = postgres_socket_dir(inside) / POSTGRES_SOCKET
    if PLAIN_PATH.fullmatch(str(inside)) and len(os.fsencode(longest)) <= LONGEST_SOCKET_PATH:
        return inside
    return Path("/tmp") / f"mingjian-{digest(data)}"


def digest(data: Path) -> str:
    """A short name for a data directory, the same through any symbolic link to it."""
    return hashlib.sha256(os.fsencode(os.path.realpath(data))).hexdigest()[:16]


def postgres_socket_dir(run: Path) -> Path:
    """PostgreSQL's socket has a directory of its own: it may belong to another user than the rest."""
    return run / "pg"


def broker_socket(run: Path) -> Path:
    """The socket of the Valkey that carries messages."""
    return run / "broker.sock"


def cache_socket(run: Path) -> Path:
    """The socket of the Valkey that may forget."""
    return run / "cache.sock"


def django_database(url: str) -> dict[str, object]:
    """A PostgreSQL URL as an entry of Django's DATABASES; what is not an address goes to OPTIONS.

    Raises ValueError without quoting the URL, which may hold a password.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    name = unquote(parts.path.lstrip("/")) or query.pop("dbname", "")
    query.pop("dbname", None)
    if parts.scheme not in {"postgres", "postgresql", "pgsql"} or not name:
        raise ValueError("DATABASE_URL must look like postgres://user:password@host:5432/name")
    # Not parts.hostname: it lower-cases, and a percent-encoded socket directory is a legal host.
    host, port = _host_and_port(parts.netloc.rpartition("@")[2])
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or "") or query.pop("user", ""),
        "PASSWORD": unquote(parts.password or "") or query.pop("password", ""),
        "HOST": host or query.pop("host", ""),
        "PORT": port or query.pop("port", ""),
        "OPTIONS": {key: value for key, value in query.items() if key not in {"user", "password", "host", "port"}},
    }


def _host_and_port(address: str) -> tuple[str, str]:
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        return host, port.lstrip(":")
    host, _, port = address.partition(":")
    return unquote(host), port


def for_celery(url: str) -> str:
    """A Redis URL as Celery spells it."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    query = dict(parse_qsl(parts.query))
    query["virtual_host"] = query.pop("db", "0")
    return f"redis+socket://{parts.netloc}{parts.path}?{urlencode(query, quote_via=quote)}"


def for_client(url: str) -> str:
    """A Redis URL as redis-py and Django's cache spell it."""
    parts = urlsplit(url)
    if parts.scheme != "redis+socket":
        return url
    query = dict(parse_qsl(parts.query))
    query["db"] = query.pop("virtual_host", "0")
    return f"unix://{parts.netloc}{parts.path}?{urlencode(query, quote_via=quote)}"


def other_database(url: str) -> str:
    """The neighbour database on the same Redis server: the cache's place when only the broker's is given."""
    parts = urlsplit(for_client(url))
    if parts.scheme == "unix":
        query = dict(parse_qsl(parts.query))
        query["db"] = str(int(query.get("db", "0")) + 1)
        return f"unix://{parts.netloc}{parts.path}?{urlencode(query, quote_via=quote)}"
    number = int(parts.path.strip("/") or "0") + 1
    return urlunsplit(parts._replace(path=f"/{number}"))
