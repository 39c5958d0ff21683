"""The words of back-tests: dispositions, how items stood before, and what a group of samples shows."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from moderation.backtest_trials import AGAIN, STORED

DISPOSITIONS = {
    "release": gettext_lazy("release"),
    "review": gettext_lazy("to a person"),
    "block": gettext_lazy("block"),
}
STANDINGS = {
    "people_release": gettext_lazy("A person released it"),
    "people_block": gettext_lazy("A person blocked it"),
    "policy_release": gettext_lazy("The policy released it"),
    "waiting": gettext_lazy("It waits for a person"),
    "policy_block": gettext_lazy("The policy blocked it"),
}
HOW = {
    STORED: gettext_lazy("judged on what was found when they came in"),
    AGAIN: gettext_lazy("looked at again with today's checks"),
}


def sample_title(cell: str) -> str:
    """What the items of one kind of outcome have in common."""
    what, _colon, rest = cell.partition(":")
    before, _arrow, after = rest.partition(">")
    words: dict[str, Any] = {"before": DISPOSITIONS.get(before, before), "after": DISPOSITIONS.get(after, after)}
    if what == "then":
        return _("Then: %(before)s. Now: %(after)s") % words
    if what == "people":
        return _("A person decided: %(before)s. It would: %(after)s") % words
    if what == "effect":
        return _("Without it: %(before)s. With it: %(after)s") % words
    if what == "hit":
        return _("Hit. %(standing)s") % {"standing": STANDINGS.get(rest, rest)}
    return _("Missed: a person blocked it under the same category")
