"""Reads and runs the SQL files that lie beside the apps' code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection


@cache
def load(path: str) -> str:
    """The text of `<app>/sql/<name>.sql`, given as `<app>/<name>`; cached for the life of the process."""
    app, name = path.split("/")
    root = Path(__file__).resolve().parents[3]
    folder = root / "platform" / "core" if app == "core" else root / app
    return (folder / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def run(path: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run a file's statement on Django's connection as a prepared statement, and answer its rows.

    Django binds parameters on the client, so that the server plans every statement anew; for these statements planning
    costs more than running. Errors are Django's, transactions are Django's.
    """
    connection.close_if_health_check_failed()  # what Django does before each of its own cursors
    connection.ensure_connection()
    text = load(path)
    if connection.queries_logged:
        connection.queries_log.append({"sql": f"-- {path}", "time": "0"})
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(text, params, prepare=True)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []
