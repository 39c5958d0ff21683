"""`manage.py identity_sandbox`: a verification service to try the protocol against (docs/identity-verifier.md)."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.verifiers import sandbox

DEMO_KEY = "identity-sandbox-key-of-a-demonstration"


class Command(BaseCommand):
    """Serves on loopback until it is stopped."""

    help = "Run a sandbox verification service on loopback. It verifies nobody: it judges by the number's digits."

    def add_arguments(self, parser: CommandParser) -> None:
        modes = "; ".join(f"{name}: {what}" for name, what in sandbox.MODES.items())
        parser.add_argument("--port", type=int, default=8090)
        parser.add_argument("--mode", choices=list(sandbox.MODES), default="ok", help=modes)

    def handle(self, *args: Any, **options: Any) -> None:
        box = sandbox.Sandbox(settings.IDENTITY_VERIFIER_KEY or DEMO_KEY, options["mode"])
        try:
            server = sandbox.make(box, options["port"])
        except OSError as taken:
            raise CommandError(f"port {options['port']} can't be used: {taken.strerror}") from None
        key = "as in your environment" if settings.IDENTITY_VERIFIER_KEY else DEMO_KEY
        self.stdout.write(f"IDENTITY_VERIFIER_URL={box.url} IDENTITY_VERIFIER_KEY={key}")
        self.stdout.flush()

        def stop(*_signal: Any) -> None:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        with suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)
        box.stopping.set()
        server.server_close()
