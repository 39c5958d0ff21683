"""The secrets of one installation, made once and kept beside its data: `secrets.env`, mode 0600.

`server.env` in the same place holds what the running server decided (DEMO), so that commands by hand see the same.
"""

from __future__ import annotations

import base64
import os
from collections.abc import MutableMapping
from pathlib import Path

from stack import Refused
from stack.datadir import write_private

SECRETS = ("SECRET_KEY", "FIELD_KEY", "DIGEST_KEY")
SECRETS_FILE = "secrets.env"
SERVER_FILE = "server.env"


def load(data: Path, environ: MutableMapping[str, str]) -> None:
    """Put the kept names into the environment; what is set there already wins."""
    for name in (SECRETS_FILE, SERVER_FILE):
        for key, value in _read(data / name).items():
            environ.setdefault(key, value)


def ensure(data: Path, *, database_exists: bool) -> None:
    """Make the secrets that neither the file nor the environment has.

    Raises Refused when a database is there but its secrets are not: new ones could not open what it holds.
    """
    kept = _read(data / SECRETS_FILE)
    missing = [name for name in SECRETS if name not in kept and name not in os.environ]
    if not missing:
        return
    if database_exists:
        raise Refused(
            f"{data / SECRETS_FILE} is missing or incomplete, and without it the identities in the database cannot be "
            "read: put it back, or remove the data directory to begin anew."
        )
    kept.update((name, _new()) for name in missing)
    write_private(data / SECRETS_FILE, "".join(f"{name}={value}\n" for name, value in kept.items()))


def record(data: Path, **names: str) -> None:
    """Keep what the running server decided, for commands run by hand."""
    write_private(data / SERVER_FILE, "".join(f"{name}={value}\n" for name, value in names.items()))


def _new() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode("ascii")


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}
