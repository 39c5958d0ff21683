"""`manage.py train --name N (--from FILE.jsonl … | --from-decisions)`: a new version of a model, measured."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from accounts.models import Staff
from core.errors import Refusal
from moderation import classifiers
from moderation.measured_text import table


class Command(BaseCommand):
    """Parses, calls one command of `moderation.classifiers`, renders."""

    help = "Train a version of a model from labelled lines or from the desk's decisions, and measure it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="the model's name; versions are counted by name")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--from", dest="files", nargs="+", type=Path, help='lines {"text", "label"}')
        source.add_argument("--from-decisions", action="store_true", help="what people decided at the desk")
        parser.add_argument("--since", default="", help="decisions from this day on")
        parser.add_argument("--labels", type=Path, help='JSON {"their label": "ours or a category"}')
        parser.add_argument("--by", default="", help="username of whoever trains; another person activates")
        parser.add_argument("--note", default="")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        by: Any = "system:train"
        if options["by"]:
            by = Staff.objects.filter(username=options["by"], is_active=True).first()
            if by is None:
                raise CommandError("there is no such member of the staff")
        renamed = renamed_labels(options["labels"])
        given = {"name": options["name"], "by": by, "renamed": renamed, "note": options["note"]}
        refused: list[tuple[str, int, str]] = []
        try:
            if options["from_decisions"]:
                made = classifiers.train_from_decisions(since=_moment(options["since"]), **given)
            else:
                made, refused = classifiers.train_from_file(paths=options["files"], **given)
        except OSError as missing:
            raise CommandError(f"can't read {missing.filename}") from missing
        except Refusal as refusal:
            raise CommandError(str(refusal.detail)) from refusal
        for name, number, why in refused:
            self.stderr.write(f"{name} line {number}: {why}")
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "id": made.pk,
                        "name": made.name,
                        "version": made.version,
                        "artefact": made.artefact_id,
                        "bytes": made.artefact.size,
                        "labels": made.labels,
                        "trained_on": made.trained_on,
                        "figures": made.figures,
                    },
                    ensure_ascii=False,
                )
            )
            return
        on = made.trained_on
        self.stdout.write(f"{made}  id {made.pk}  artefact {made.artefact_id}  {made.artefact.size} bytes")
        self.stdout.write(
            f"rows {on['rows']}  learned from {on['learned']}  held out {on['held_out']}  n-grams {on['n_grams']}"
        )
        self.stdout.write(table(made.figures))
        self.stdout.write(f"It acts once somebody else activates it: /models/{made.pk}/")


def renamed_labels(path: Path | None) -> dict[str, str]:
    """The file given with --labels."""
    if path is None:
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise CommandError(f"can't read {path}") from wrong
    if not isinstance(said, dict) or not all(isinstance(v, str) for v in said.values()):
        raise CommandError(f'{path} is not an object of {{"their label": "our label"}}')
    return said


def _moment(said: str) -> datetime | None:
    if not said:
        return None
    try:
        day = parse_date(said)
        found = datetime(day.year, day.month, day.day) if day else parse_datetime(said)  # noqa: DTZ001 (made aware below)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"{said} is no day")
    return found if timezone.is_aware(found) else timezone.make_aware(found)
