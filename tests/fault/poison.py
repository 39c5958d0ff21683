"""A check that kills its own worker on a marked text: what a decoder's memory bug would do. Loaded only by the fault
tests' stack, through CHECK_MODULES."""

import os
import signal

from moderation.checks import Check, Side, Text, register
from moderation.library import Loaded
from moderation.policy import Found

MARK = "毒丸毒丸毒丸"


class Poison(Check):
    """Dies of the mark."""

    name = "poison"

    def version(self, library: Loaded) -> str:
        return "1"

    def look(self, side: Side, text: Text) -> list[Found]:
        if MARK in text.text:
            os.kill(os.getpid(), signal.SIGKILL)
        return []


register(Poison())
