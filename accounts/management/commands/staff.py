"""`manage.py staff NAME --role ROLE`: the first administrator of a new installation, and a way back in when nobody can
invite any more. Everybody else is invited on the staff page."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import staff
from core import roles
from core.errors import Refusal


class Command(BaseCommand):
    """Makes an account and prints its first password, this once."""

    help = "Make an account for a colleague; prints the first password."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("username")
        parser.add_argument("--display-name", default="")
        parser.add_argument("--role", choices=sorted(roles.ROLES), default=roles.ADMIN)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            person, password = staff.create_staff(
                username=options["username"],
                display_name=options["display_name"] or options["username"],
                role=options["role"],
                by="system:shell",
            )
        except Refusal as refusal:
            said = [str(refusal.detail), *[str(error["detail"]) for error in refusal.further]]
            raise CommandError(" ".join(said)) from refusal
        self.stdout.write(f"{person.username} {password}")
