"""The prompt for the edited person's separate consent (DS-14b), asked again where screening can see what intake could
not: a function that began to edit faces or voices after the item came in, or that never said that it does."""

from __future__ import annotations

from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.policy import Found


class ConsentPrompt(Check):
    """Looks at what was declared, not at the content."""

    name = "consent_prompt"
    modality = "declared"
    sides = ("output",)
    cost = 0

    def version(self, library: Loaded) -> str:
        return "1"

    def look(self, side: Side, text: Text) -> list[Found]:
        """A finding where a face or voice may have been edited and nobody acknowledged the prompt."""
        edits = side.edits_biometrics or side.technology == "biometric_image_video"
        if not edits or side.declared.get("consent_prompt_acknowledged"):
            return []
        return [Found(side.name, self.name, None, 2, detail="prompt_not_acknowledged")]


register(ConsentPrompt())
