"""`manage.py plant_honey --service CODE --count N --by USERNAME`: adds honey records (docs/keys.md)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import honey
from accounts.models import Staff
from core.errors import Refusal
from governance.models import Service


class Command(BaseCommand):
    """Parses, calls one command, renders."""

    help = "Plant invented users whose touch rings an alarm, as an auditor."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--service", required=True, help="code of the service")
        parser.add_argument("--count", type=int, default=20)
        parser.add_argument("--by", required=True, help="user name of the member of staff")

    def handle(self, *args: Any, **options: Any) -> None:
        service = Service.objects.filter(code=options["service"]).first()
        person = Staff.objects.filter(username=options["by"], is_active=True).first()
        if service is None or person is None:
            raise CommandError("there is no such service, or no such member of staff")
        try:
            planted = honey.plant(service=service, count=options["count"], by=person)
        except Refusal as refusal:
            raise CommandError(str(refusal.detail)) from refusal
        self.stdout.write(f"{planted} planted")
