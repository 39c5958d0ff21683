"""A check that kills its own worker on a marked text: what a decoder's memory bug would do. Loaded only by the fault
tests' stack, through CHECK_MODULES."""

import os
import signal

from moderation.checks import Check, Side, register
from moderation.policy import Found

MARK = "毒丸毒丸毒丸"


def _run(side: Side) -> list[Found]:
    if MARK in side.text:
        os.kill(os.getpid(), signal.SIGKILL)
    return []


register(Check("poison", _run, lambda: "1"))
