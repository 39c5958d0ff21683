"""What governance needs from the start."""

from governance.taxonomy import seed_categories


def seed() -> int:
    """Add the category tree."""
    return seed_categories()
