"""Methods that no machine can judge: passports, permits, and everything where no service is configured."""

from __future__ import annotations

from accounts.verifiers.interface import NOT_APPLICABLE, Evidence, Outcome


class PersonDecides:
    """Says that this is for a person."""

    def verify(self, evidence: Evidence) -> Outcome:
        """Always not applicable."""
        return Outcome(NOT_APPLICABLE, "person_decides")
