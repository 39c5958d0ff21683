"""Celery's own command line with the product's application: `manage.py celery worker`, `manage.py celery beat`."""

from __future__ import annotations

from django.core.management.base import BaseCommand
from django.utils.module_loading import import_string


class Command(BaseCommand):
    """Hands everything after `celery` on, so that no PYTHONPATH and no -A is needed."""

    help = "Runs a Celery command with this application, for example: celery worker --loglevel INFO"

    def run_from_argv(self, argv: list[str]) -> None:
        """Celery parses its own options; Django's parser never sees them."""
        # By name: core lies below config and may not import it.
        import_string("config.celery.app").start(argv[2:])
