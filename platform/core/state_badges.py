"""How a state looks on a page: its word, its tone and its icon. The word never stands for more than the state says."""

from __future__ import annotations

from typing import Any

from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from core.states import MACHINES

# state, or machine.state where the same name means different things -> (tone, icon); tones are classes of content.css
LOOKS: dict[str, tuple[str, str]] = {
    # a rumor case
    "confirmed_false": ("bad", "alert-triangle"),
    # a rumor case
    "not_false": ("quiet", "check"),
    # a rumor case
    "waived": ("quiet", "minus"),
    # a bundle
    "making": ("info", "refresh"),
    # a submission
    "screening": ("info", "hourglass"),
    "in_review": ("warn", "gavel"),
    "released": ("ok", "circle-check"),
    "blocked": ("bad", "ban"),
    "withdrawn": ("quiet", "arrow-back-up"),
    # an identity
    "unverified": ("quiet", "circle-dashed"),
    "pending": ("warn", "clock"),
    "verified": ("ok", "rosette-discount-check"),
    "rejected": ("bad", "circle-x"),
    "replaced": ("quiet", "history"),
    "expired": ("quiet", "history"),
    # an account and its measures
    "active": ("ok", "circle-check"),
    "warned": ("warn", "alert-triangle"),
    "limited": ("warn", "lock"),
    "suspended": ("bad", "ban"),
    "closed": ("quiet", "lock"),
    "in_force": ("bad", "scale"),
    "lifted": ("quiet", "arrow-back-up"),
    # a feature, a policy
    "draft": ("quiet", "pencil"),
    "proposed": ("warn", "clock"),
    "braked": ("bad", "player-pause"),
    # a list of entries
    "checking": ("info", "refresh"),
    "checked": ("warn", "list-check"),
    "trained": ("warn", "clock"),
    "approved": ("ok", "check"),
    "live": ("ok", "circle-dot"),
    "policy.shadow": ("info", "eye"),
    "retired": ("quiet", "archive"),
    # a request about personal data
    "received": ("warn", "inbox"),
    "working": ("info", "pencil"),
    "frozen": ("quiet", "lock"),
    "person_request.refused": ("bad", "ban"),
    # a rumor case
    "open": ("warn", "circle-dot"),
    "opened": ("warn", "circle-dot"),
    "verifying": ("info", "search"),
    "refuted": ("info", "message-report"),
    "published": ("ok", "speakerphone"),
    "reported": ("ok", "send"),
    "dismissed": ("quiet", "x"),
    # a job, a delivery, an export
    "queued": ("info", "clock"),
    "running": ("info", "refresh"),
    "aborted": ("quiet", "ban"),
    "done": ("ok", "check"),
    "ready": ("ok", "check"),
    "sent": ("ok", "send"),
    "failed": ("bad", "alert-triangle"),
    "quarantined": ("bad", "alert-triangle"),
}

# The words of states that no table of core.states has.
WORDS: dict[str, Any] = {
    "unverified": _("not verified"),
    "account.active": _("active account"),
    "warned": _("warned"),
    "limited": _("limited"),
    "suspended": _("suspended"),
    "account.closed": _("closed account"),
    "queued": _("waiting"),
    "running": _("running"),
    "done": _("done"),
    "ready": _("ready"),
    "sent": _("sent"),
    "failed": _("failed"),
    "quarantined": _("quarantined"),
}


def look(state: str, machine: str = "") -> dict[str, Any]:
    """Word, tone and icon of a state. The word is the one of its table in some app's states.py; an unknown state is
    shown quietly as it is."""
    tone, icon = LOOKS.get(f"{machine}.{state}") or LOOKS.get(state) or ("quiet", "circle-dashed")
    return {"state": state, "word": capfirst(str(_word(state, machine))), "tone": tone, "icon": icon}


def _word(state: str, machine: str) -> Any:
    if machine in MACHINES:
        return MACHINES[machine].words.get(state, state)
    own = WORDS.get(f"{machine}.{state}") or WORDS.get(state)
    return own or next((known.words[state] for known in MACHINES.values() if state in known.words), state)
