"""`manage.py statediagram`: prints every state machine to docs/states/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from core import states


def documents() -> dict[str, str]:
    """File name and text of each machine's document."""
    found = {}
    for name, machine in sorted(states.MACHINES.items()):
        rows = "\n".join(
            f"| {source} | {move.action} | {move.target} | {move.by} |"
            for move in machine.moves
            for source in move.sources
        )
        found[f"{name}.md"] = (
            f"# States of: {name}\n\nMade by `manage.py statediagram` from the table in the code; don't edit.\n\n"
            f"```mermaid\n{machine.mermaid()}\n```\n\n| from | action | to | by |\n| --- | --- | --- | --- |\n{rows}\n"
        )
    return found


class Command(BaseCommand):
    """Writes docs/states/*.md; with --check only says whether they are current."""

    help = "Write docs/states/*.md from the state tables."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = Path(settings.BASE_DIR) / "docs" / "states"
        wanted = documents()
        if options["check"]:
            stale = [n for n, text in wanted.items() if not (folder / n).exists() or (folder / n).read_text() != text]
            if stale:
                self.stderr.write(f"not current: {', '.join(stale)}; run manage.py statediagram")
                raise SystemExit(1)
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in wanted.items():
            (folder / name).write_text(text, encoding="utf-8")
        self.stdout.write(f"{len(wanted)} documents in docs/states/")
