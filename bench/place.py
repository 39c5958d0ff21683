"""Where benchmarks run: the servers given by the environment, a database of their own, processes that end with them."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ROOT.parent / "shared" / "bench" / "plain_drf"


def django() -> None:
    """Make the product importable in this process, with keys of its own."""
    import base64

    sys.path[:0] = [p for p in (str(ROOT), str(ROOT / "platform")) if p not in sys.path]
    os.environ.setdefault("SECRET_KEY", "bench-only-" + "k" * 50)
    os.environ.setdefault("FIELD_KEY", base64.urlsafe_b64encode(b"f" * 32).decode())
    os.environ.setdefault("DIGEST_KEY", base64.urlsafe_b64encode(b"d" * 32).decode())
    os.environ.setdefault("DEMO", "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django as framework
    from django.apps import apps

    if not apps.ready:
        framework.setup()
    import logging

    logging.disable(logging.WARNING)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(arguments: list[str], *, cwd: Path = ROOT, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child with its group, ended afterwards."""
    child = subprocess.Popen(
        arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextlib.contextmanager
def web(module: str = "config.wsgi:application", *, cwd: Path = ROOT, **environment: str) -> Iterator[int]:
    """The product's server with the product's worker counts, serving a WSGI application; answers its port."""
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "2", "--blocking-threads", "8", "--no-ws", module,
    ]  # fmt: skip
    with process(command, cwd=cwd, **environment):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            time.sleep(0.05)
        for _ in range(30):  # both workers imported everything and opened their connections
            with contextlib.suppress(Exception):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10).read()
        yield port


@contextlib.contextmanager
def worker() -> Iterator[None]:
    """Relay, and the worker with the product's concurrency."""
    with (
        process([sys.executable, "manage.py", "relay"]),
        process(
            [sys.executable, "manage.py", "celery", "worker", "--queues", "work,courier", "--concurrency", "2",
             "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
        ),
    ):  # fmt: skip
        yield


@contextlib.contextmanager
def database(name: str) -> Iterator[None]:
    """A fresh database on the given server; DATABASE_URL names it for this process and its children."""
    from urllib.parse import urlsplit, urlunsplit

    import psycopg

    given = os.environ["DATABASE_URL"]
    parts = urlsplit(given)
    mine = urlunsplit(parts._replace(path=f"/{name}")) if parts.netloc else given.replace(parts.path, f"/{name}", 1)
    with psycopg.connect(given, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.execute(f'CREATE DATABASE "{name}"')
    os.environ["DATABASE_URL"] = mine
    try:
        yield
    finally:
        os.environ["DATABASE_URL"] = given
        with psycopg.connect(given, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def raise_world(users: int = 200) -> str:
    """A service, verified users and the starter library; answers an API key."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from accounts import keys, staff
    from accounts.models import User
    from governance.models import Function, Provider, Service
    from moderation import library

    call_command("bootstrap", stdout=io.StringIO())
    provider = Provider.objects.create(name="bench", uscc="91990000TUYAN0007P")
    service = Service.objects.create(provider=provider, code="bench", name="bench")
    Function.objects.create(service=service, code="writing", name="w", kind="dialogue", technologies=["text"])
    User.objects.bulk_create(
        User(service=service, external_id=f"u{n}", kind="person", display_name="u", identity_status="verified")
        for n in range(users)
    )
    lin, _ = staff.create_staff(username="lin", display_name="Lin", role="moderator", by="system:bench")
    xu, _ = staff.create_staff(username="xu", display_name="Xu", role="senior_moderator", by="system:bench")
    library.propose_starter(by=lin)
    library.approve_all(by=xu, source=library.STARTER_SOURCE)
    client = keys.create_client(service=service, name="bench", by="system:bench")
    return keys.issue_key(client=client, scopes=list(keys.SCOPES), by="system:bench")[1]


def line(name: str, ours: str, baseline: str, ratio: float | None) -> None:
    """The one line of a benchmark."""
    print(f"{name}  {ours}  {baseline}  {ratio:.2f}" if ratio is not None else f"{name}  {ours}  {baseline}  -")
