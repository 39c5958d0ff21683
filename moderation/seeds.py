"""What moderation needs from the start: a policy, the library's row, its schedules."""

from core.schedules import every
from moderation.models import Library
from moderation.policy import seed_first_policy


def seed() -> str:
    """Put policy v1 in force where there is none."""
    seed_first_policy()
    Library.objects.get_or_create(pk=1)
    every(5, "moderation.tasks.return_expired")
    every(5, "moderation.tasks.watch_library")
    every(3600, "moderation.tasks.forget_feature_imports")
    return "ok"
