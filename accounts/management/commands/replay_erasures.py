"""`manage.py replay_erasures [JOURNAL …]`: after an older backup was restored, erases again what it has forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import erasure
from core.ids import parse_uuid
from core.models import AuditEvent


class Command(BaseCommand):
    """Reads the journal of the installation, those that are named, and the ledger's own lines."""

    help = "Carry out erasures again that a restored database has forgotten; safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("journal", nargs="*", type=Path, help="further journals, e.g. from a backup")

    def handle(self, *args: Any, **options: Any) -> None:
        missing = [str(path) for path in options["journal"] if not path.is_file()]
        if missing:
            raise CommandError(f"not there: {', '.join(missing)}")
        own = erasure.journal_path()
        told: set[UUID] = set()
        for path in [*options["journal"], *([own] if own.is_file() else [])]:
            told |= set(erasure.read_journal(path))
        for subject in AuditEvent.objects.filter(action=erasure.ACTION).values_list("subject", flat=True).iterator():
            if pk := parse_uuid(subject.removeprefix("user:")):
                told.add(pk)
        done = erasure.replay(user_ids=told, by="system:replay")
        self.stdout.write(f"{len(told)} erasures on record, {done} carried out again")
