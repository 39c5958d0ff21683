"""`manage.py bootstrap`: what every installation needs before its first request. Repeating it changes nothing."""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand

from core import calendar


class Command(BaseCommand):
    """Seeds the holiday table and asks each app for its own seeds (`<app>.seeds.seed()`)."""

    help = "Seed taxonomy, policy, holidays and schedules; safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        from importlib import import_module

        done: dict[str, Any] = {"holidays": calendar.seed_holidays()}
        for config in apps.get_app_configs():
            try:
                module = import_module(f"{config.name}.seeds")
            except ModuleNotFoundError as missing:
                if missing.name != f"{config.name}.seeds":
                    raise
                continue
            done[config.name] = module.seed()
        self.stdout.write(json.dumps(done, default=str))
