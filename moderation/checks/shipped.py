"""The checks that ship with the product; importing this module registers them."""

from moderation.checks import media, personal_data, terms  # noqa: F401
