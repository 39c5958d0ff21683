"""`manage.py prepare`: everything between a started database and the first request, in one process.

Four commands one after the other would load Django four times, which is most of a warm start.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """Prints what `demo` prints, or nothing; the words of the other commands go to standard error."""

    help = "Bring schema, static files and seeds up to date, with --demo the demonstration too; safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        """--demo."""
        parser.add_argument("--demo", action="store_true", help="load the demonstration provider and print its JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, stdout=self.stderr)
        self._collect_static_files()
        call_command("bootstrap", stdout=self.stderr)
        if options["demo"]:
            call_command("demo", stdout=self.stdout)

    def _collect_static_files(self) -> None:
        """Hashing and compressing all of them takes seconds, so only when one is not what it was."""
        stamp = Path(settings.DATA_DIR) / "static.stamp"
        found = fingerprint()
        if Path(settings.STATIC_ROOT).exists() and stamp.exists() and stamp.read_text("ascii") == found:
            return
        stamp.unlink(missing_ok=True)
        call_command("collectstatic", interactive=False, stdout=self.stderr)
        stamp.write_text(found, "ascii")


def fingerprint() -> str:
    """Changes when a static file's name, size or time does, or the way they are stored."""
    seen = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            status = Path(storage.path(path)).stat()
            seen.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return seen.hexdigest()
