"""The feature library (DS-10b): entries are proposed by one person and approved by another; every change counts the
library's version up, and workers take the new version within a second."""

from __future__ import annotations

import csv
import hashlib
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from core import audit
from core.errors import Conflict, NotFound, Refusal, field_error
from core.roles import check
from core.states import transition
from governance.models import Category
from moderation.matching import EmptyTermError, Matcher, Term
from moderation.models import Feature, Library
from moderation.states import FEATURE

STARTER = Path(__file__).parent / "data" / "terms.csv"
STARTER_SOURCE = "起步词库"  # what the library page shows as the source of the shipped terms
LOOK_AGAIN = 1.0  # seconds


@dataclass(frozen=True)
class Loaded:
    """One version of the library, ready to match."""

    version: int
    matcher: Matcher


_loaded: Loaded | None = None
_look_at = 0.0


def current() -> Loaded:
    """The library that is in force; looked at again after LOOK_AGAIN seconds, rebuilt only when its version moved."""
    global _loaded, _look_at
    if _loaded is None or time.monotonic() >= _look_at:
        version = Library.objects.values_list("version", flat=True).filter(pk=1).first() or 0
        if _loaded is None or version != _loaded.version:
            _loaded = _build(version)
        _look_at = time.monotonic() + LOOK_AGAIN
    return _loaded


def _build(version: int) -> Loaded:
    rows = Feature.objects.filter(state="active", kind="term").values_list(
        "id", "version", "value", "category_id", "severity", "kind", "options", "data", "allow", "rollout"
    )
    return Loaded(version, Matcher([Term(*row) for row in rows]))


def _count_up() -> int:
    # The row lock makes versions gapless and their order the order of commits.
    Library.objects.get_or_create(pk=1)
    library = Library.objects.select_for_update().get(pk=1)
    library.version += 1
    library.save(update_fields=["version", "changed_at"])
    return library.version


def digest_of(value: str) -> str:
    """By what an entry is known: the SHA-256 of its value's canonical form."""
    return hashlib.sha256(value.encode()).hexdigest()


def _clean(value: str) -> str:
    value = unicodedata.normalize("NFC", value).strip()
    if not 2 <= len(value) <= 200 or "\x00" in value:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("value", "length", _("A term has 2 to 200 characters."))],
        )
    try:
        Matcher([Term(0, 1, value, "", 1)])
    except EmptyTermError:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("value", "empty", _("Nothing of this term is left to match."))],
        ) from None
    return value


def propose(
    *, value: str, category: str, severity: int, by: Any, note: str = "", source: str = "", kind: str = "term"
) -> Feature:
    """Propose an entry. Refuses a term that is in the library, a category that is no leaf, a severity outside 1 to 4."""
    check(by, "feature.propose")
    value = _clean(value)
    leaf = Category.objects.filter(pk=category, leaf=True).first()
    if leaf is None:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("category", "unknown", _("Choose a leaf of the category tree."))],
        )
    if severity not in (1, 2, 3, 4):
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("severity", "range", _("Severity is 1 to 4."))],
        )
    try:
        with transaction.atomic():
            feature = Feature.objects.create(
                kind=kind,
                value=value,
                digest=digest_of(value),
                category=leaf,
                severity=severity,
                note=note,
                source=source,
                proposed_by=by,
            )
            audit.record(
                action="feature.proposed",
                subject=f"feature:{feature.pk}",
                by=by,
                reason=note,
                data={"category": category},
            )
    except IntegrityError as twice:
        raise Conflict("already_in_library", _("This term is in the library already.")) from twice
    return feature


def approve(*, feature_id: int, by: Any) -> Feature:
    """Put a proposed entry in force; nobody approves what they proposed (also a constraint)."""
    check(by, "feature.approve")
    with transaction.atomic():
        feature = _locked(feature_id)
        if feature.proposed_by_id == by.pk:
            raise Refusal("own_proposal", _("Nobody approves what they proposed."), status=403)
        feature.approved_by, feature.approved_at = by, Now()
        version = _count_up()
        transition(FEATURE, feature, "approve", by=by, also=["approved_by", "approved_at"], data={"library": version})
    return feature


def refuse(*, feature_id: int, reason: str, by: Any) -> Feature:
    """Turn a proposal down."""
    check(by, "feature.approve")
    with transaction.atomic():
        return transition(FEATURE, _locked(feature_id), "refuse", by=by, reason=reason)


def retire(*, feature_id: int, reason: str, by: Any) -> Feature:
    """Take an active entry out of force; its history stays."""
    check(by, "feature.approve")
    if not reason.strip():
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("reason", "required", _("Say why it is retired."))],
        )
    with transaction.atomic():
        feature = _locked(feature_id)
        version = _count_up()
        return transition(FEATURE, feature, "retire", by=by, reason=reason, data={"library": version})


def _locked(feature_id: int) -> Feature:
    feature = Feature.objects.select_for_update(of=("self",)).filter(pk=feature_id).first()
    if feature is None:
        raise NotFound("not_found", _("There is no such entry."))
    return feature


def propose_starter(*, by: Any) -> int:
    """Propose the shipped starter terms that the library does not know; returns how many."""
    check(by, "feature.propose")
    leaves = set(Category.objects.filter(leaf=True).values_list("code", flat=True))
    known = set(Feature.objects.filter(kind="term").values_list("value", flat=True))
    with STARTER.open(encoding="utf-8", newline="") as opened:
        rows = [r for r in csv.DictReader(opened) if _clean(r["value"]) not in known]
    if unknown := sorted({r["category"] for r in rows} - leaves):
        raise Refusal("category_unknown", _("The file names categories that aren't leaves: %s") % ", ".join(unknown))
    with transaction.atomic():
        made = bulk_create_with_history(
            [
                Feature(
                    kind=row["kind"],
                    value=_clean(row["value"]),
                    digest=digest_of(_clean(row["value"])),
                    category_id=row["category"],
                    severity=int(row["severity"]),
                    note=row["note"],
                    source=STARTER_SOURCE,
                    proposed_by=by,
                )
                for row in rows
            ],
            Feature,
            batch_size=500,
        )
        audit.record(action="feature.starter_proposed", subject="library:1", by=by, data={"rows": len(made)})
    return len(made)


def approve_all(*, by: Any, source: str) -> int:
    """Approve every proposed entry of one source that somebody else proposed: the person stands for the whole list."""
    check(by, "feature.approve")
    with transaction.atomic():
        waiting = list(
            Feature.objects.select_for_update(of=("self",))
            .filter(state="proposed", source=source)
            .exclude(proposed_by=by)
        )
        if waiting:
            version, at = _count_up(), timezone.now()
            for feature in waiting:
                feature.approved_by, feature.approved_at, feature.state = by, at, "active"
            bulk_update_with_history(waiting, Feature, ["approved_by", "approved_at", "state"], batch_size=500)
            audit.record(
                action="feature.list_approved",
                subject="library:1",
                by=by,
                data={"source": source, "count": len(waiting), "library": version, "first": waiting[0].pk},
            )
    return len(waiting)


def bump() -> None:
    """Count the version up without a change, e.g. after a restore."""
    with transaction.atomic():
        _count_up()
