"""The Celery application. Messages are wake-ups without content; the truth about work is in core.jobs."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun, worker_init
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
app = Celery("mingjian")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Celery's Django fixup closes the connection around every task whatever CONN_MAX_AGE says; this many tasks reuse it.
app.conf["CELERY_DB_REUSE_MAX"] = 500
app.autodiscover_tasks()


@worker_init.connect
def prepare_worker(sender: Any = None, **kwargs: object) -> None:
    """Build what every child needs once, before the worker forks."""
    from moderation import library, normalisation

    normalisation.prepare()
    if "prefork" in str(getattr(sender, "pool_cls", "")):  # the courier's threads screen nothing
        library.preload()


@task_prerun.connect
def look_at_connections(**kwargs: object) -> None:
    """Before each task do what Django does before each request: drop a connection that died. With CELERY_DB_REUSE_MAX
    nothing else would, and an idle worker would stay deaf after a restart of PostgreSQL."""
    close_old_connections()
