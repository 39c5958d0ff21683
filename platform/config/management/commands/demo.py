"""`manage.py demo`: the invented provider, so that the first screen is alive. Repeating it changes nothing."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config import demonstration


class Command(BaseCommand):
    """Prints the demo's key, secret and staff as JSON."""

    help = "Load the demonstration provider (needs DEMO=1)."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("demonstration data is only for DEMO=1")
        self.stdout.write(json.dumps(demonstration.load(), ensure_ascii=False))
