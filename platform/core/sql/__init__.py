"""Reads the SQL files that lie beside the apps' code."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def load(path: str) -> str:
    """The text of `<app>/sql/<name>.sql`, given as `<app>/<name>`; cached for the life of the process."""
    app, name = path.split("/")
    root = Path(__file__).resolve().parents[3]
    folder = root / "platform" / "core" if app == "core" else root / app
    return (folder / "sql" / f"{name}.sql").read_text(encoding="utf-8")
