"""What reporting needs from the start."""

from core.schedules import daily, every
from reporting.schedules import HOUR


def seed() -> str:
    """The schedule of the daily bundles, and the look for missed ones."""
    daily("reporting.tasks.daily_bundles", hour=HOUR, minute=0)
    every(900, "reporting.tasks.missed_bundles")
    return "ok"
