"""The schedule that beat keeps (django-celery-beat): seeded here, seen and changed by the operator afterwards."""

from __future__ import annotations

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask


def every(seconds: int, task: str) -> None:
    """Have a task run every so many seconds; an existing schedule of this name stays as the operator set it."""
    interval, _created = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
    # A message that nobody took before the next one is due would only pile up behind a stopped worker.
    PeriodicTask.objects.get_or_create(
        name=task, defaults={"task": task, "interval": interval, "expire_seconds": max(seconds, 5)}
    )


def daily(task: str, *, hour: int, minute: int) -> None:
    """Have a task run every day at a time of Asia/Shanghai."""
    at, _created = CrontabSchedule.objects.get_or_create(
        minute=str(minute),
        hour=str(hour),
        day_of_week="*",
        day_of_month="*",
        month_of_year="*",
        timezone="Asia/Shanghai",
    )
    PeriodicTask.objects.get_or_create(name=task, defaults={"task": task, "crontab": at})
