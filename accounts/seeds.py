"""What accounts need from the start."""

from core.schedules import every


def seed() -> str:
    """The expiry of measures."""
    every(20, "accounts.tasks.expire_measures")
    return "ok"
