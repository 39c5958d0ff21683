"""`manage.py reset_second_factor USERNAME --reason …`: for a colleague who lost their factors and all recovery codes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import second_factor
from accounts.models import Staff


class Command(BaseCommand):
    """Removes the factors, signs the person out and writes it into the ledger. Check who is asking."""

    help = "Remove the second factors of a colleague who lost them; at the next sign-in they enrol anew."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        staff = Staff.objects.filter(username=options["username"]).first()
        if staff is None:
            raise CommandError("There is no such user name.")
        gone = second_factor.reset(staff_id=staff.pk, reason=options["reason"], by="system:command")
        self.stdout.write(f"{gone} factors removed")
