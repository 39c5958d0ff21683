"""What every verifier of identities is: evidence in, outcome out, nothing personal kept of either (DS-09a)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

MATCH, MISMATCH, UNAVAILABLE, NOT_APPLICABLE = "match", "mismatch", "unavailable", "not_applicable"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a user handed in, in the clear for as long as it is looked at. Its repr shows none of it."""

    identity_id: UUID
    method: str
    name: str = field(default="", repr=False)
    number: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verifier says. `detail` is a stable code and `reference` the verifier's own mark of its answer; neither
    holds anything personal. `again`: a later try may do better. `lie`: no honest mistake explains it."""

    result: str
    detail: str = ""
    reference: str = ""
    again: bool = False
    lie: bool = False


class IdentityVerifier(Protocol):
    """One way of verifying."""

    def verify(self, evidence: Evidence) -> Outcome:
        """Judge the evidence. Never raises for what a verifier may do wrong: that is an Outcome `unavailable`."""
