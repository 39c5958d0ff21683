"""`manage.py import_users FILE --service S --by USERNAME [--carry-out [--trust]]`: the import of a user base without a
browser. Checks the file and tells what would happen; with --carry-out does it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import imports
from accounts.import_rows import ENCODINGS, words_of
from accounts.models import UserImport
from core import jobs, sealed_files
from core.errors import Refusal
from core.ids import uuid7
from governance.models import Service


class Command(BaseCommand):
    """Parses, calls the commands of `accounts.imports`, helps the worker along, renders."""

    help = "Import an existing user base from a CSV or XLSX file: a dry run, and with --carry-out the real one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--service", required=True, help="code of the service")
        parser.add_argument("--by", required=True, help="user name of the identity admin who answers for it")
        parser.add_argument("--encoding", default="", choices=list(ENCODINGS), help="of a CSV file; default: find out")
        parser.add_argument("--carry-out", action="store_true", help="do it, after the check")
        parser.add_argument("--trust", action="store_true", help="take earlier verification over as verified")
        parser.add_argument("--report", type=Path, help="write the report, which names each refused row, to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"there is no file {path}")
        service = Service.objects.filter(code=options["service"]).first()
        if service is None:
            raise CommandError("there is no such service")
        person = get_user_model().objects.filter(username=options["by"], is_active=True).first()
        if person is None:
            raise CommandError("name who answers for it with --by")
        try:
            row = self._run(path, service, person, options)
        except Refusal as refusal:
            raise CommandError("; ".join(str(e["detail"]) for e in refusal.errors) or str(refusal.detail)) from refusal
        if row.report_key_sealed is not None and options["report"]:
            with options["report"].open("wb") as out:
                out.writelines(imports.report(import_id=row.pk, by=person))
        figures = {**imports.counts(row), "state": row.state}
        self.stdout.write("  ".join(f"{name} {value}" for name, value in figures.items()))
        if row.error:
            raise CommandError(str(imports.STOPPED.get(row.error, words_of(row.error))))

    def _run(self, path: Path, service: Service, person: Any, options: dict[str, Any]) -> UserImport:
        pk = uuid7()
        with path.open("rb") as opened:
            head = opened.read(8)

        def keep() -> sealed_files.Sealed:
            with path.open("rb") as opened:
                return sealed_files.write(opened, aad=imports.aad(pk, "file"), limit=imports.LARGEST)

        incoming = imports.Incoming(path.name, head, path.stat().st_size, keep)
        imports.start(import_id=pk, service=service, file=incoming, encoding=options["encoding"], by=person)
        row = self._wait(pk, "checking")
        if options["carry_out"] and row.state == "checked":
            imports.carry_out(import_id=pk, trust=options["trust"], by=person)
            row = self._wait(pk, "running")
        return row

    def _wait(self, pk: Any, state: str) -> UserImport:
        """Until the import leaves a state. Works itself, so that no worker need run; beside one it only looks on."""
        while True:
            done = jobs.work("courier", seconds=1.0)
            row = UserImport.objects.get(pk=pk)
            self._show(row)
            if row.state != state:
                self.stderr.write("")
                return row
            if not done:
                time.sleep(0.5)  # a worker has it

    def _show(self, row: UserImport) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{row.state} {row.done}{f' of {row.rows}' if row.rows else ''}", ending="")
