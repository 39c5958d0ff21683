"""What accounts need from the start."""

from core.schedules import every


def seed() -> str:
    """The expiry of measures."""
    every(20, "accounts.tasks.expire_measures")
    every(60, "accounts.tasks.close_overdue")
    every(300, "accounts.tasks.prove_again")
    every(600, "accounts.tasks.remove_unclaimed_documents")
    every(3600, "accounts.tasks.forget_tries")
    every(3600, "accounts.tasks.tidy_guesses")
    every(3600, "accounts.tasks.erase_due")
    every(60, "accounts.tasks.write_key_usage")
    every(3600, "accounts.tasks.forget_imports")
    every(24 * 3600, "accounts.tasks.forget_key_usage")
    return "ok"
