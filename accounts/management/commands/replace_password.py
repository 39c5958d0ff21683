"""`manage.py replace_password USERNAME --reason …`: for a colleague who forgot theirs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import sign_in
from accounts.models import Staff


class Command(BaseCommand):
    """Prints a new random password, this once. The person changes it on their security page."""

    help = "Give a colleague who forgot their password a random one; their second factor stays."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        staff = Staff.objects.filter(username=options["username"]).first()
        if staff is None:
            raise CommandError("There is no such user name.")
        self.stdout.write(sign_in.replace_password(staff_id=staff.pk, reason=options["reason"], by="system:command"))
