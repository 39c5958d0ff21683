"""`manage.py verify PATH`: whether a bundle is whole. Needs no database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from reporting import verification


class Command(BaseCommand):
    """Exit code 0: whole; 1: not whole, one line per problem; 2: nothing there that could be a bundle."""

    help = "Check a bundle (folder or .zip): every byte, every file, every count."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--digest", default="", help="the SHA-256 of manifest.json, as the page or ledger names it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = verification.verify(options["path"], expected_digest=options["digest"])
        except (verification.Unusable, OSError) as error:
            self.stderr.write(str(error))
            sys.exit(2)
        if not report.whole:
            for problem in report.problems:
                self.stdout.write(problem)
            sys.exit(1)
        manifest = report.manifest
        self.stdout.write(f"whole: {manifest['name']}, {manifest['rows']} rows, manifest {report.digest}")
