"""What the clock does with the review queue."""

from celery import shared_task

from moderation import queue


@shared_task(name="moderation.tasks.return_expired", ignore_result=True)
def return_expired() -> None:
    """Put items whose lease ran out back into their queue."""
    queue.return_expired()
