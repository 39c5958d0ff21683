"""The declared source of news (DS-06b, DS-06c): the named unit must be on the operator's list of source units, and the
address must be one it publishes under."""

from __future__ import annotations

from collections.abc import Sequence

from moderation import source_units
from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.policy import Found

CATEGORY = "false_news.unsourced"


class NewsSource(Check):
    """Looks at what was declared, not at the content."""

    name = "news_source"
    modality = "declared"
    sides = ("output",)
    cost = 0

    def version(self, library: Loaded) -> str:
        return f"list {source_units.current().version}"

    def prepare(self, sides: Sequence[Side]) -> None:
        """One version of the list for the whole batch."""
        if any(side.declared.get("news") for side in sides):
            units = source_units.current()
            for side in sides:
                side.notes[self.name] = units

    def look(self, side: Side, text: Text) -> list[Found]:
        """A finding where the source is not on the list, or the address not the unit's."""
        news = side.declared.get("news")
        if not news:
            return []
        units = side.notes.get(self.name) or source_units.current()
        problem = units.problem(news.get("source_unit", ""), news.get("url", ""))
        return [Found(side.name, self.name, CATEGORY, 2, detail=problem)] if problem else []


register(NewsSource())
