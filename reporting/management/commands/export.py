"""`manage.py export NAME --from D --to D --out DIR`: write a bundle into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.errors import Refusal
from reporting import bundles
from reporting.folder import SUMS
from reporting.periods import read_moment


class Command(BaseCommand):
    """Parses, calls `bundles.export_to`, renders."""

    help = "Write a bundle of the period [from, to) into a new or empty folder. Dates are days of Asia/Shanghai."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what to export, e.g. decisions")
        parser.add_argument("--from", dest="start", required=True, help="2026-01-31 or 2026-01-31T08:00:00Z")
        parser.add_argument("--to", dest="end", required=True, help="the first moment that is no longer part of it")
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--no-guard", action="store_true", help="leave cells that look like formulas as they are")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"].resolve()
        try:
            manifest = bundles.export_to(
                name=options["name"],
                start=read_moment(options["start"], "from"),
                end=read_moment(options["end"], "to"),
                out=out,
                guard_csv=not options["no_guard"],
                by="system:command",
            )
        except Refusal as refusal:
            raise CommandError(str(refusal.detail)) from refusal
        except OSError as error:
            raise CommandError(f"{out}: {error.strerror}") from error
        digest = (out / SUMS).read_text(encoding="utf-8").split()[0]
        self.stdout.write(f"{out}: {manifest['rows']} rows, manifest {digest}")
