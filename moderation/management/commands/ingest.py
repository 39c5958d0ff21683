"""`manage.py ingest FILE.jsonl …`: feed real items through the same intake."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from governance.models import Function, Service
from moderation import ingestion


class Command(BaseCommand):
    """Parses, calls `ingestion.ingest`, renders."""

    help = "Feed items (one JSON object a line: external_id, text or file, prompt, …) through intake and screening."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path)
        parser.add_argument("--service", default="", help="code of the service; default: the first")
        parser.add_argument("--user", default="", help="external_id of the user; default: the first who may publish")
        parser.add_argument("--function", default="", help="code of the function; default: the first that takes text")

    def handle(self, *args: Any, **options: Any) -> None:
        for path in options["files"]:
            if not path.is_file():
                raise CommandError(f"there is no file {path}")
        services = Service.objects.order_by("pk")
        service = services.filter(code=options["service"]).first() if options["service"] else services.first()
        if service is None:
            raise CommandError("there is no such service")
        functions = list(Function.objects.filter(service=service, live=True).order_by("pk"))
        wanted = [f for f in functions if f.code == options["function"]] if options["function"] else functions
        function = next((f for f in wanted if "text" in f.technologies), next(iter(wanted), None))
        if function is None:
            raise CommandError("this service has no such function")
        users = User.objects.filter(service=service)
        user = (
            users.filter(external_id=options["user"]).first()
            if options["user"]
            else users.filter(identity_status="verified", account_status="active").order_by("pk").first()
        )
        if user is None:
            raise CommandError("there is no such user, or none who may publish; name one with --user")
        logging.getLogger("screening").setLevel(logging.WARNING)  # a line an item would bury the progress bar
        report = ingestion.ingest(
            files=options["files"],
            service=service,
            function=function,
            user=user.external_id,
            by="system:ingest",
            progress=self.show,
        )
        self.stderr.write("")
        for name, number, why in report.refused:
            self.stderr.write(f"{name} line {number}: {why}")
        settled = sum(report.states.values())
        self.stdout.write(
            f"lines {report.lines}  accepted {report.accepted}  already known {report.replayed}"
            f"  refused {len(report.refused)}"
        )
        for state in ("released", "in_review", "blocked", "withdrawn", "screening"):
            if report.states[state] or state in ("released", "in_review", "blocked"):
                self.stdout.write(f"{state} {report.states[state]}")
        self.stdout.write(f"total {settled}")

    def show(self, what: str, done: int, total: int) -> None:
        """One progress bar, redrawn in place on a terminal, a line for each tenth elsewhere."""
        share = done / total if total else 1.0
        if self.stderr.isatty():
            bar = "█" * int(share * 30)
            self.stderr.write(f"\r{what:　<4} |{bar:<30}| {share:4.0%}", ending="")
        elif int(share * 10) != getattr(self, "_tenth", None):
            self._tenth = int(share * 10)
            self.stderr.write(f"{what} {share:.0%}")
