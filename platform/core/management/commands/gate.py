"""`manage.py gate close CAPABILITY --directive NUMBER --by USERNAME` and `gate open CAPABILITY --reason … --by USERNAME`."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from core import gates
from core.errors import Refusal
from core.models import Gate


class Command(BaseCommand):
    """Parses, calls one command, renders."""

    help = "Close or open a gate for every service, as a member of staff; without arguments, list what is closed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", nargs="?", choices=["close", "open", "list"], default="list")
        parser.add_argument("capability", nargs="?", choices=list(Gate.CAPABILITIES))
        parser.add_argument("--directive", default="", help="the order's number")
        parser.add_argument("--reason", default="", help="why it is opened")
        parser.add_argument("--by", default="", help="user name of the member of staff")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["act"] == "list":
            for gate in gates.in_force().order_by("since"):
                self.stdout.write(f"{gate.capability} closed since {gate.since:%Y-%m-%d %H:%M} by {gate.directive}")
            return
        if not options["capability"]:
            raise CommandError("name the capability")
        person = get_user_model().objects.filter(username=options["by"], is_active=True).first()
        if person is None:
            raise CommandError("name who acts with --by")
        try:
            if options["act"] == "close":
                gates.close_gate(capability=options["capability"], directive=options["directive"], by=person)
            else:
                closed = gates.in_force().filter(capability=options["capability"], service_id=None).first()
                if closed is None:
                    raise CommandError("this gate is open")
                gates.open_gate(gate_id=closed.pk, reason=options["reason"], by=person)
        except Refusal as refusal:
            raise CommandError(str(refusal.detail)) from refusal
        self.stdout.write(f"{options['capability']}: {'closed' if options['act'] == 'close' else 'open'}")
