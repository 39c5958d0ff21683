"""`manage.py relay`: passes the outbox on and wakes workers, until stopped."""

from __future__ import annotations

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from core.relay import Relay


class Command(BaseCommand):
    """Runs the relay in the foreground."""

    help = "Pass the outbox on and wake workers for due jobs."

    def handle(self, *args: Any, **options: Any) -> None:
        relay = Relay(settings.BROKER_CLIENT_URL)

        def stop(signum: int, frame: Any) -> None:
            relay.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        relay.run()
