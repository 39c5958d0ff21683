"""`manage.py rotate_keys [--plan | --retire ID]`: brings everything under the field key in use (docs/keys.md)."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from core import rotation
from core.errors import Refusal


class Command(BaseCommand):
    """Parses, calls one command, renders. Exit code 0 only when nothing names an old key any more."""

    help = "Rewrap data keys and seal values anew under FIELD_KEY_ID; may be killed and started again at any time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--plan", action="store_true", help="only count which key how many values name")
        parser.add_argument("--retire", metavar="ID", help="record that a key leaves the configuration")
        parser.add_argument("--batch", type=int, default=rotation.BATCH)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["plan"]:
            self._told()
        elif options["retire"]:
            self._retire(options["retire"])
        else:
            self._rotate(options["batch"])

    def _rotate(self, batch: int) -> None:
        started = shown = time.monotonic()
        total = 0

        def progress(place: str, done: int) -> None:
            nonlocal total, shown
            total += done
            if time.monotonic() - shown >= 1:
                shown = time.monotonic()
                self.stdout.write(f"{total} values, {total / (shown - started):.0f}/s, at {place}")
                self.stdout.flush()

        outcome = rotation.rotate(by="system:rotation", batch=batch, progress=progress)
        seconds = max(time.monotonic() - started, 1e-9)
        self.stdout.write(
            f"{outcome.moved} values under key {settings.FIELD_KEY_ID} in {seconds:.1f} s, {outcome.passes} passes"
        )
        for place, count in outcome.unreadable.items():
            self.stderr.write(f"{place}: {count} values don't open and were left as they are")
        if outcome.held:
            self.stderr.write(f"{outcome.held} values are held by others: run it again")
        self._told()
        if not outcome.whole:
            raise CommandError("some values still name an old key")
        self.stdout.write("A process that was not restarted may still write under an old key: see docs/keys.md.")

    def _told(self) -> None:
        counts = rotation.plan()
        for place, found in counts.items():
            for key_id, count in sorted(found.items()):
                self.stdout.write(f"{place}  key {key_id}  {count}")
        for key_id in sorted(set(settings.FIELD_KEYS) | {k for found in counts.values() for k in found}):
            named = sum(found.get(key_id, 0) for found in counts.values())
            state = "in use" if key_id == settings.FIELD_KEY_ID else "still needed" if named else "no longer used"
            missing = "" if settings.FIELD_KEYS.get(key_id) else ", NOT CONFIGURED"
            self.stdout.write(f"key {key_id}: {named} values, {state}{missing}")

    def _retire(self, key_id: str) -> None:
        try:
            rotation.retire(key_id=key_id, by="system:rotation")
        except Refusal as refusal:
            left = refusal.extra.get("left", {})
            raise CommandError(f"{refusal.detail} {left or ''}".strip()) from refusal
        self.stdout.write(
            f"key {key_id}: nothing names it; take it out of FIELD_KEYS and keep it while a backup needs it"
        )
