"""`manage.py pepper --socket PATH`: holds the digest key in a process of its own, until stopped (docs/keys.md)."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core import pepper
from core.pepper_daemon import Daemon


class Command(BaseCommand):
    """Reads DIGEST_KEY_FILE, else DIGEST_KEY; needs neither the database nor the broker."""

    help = "Answer keyed digests over a Unix socket; counts and limits what it is asked."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--socket", required=True, help="where to listen; give the same path as PEPPER_SOCKET")
        parser.add_argument("--rate", type=float, default=200.0, help="answers a second for one user")
        parser.add_argument("--burst", type=float, default=400.0, help="answers at once")
        parser.add_argument("--peer", type=int, action="append", help="number of a user that may ask; repeatable")

    def handle(self, *args: Any, **options: Any) -> None:
        if len(os.fsencode(options["socket"])) > 100:
            raise CommandError("the socket's path is too long for this system")
        try:
            root = pepper.read_root(
                environment=os.environ.get("DIGEST_KEY", ""), file=os.environ.get("DIGEST_KEY_FILE", "")
            )
        except pepper.Away as away:
            raise CommandError("the digest key can't be read: see the line above") from away
        peers = frozenset(options["peer"]) if options["peer"] else None
        daemon = Daemon(root, rate=options["rate"], burst=options["burst"], peers=peers)

        async def serve() -> None:
            stopping = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stopping.set)
            await daemon.serve(options["socket"], stopping)

        asyncio.run(serve())
