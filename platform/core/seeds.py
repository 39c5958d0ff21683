"""What the ground needs from the start."""

from core.schedules import every


def seed() -> str:
    """The sweeper, the end of gates, the broom."""
    every(15, "core.tasks.sweep")
    every(20, "core.tasks.end_gates")
    every(3600, "core.tasks.tidy")
    return "ok"
