"""What the clock does with the review queue."""

from celery import shared_task

from moderation import brake, feature_imports, features, queue


@shared_task(name="moderation.tasks.return_expired", ignore_result=True)
def return_expired() -> None:
    """Put items whose lease ran out back into their queue."""
    queue.return_expired()


@shared_task(name="moderation.tasks.watch_library", ignore_result=True)
def watch_library() -> None:
    """Bring entries into and out of force whose day has come, and stop new ones that match too much."""
    features.keep_time()
    brake.pull()


@shared_task(name="moderation.tasks.forget_feature_imports", ignore_result=True)
def forget_feature_imports() -> None:
    """Remove the rows of old imports of entries."""
    feature_imports.forget_old()
