"""What the clock does with bundles."""

from celery import shared_task

from reporting import schedules


@shared_task(name="reporting.tasks.daily_bundles", ignore_result=True)
def daily_bundles() -> None:
    """Have the daily bundles made."""
    schedules.due_bundles()


@shared_task(name="reporting.tasks.missed_bundles", ignore_result=True)
def missed_bundles() -> None:
    """The same, often: for a day whose message was lost, and for a chain that stands still."""
    schedules.due_bundles()
