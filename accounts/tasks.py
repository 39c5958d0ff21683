"""What the clock does with accounts."""

from celery import shared_task

from accounts import measures


@shared_task(name="accounts.tasks.expire_measures", ignore_result=True)
def expire_measures() -> None:
    """End measures whose time is over."""
    measures.expire_due()
