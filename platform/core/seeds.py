"""What the ground needs from the start."""

from core.schedules import every


def seed() -> str:
    """The sweeper's schedule."""
    every(15, "core.tasks.sweep")
    every(3600, "core.tasks.tidy")
    return "ok"
