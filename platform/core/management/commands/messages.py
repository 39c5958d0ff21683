"""`manage.py messages`: the translations, kept without GNU gettext."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Collects every msgid of the project's .py and .html files into platform/locale/*/LC_MESSAGES/django.po, keeping
    what is translated, and compiles the .mo files. Both are checked in: the product runs without Babel, only this
    command needs it (requirements-dev.txt).

    `--check` changes nothing and exits with 1 after listing what is missing, fuzzy, wrong or out of date.
    """

    help = "Collects and compiles the translations; --check only says what is missing."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing, exit with 1 when anything is missing")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        try:
            from core import catalogue
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "babel":
                raise
            raise CommandError("Babel is needed: pip install -r requirements-dev.txt") from missing
        root, folder = Path(settings.BASE_DIR), Path(settings.LOCALE_PATHS[0])
        try:
            if not check:
                for name in catalogue.update(root, folder):
                    self.stdout.write(f"wrote {name}")
            found = catalogue.problems(root, folder)
        except ValueError as error:
            raise CommandError(str(error)) from error
        for problem in found:
            self.stdout.write(str(problem))
        if found and check:
            raise CommandError(f"{len(found)} problems", returncode=1)
        self.stdout.write(f"{len(found)} problems")
