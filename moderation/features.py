"""The procedure of the feature library (DS-10b): entries are proposed by one person and approved by another, revised by
the same road, taken back, refused and retired; and every change of what is in force counts the library's version up.

What an entry may be is in `moderation.feature_kinds`, what the brake does in `moderation.brake`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Max, Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from simple_history.utils import bulk_create_with_history

from core import audit
from core.errors import Conflict, NotFound, Refusal, field_error
from core.roles import check
from core.sql import run
from core.states import check_move, transition
from governance.models import Category
from moderation import near_text
from moderation.feature_kinds import Unfit, default_options_of, digest_of, fit
from moderation.models import Feature, Library
from moderation.patterns import MAX_PATTERNS
from moderation.states import FEATURE

__all__ = ["digest_of"]  # and everything below
STARTER = Path(__file__).parent / "data" / "terms.csv"
STARTER_SOURCE = "起步词库"  # what the library page shows as the source of the shipped terms
IN_FORCE = ("active", "braked")
# What a person says about an entry, beside its kind and its value.
SAID = ("allow", "category_id", "severity", "clause", "note", "source", "valid_from", "valid_to", "rollout")


def count_up() -> int:
    """Count the library's version up in the caller's transaction, and set its clock. Entries whose first or last day
    came since the last count change with this version, too."""
    row = hold()
    before, moment = row.clock_at, max(row.clock_at, now())
    row.version += 1
    row.clock_at = moment
    row.save(update_fields=["version", "clock_at", "changed_at"])
    for feature in _turning(before, moment):
        feature.changed_in = row.version
        feature.save(update_fields=["changed_in"])
        began = feature.valid_from is not None and before < feature.valid_from <= moment
        _tell("began" if began else "ended", feature, library=row.version)
    return row.version


def hold() -> Library:
    """Lock the library's row. It makes versions gapless and their order the order of commits. Whoever will count up
    asks for it before any entry's row, so that two never wait for each other in a circle."""
    Library.objects.get_or_create(pk=1)
    return Library.objects.select_for_update().get(pk=1)


def now() -> datetime:
    """This very moment by the database's clock, not the transaction's start: another may have counted up since."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def _turning(after: datetime, until: datetime) -> QuerySet[Feature]:
    return Feature.objects.filter(
        Q(valid_from__gt=after, valid_from__lte=until) | Q(valid_to__gt=after, valid_to__lte=until), state="active"
    )


def _tell(what: str, feature: Feature, **data: Any) -> None:
    audit.record(action=f"feature.{what}", subject=f"feature:{feature.pk}", by="system:clock", data=data)


def keep_time() -> bool:
    """Bring entries into and out of force whose time has come, by the database's clock; run by beat. Answers whether
    there were any."""
    with transaction.atomic():
        row = Library.objects.filter(pk=1).first()
        if row is None or not _turning(row.clock_at, now()).exists():
            return False
        count_up()
    return True


# Proposals


def propose(
    *,
    value: str,
    category: str,
    severity: int,
    by: Any,
    note: str = "",
    source: str = "",
    kind: str = "term",
    options: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    allow: bool = False,
    clause: str = "",
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
    rollout: int = 100,
) -> Feature:
    """Propose an entry. Refuses, naming the field, what the entry standard of its kind doesn't let pass, a category that
    is no leaf, a severity outside 1 to 4, days that end before they begin; with 409 what is in the library."""
    check(by, "feature.propose")
    said = {
        "allow": allow, "category_id": category, "severity": severity, "clause": clause, "note": note, "source": source,
        "valid_from": valid_from, "valid_to": valid_to, "rollout": rollout,
    }  # fmt: skip
    with transaction.atomic():
        feature = _fitted(Feature(kind=kind, value=value, proposed_by=by), options, data, said)
        if Feature.objects.filter(kind=kind, digest=feature.digest, allow=allow, state__in=IN_FORCE).exists():
            raise _known()
        _insert(feature)
        audit.record(
            action="feature.proposed",
            subject=f"feature:{feature.pk}",
            by=by,
            reason=note,
            data={"category": category, "kind": kind},
        )
    return feature


def revise(
    *,
    feature_id: int,
    by: Any,
    value: str | None = None,
    options: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    **said: Any,
) -> Feature:
    """Propose another version of an entry that is in force (or stopped by the brake); what isn't given stays as it is.
    The one in force goes on until somebody else approves the revision, and is retired by that. Refuses as `propose`, and
    with 409 while another revision waits."""
    check(by, "feature.propose")
    with transaction.atomic():
        old = _locked(feature_id)
        if old.state not in IN_FORCE:
            raise Conflict("not_in_force", _("Only an entry in force is revised."))
        if Feature.objects.filter(replaces=old, state="proposed").exists():
            raise Conflict("revision_waits", _("Another revision of this entry waits for approval."))
        fresh = Feature(kind=old.kind, value=old.value, proposed_by=by, replaces=old, version=old.version + 1)
        data = _data_kept(old, value, data)
        fresh.value = old.value if value is None else value
        feature = _fitted(
            fresh,
            old.options if options is None else options,
            data,
            {name: getattr(old, name) for name in SAID} | _renamed(said),
        )
        if _content(feature) == _content(old):
            raise Conflict("nothing_changed", _("Nothing is different from the entry in force."))
        taken = Feature.objects.filter(kind=old.kind, digest=feature.digest, allow=feature.allow, state__in=IN_FORCE)
        if taken.exclude(pk=old.pk).exists():
            raise _known()
        _insert(feature)
        audit.record(
            action="feature.revised",
            subject=f"feature:{old.pk}",
            by=by,
            reason=feature.note,
            data={"by": feature.pk, "changed": changes(old, feature)},
        )
    return feature


def edit(
    *,
    feature_id: int,
    by: Any,
    value: str | None = None,
    options: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    **said: Any,
) -> Feature:
    """Change one's own proposal while nobody has approved it; whoever has the old text before them can't approve the new
    one (contract, ruling 7)."""
    check(by, "feature.propose")
    with transaction.atomic():
        feature = _locked(feature_id)
        _own_proposal(feature, by)
        before = _content(feature)
        data = _data_kept(feature, value, data)
        feature.value = feature.value if value is None else value
        earlier = {name: getattr(feature, name) for name in SAID}
        _fitted(feature, feature.options if options is None else options, data, earlier | _renamed(said))
        if _content(feature) == before:
            return feature
        taken = Feature.objects.filter(
            kind=feature.kind, digest=feature.digest, allow=feature.allow, state__in=IN_FORCE
        )
        if taken.exclude(pk=feature.replaces_id or 0).exists():
            raise _known()
        feature.proposed_at = Now()
        try:
            with transaction.atomic():
                feature.save()
        except IntegrityError as twice:
            raise _known() from twice
        feature.refresh_from_db(fields=["proposed_at"])
        worked_in([feature])
        audit.record(action="feature.edited", subject=f"feature:{feature.pk}", by=by, reason=feature.note)
    return feature


def withdraw(*, feature_id: int, by: Any, reason: str = "") -> Feature:
    """Take one's own proposal back."""
    check(by, "feature.propose")
    with transaction.atomic():
        feature = _locked(feature_id)
        _own_proposal(feature, by)
        return transition(FEATURE, feature, "withdraw", by=by, reason=reason)


def _data_kept(feature: Feature, value: str | None, data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    # The value of a video or a sound is only its name: what it is known by lies in its data.
    same = value is None or value == feature.value or feature.kind in ("video", "audio")
    return feature.data if data is None and same else data


def _own_proposal(feature: Feature, by: Any) -> None:
    check_move(FEATURE, feature.state, "withdraw")
    if feature.proposed_by_id != by.pk:
        raise Refusal("not_own_proposal", _("Only its proposer changes a proposal."), status=403)


def _renamed(said: Mapping[str, Any]) -> dict[str, Any]:
    named = {("category_id" if name == "category" else name): value for name, value in said.items()}
    if unknown := named.keys() - set(SAID):
        raise TypeError(f"unknown: {sorted(unknown)}")
    return named


def _fitted(
    feature: Feature, options: Mapping[str, Any] | None, data: Mapping[str, Any] | None, said: Mapping[str, Any]
) -> Feature:
    """The entry with everything that is said about it, checked. Raises Refusal."""
    leaves = Category.objects.filter(pk=str(said["category_id"])[:40], leaf=True).values_list("pk", flat=True)
    try:
        if options is None:
            options = default_options_of(feature.kind, feature.value)
        taken = fit(feature.kind, feature.value, options, data)
        stand(said, set(leaves), at=now())
    except Unfit as unfit:
        raise unfit.refusal() from None
    feature.value, feature.digest = taken.value, taken.digest
    feature.data, feature.options = taken.data, taken.options
    for name, given in said.items():
        setattr(feature, name, given)
    return feature


def stand(said: Mapping[str, Any], leaves: set[str], *, at: datetime) -> None:
    """Check what is said about an entry beside its value. Raises Unfit."""
    if said["category_id"] not in leaves:
        raise Unfit("category", "unknown", _("Choose a leaf of the category tree."))
    if said["severity"] not in (1, 2, 3, 4):
        raise Unfit("severity", "range", _("Severity is 1 to 4."))
    if said["rollout"] not in range(1, 101):
        raise Unfit("rollout", "range", _("A share is 1 to 100 per cent."))
    begins, ends = said["valid_from"], said["valid_to"]
    if begins is not None and ends is not None and ends <= begins:
        raise Unfit("valid_to", "range", _("It would end before it begins."))
    if ends is not None and ends <= at:
        raise Unfit("valid_to", "past", _("This day is over."))
    for name, most in (("clause", 200), ("note", 300), ("source", 120)):
        if len(said[name]) > most or "\x00" in said[name]:
            raise Unfit(name, "length", _("At most %d characters.") % most)


def _insert(feature: Feature) -> None:
    try:
        with transaction.atomic():
            feature.save(force_insert=True)
    except IntegrityError as twice:
        raise _known() from twice
    feature.refresh_from_db(fields=["proposed_at"])
    worked_in([feature])


def worked_in(features: list[Feature]) -> None:
    """Put beside new entries what the database compares them by (the bands of near-duplicate texts)."""
    for feature in features:
        if feature.kind == "text":
            near_text.store_bands(feature)


def _known() -> Conflict:
    return Conflict("already_in_library", _("This entry is in the library already."))


def _content(feature: Feature) -> dict[str, Any]:
    return {name: getattr(feature, name) for name in ("value", "data", "options", *SAID)}


def changes(old: Feature, new: Feature) -> list[str]:
    """The names of the fields in which two versions differ, as people know them."""
    before, after = _content(old), _content(new)
    return sorted(name.removesuffix("_id") for name in before if before[name] != after[name])


def seen(feature: Feature) -> str:
    """What an approval names: the text of the proposal that the person had before them (contract, ruling 7)."""
    content = _content(feature) | {"kind": feature.kind}
    return digest_of(json.dumps(content, sort_keys=True, default=str))[:16]


# Decisions about proposals


def approve(*, feature_id: int, by: Any, saw: str = "") -> Feature:
    """Put a proposed entry in force; nobody approves what they proposed (also a constraint). The approval of a revision
    retires the version before it in the same moment. `saw` is `seen(feature)` as it was on the page: a proposal that was
    edited since is refused with 409."""
    check(by, "feature.approve")
    try:
        with transaction.atomic():
            hold()
            feature = _locked(feature_id)
            check_move(FEATURE, feature.state, "approve")
            if feature.proposed_by_id == by.pk:
                raise Refusal("own_proposal", _("Nobody approves what they proposed."), status=403)
            if saw and saw != seen(feature):
                raise Conflict("proposal_changed", _("The proposal was changed since you saw it. Look again."))
            if feature.valid_to is not None and feature.valid_to <= now():
                raise Conflict("days_over", _("The last day of this entry is over."))
            _room_for(feature)
            version = count_up()
            if feature.replaces_id is not None:
                _replace(feature, version, by)
            feature.approved_by, feature.approved_at, feature.changed_in = by, Now(), version
            transition(
                FEATURE,
                feature,
                "approve",
                by=by,
                also=["approved_by", "approved_at", "changed_in"],
                data={"library": version},
            )
    except IntegrityError as twice:
        raise _known() from twice
    feature.refresh_from_db(fields=["approved_at"])
    return feature


def _replace(feature: Feature, version: int, by: Any) -> None:
    old = _locked(feature.replaces_id or 0)
    if old.state not in IN_FORCE:
        raise Conflict("replaced_gone", _("The entry that it replaces is no longer in force. Propose it as a new one."))
    old.changed_in = version
    transition(FEATURE, old, "replace", by=by, also=["changed_in"], data={"library": version, "by": feature.pk})


def _room_for(feature: Feature) -> None:
    if feature.kind != "pattern" or feature.replaces_id is not None:
        return
    if Feature.objects.filter(kind="pattern", state="active").count() >= MAX_PATTERNS:
        raise Conflict("too_many_patterns", _("There are as many patterns in force as can be looked for at once."))


def refuse(*, feature_id: int, reason: str, by: Any) -> Feature:
    """Turn somebody else's proposal down; one's own is taken back (`withdraw`)."""
    check(by, "feature.approve")
    with transaction.atomic():
        feature = _locked(feature_id)
        check_move(FEATURE, feature.state, "refuse")
        if feature.proposed_by_id == by.pk:
            raise Refusal("own_proposal", _("Take your own proposal back instead."), status=403)
        return transition(FEATURE, feature, "refuse", by=by, reason=reason)


def retire(*, feature_id: int, reason: str, by: Any) -> Feature:
    """Take an entry out of force; its history stays."""
    check(by, "feature.approve")
    _said_why(reason, _("Say why it is retired."))
    with transaction.atomic():
        hold()
        feature = _locked(feature_id)
        check_move(FEATURE, feature.state, "retire")
        feature.changed_in = version = count_up()
        return transition(
            FEATURE, feature, "retire", by=by, reason=reason, also=["changed_in"], data={"library": version}
        )


def let_go(*, feature_id: int, reason: str, by: Any) -> Feature:
    """Put an entry that the brake stopped in force again; the brake leaves it alone from then on."""
    check(by, "feature.approve")
    _said_why(reason, _("Say why it may go on."))
    try:
        with transaction.atomic():
            hold()
            feature = _locked(feature_id)
            check_move(FEATURE, feature.state, "let_go")
            feature.changed_in = version = count_up()
            return transition(
                FEATURE, feature, "let_go", by=by, reason=reason, also=["changed_in"], data={"library": version}
            )
    except IntegrityError as twice:
        raise _known() from twice


def _said_why(reason: str, sentence: Any) -> None:
    if not reason.strip():
        raise Refusal(
            "fields_invalid", _("Some fields can't be taken."), errors=[field_error("reason", "required", sentence)]
        )


def _locked(feature_id: int) -> Feature:
    feature = Feature.objects.select_for_update(of=("self",)).filter(pk=feature_id).first()
    if feature is None:
        raise NotFound("not_found", _("There is no such entry."))
    return feature


# Whole lists


def propose_starter(*, by: Any) -> int:
    """Propose the shipped starter terms that the library does not know; returns how many."""
    check(by, "feature.propose")
    leaves = set(Category.objects.filter(leaf=True).values_list("code", flat=True))
    known = set(Feature.objects.filter(kind="term", allow=False).values_list("digest", flat=True))
    with STARTER.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    if unknown := sorted({row["category"] for row in rows} - leaves):
        raise Refusal("category_unknown", _("The file names categories that aren't leaves: %s") % ", ".join(unknown))
    fresh = []
    for row in rows:
        options = json.loads(row["options"]) if row.get("options") else default_options_of(row["kind"], row["value"])
        taken = fit(row["kind"], row["value"], options)
        if taken.digest not in known:
            known.add(taken.digest)
            fresh.append((row, taken))
    with transaction.atomic():
        made = bulk_create_with_history(
            [
                Feature(
                    kind=row["kind"],
                    value=taken.value,
                    digest=taken.digest,
                    data=taken.data,
                    options=taken.options,
                    category_id=row["category"],
                    severity=int(row["severity"]),
                    note=row["note"],
                    source=STARTER_SOURCE,
                    proposed_by=by,
                )
                for row, taken in fresh
            ],
            Feature,
            batch_size=500,
        )
        audit.record(action="feature.starter_proposed", subject="library:1", by=by, data={"rows": len(made)})
    return len(made)


def waiting_lists(person: Any) -> list[dict[str, Any]]:
    """Sources with several entries that this person could approve at once: how many, and `saw`, which names what they
    have before them."""
    rows = (
        Feature.objects.filter(state="proposed", replaces=None)
        .exclude(source="")
        .exclude(proposed_by=person.pk)
        .values("source")
        .annotate(entries=Count("pk"), latest=Max("proposed_at"))
        .filter(entries__gt=1)
        .order_by("-entries", "source")
    )
    return [
        {"source": row["source"], "entries": row["entries"], "saw": _saw_list(row["entries"], row["latest"])}
        for row in rows[:10]
    ]


def _saw_list(entries: int, latest: datetime) -> str:
    return f"{entries}:{latest.timestamp():.6f}"


def approve_all(*, by: Any, source: str, saw: str = "") -> int:
    """Approve every proposed entry of one source that somebody else proposed: the person stands for the whole list.
    Revisions are left, each of them is a decision of its own; so is what came into the library meanwhile. With `saw` (see
    `waiting_lists`) a list that changed since is refused with 409."""
    check(by, "feature.approve")
    with transaction.atomic():
        hold()
        waiting = Feature.objects.filter(state="proposed", source=source, replaces=None).exclude(proposed_by=by)
        # Locked in one order, so that two approvals of the same list wait for each other and never in a circle.
        locked = list(waiting.select_for_update(of=("self",)).order_by("pk").values_list("pk", "proposed_at", "kind"))
        if saw and locked and saw != _saw_list(len(locked), max(at for _pk, at, _kind in locked)):
            raise Conflict("list_changed", _("The list was changed since you saw it. Look again."))
        if not locked:
            return 0
        more = sum(kind == "pattern" for _pk, _at, kind in locked)
        if more and Feature.objects.filter(kind="pattern", state="active").count() + more > MAX_PATTERNS:
            raise Conflict("too_many_patterns", _("There are as many patterns in force as can be looked for at once."))
        version = count_up()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '240s'; SET LOCAL enable_nestloop = off")
        done = run(
            "moderation/approve_features",
            {"ids": [pk for pk, _at, _kind in locked], "by": by.pk, "version": version},
        )[0][0]
        audit.record(
            action="feature.list_approved",
            subject="library:1",
            by=by,
            data={"source": source, "count": done, "library": version, "first": locked[0][0]},
        )
    return done


def bump() -> None:
    """Count the version up and have every process read the whole library anew, e.g. after a restore."""
    with transaction.atomic():
        version = count_up()
        row = Library.objects.get(pk=1)
        row.whole_since = version
        row.save(update_fields=["whole_since"])
