"""Checks: what looks at a side of a submission. Each is registered with a name, a version and the sides it looks at; a
check that raises leads to review, never to release (DS-10a)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from moderation import library, personal_information
from moderation.matching import Hits
from moderation.normalisation import NORMALISATION_VERSION, Normalised, normalise
from moderation.policy import Found

log = structlog.get_logger("checks")
SIDES = ("input", "output")


@dataclass(slots=True)
class Side:
    """One side of a submission as checks see it."""

    name: str
    text: str
    file: str | None
    technology: str
    _folded: Normalised | None = None

    def folded(self) -> Normalised:
        """The text folded for matching, once for all checks."""
        if self._folded is None:
            self._folded = normalise(self.text)
        return self._folded


@dataclass(frozen=True)
class Check:
    """A check: `run(side)` answers findings; `version()` says which library, model or rule set looked."""

    name: str
    run: Callable[[Side], list[Found]]
    version: Callable[[], str]
    sides: tuple[str, ...] = SIDES


CHECKS: dict[str, Check] = {}


def register(check: Check) -> Check:
    """Make a check part of screening."""
    CHECKS[check.name] = check
    return check


def look(side: Side) -> tuple[list[Found], dict[str, str]]:
    """Run every check of a side: its findings, and what each check said with its version. An exception becomes a
    finding of its own, which every policy sends to a person."""
    findings: list[Found] = []
    said: dict[str, str] = {}
    for check in CHECKS.values():
        if side.name not in check.sides:
            continue
        try:
            found = check.run(side)
        except Exception as exc:
            log.error("check_failed", check=check.name, error=type(exc).__name__, exc_info=exc)
            findings.append(Found(side.name, "check_failed", None, 0, detail=f"{check.name}: {type(exc).__name__}"))
            said[check.name] = f"failed@{check.version()}"
            continue
        findings += found
        said[check.name] = f"{'hit' if found else 'clear'}@{check.version()}"
    return findings, said


def _terms(side: Side) -> list[Found]:
    if not side.text:
        return []
    hits = library.current().matcher.find(side.folded())
    if hits.truncated:
        # More hits than are listed: what was not listed was not weighed, so a person looks.
        return [
            Found(side.name, "check_failed", None, 0, detail="terms: more hits than are listed"),
            *_found(side, hits),
        ]
    return _found(side, hits)


def _found(side: Side, hits: Hits) -> list[Found]:
    by_term: dict[int, Found] = {}
    for hit in hits:
        term = hit.term
        found = by_term.get(term.id)
        if found is None:
            found = by_term[term.id] = Found(
                side.name, "terms", term.category, term.severity, feature_id=term.id, feature_version=term.version
            )
        found.spans.append([hit.start, hit.end])
    return list(by_term.values())


def _personal_information(side: Side) -> list[Found]:
    """One finding a kind, with its places; what stands there is nowhere written (GA-11)."""
    by_kind: dict[str, Found] = {}
    for piece in personal_information.find(side.folded()) if side.text else ():
        kind = personal_information.KINDS[piece.kind]
        found = by_kind.setdefault(
            piece.kind, Found(side.name, "personal_information", kind.category, kind.severity, detail=piece.kind)
        )
        found.spans.append([piece.start, piece.end])
    return list(by_kind.values())


def _media(side: Side) -> list[Found]:
    # No decoder is in the house yet: what can't be looked at goes to a person (DS-10a allows manual means).
    return [Found(side.name, "media", None, 0, detail=side.file)] if side.file else []


register(Check("terms", _terms, lambda: f"library {library.current().version}, normalisation {NORMALISATION_VERSION}"))
register(
    Check(
        "personal_information",
        _personal_information,
        lambda: f"{personal_information.VERSION}, normalisation {NORMALISATION_VERSION}",
    )
)
register(Check("media", _media, lambda: "1"))
