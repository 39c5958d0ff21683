"""The servers that one run needs, started in the right order, and the environment in which its processes find them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from stack import addresses, children, keys, postgres, valkey
from stack.datadir import DataDir
from stack.supervisor import Supervisor

START_LIMIT = 120.0  # a database that was killed may have to replay its log first


def start(supervisor: Supervisor, data: DataDir, where: addresses.Addresses, *, durable: bool = True) -> None:
    """Start the servers that no address replaces, and make the installation's secrets.

    Raises Refused when one does not start.
    """
    keys.ensure(data.path, database_exists=where.embedded_postgres and postgres.exists(data))
    names = []
    if where.embedded_postgres:
        database = postgres.Postgres(data, durable=durable)
        supervisor.start(database)
        names.append(database.name)
    if where.embedded_valkey:
        for server in (valkey.broker(data), valkey.cache(data)):
            supervisor.start(server)
            names.append(server.name)
    supervisor.wait_ready(*names, limit=START_LIMIT)
    if where.embedded_postgres:
        database.create_database()


def end_leftovers(data: DataDir) -> None:
    """End what a killed supervisor of this data directory left; its processes got their death signal already.

    Call with the directory's lock held. The database server is left to its own start, which knows how to stop one.
    """
    while left := children.belonging_to(data.path):  # one that ends may have started another
        children.end(left, patience=5)


def environment(root: Path, data: DataDir, **more: str) -> dict[str, str]:
    """The environment of the product's processes: paths, data directory, secrets."""
    environ = dict(os.environ)
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
    environ["PYTHONPATH"] = os.pathsep.join([str(root), str(root / "platform")])
    environ["PYTHONUNBUFFERED"] = "1"
    environ["MINGJIAN_DATA"] = str(data.path)
    environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    environ.setdefault("OMP_NUM_THREADS", "1")  # a library that starts a thread a core takes them from its neighbours
    environ.update(more)
    keys.load(data.path, environ)
    return environ


def resolve(root: Path, environ: Mapping[str, str], data: Path) -> addresses.Addresses:
    """The addresses for a data directory that was named on the command line."""
    return addresses.resolve(root, {**environ, "MINGJIAN_DATA": str(data)})
