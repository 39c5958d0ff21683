"""The life of a policy: draft → shadow → live, each version approved by somebody else than its author and never changed
once it left the draft (DS-10a; contract.md rulings 4 and 7)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import Conflict, Forbidden, NotFound, Refusal, field_error
from core.options import option
from core.roles import actor, check
from core.states import check_move, transition
from moderation import policy_validation
from moderation.models import Backtest, PolicyVersion
from moderation.policy_conditions import CODES, CONDITIONS
from moderation.states import POLICY


def tidy(rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rules as they are stored: names trimmed, lists as lists, what is at its default left out."""
    return [
        {
            "id": rule["id"],
            "name": rule["name"].strip(),
            **({"name_en": rule["name_en"].strip()} if rule.get("name_en", "").strip() else {}),
            "when": {
                name: [value]
                if name in CONDITIONS and CONDITIONS[name].kind == CODES and isinstance(value, str)
                else value
                for name, value in rule.get("when", {}).items()
            },
            "then": rule["then"],
            **({"priority": rule["priority"]} if rule.get("priority") else {}),
            **({"queue": rule["queue"]} if rule.get("queue", "review") != "review" else {}),
        }
        for rule in rules
    ]


def digest(rules: Any) -> str:
    """What the ledger keeps of rules: the SHA-256 of their canonical JSON."""
    text = json.dumps(rules, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def draft(*, base: int, by: Any, name: str = "") -> PolicyVersion:
    """Begin a draft with the rules of any version. Its author edits it; another person may approve it. 404 for a base
    that doesn't exist."""
    check(by, "policy.draft")
    with transaction.atomic():
        _alone()
        source = _found(base)
        number = (PolicyVersion.objects.aggregate(Max("number"))["number__max"] or 0) + 1
        made = PolicyVersion.objects.create(
            number=number,
            name=(name.strip() or f"v{number}")[:80],
            rules=source.rules,
            based_on=source.pk,
            made_by=actor(by),
            author=by,
        )
        audit.record(
            action="policy.drafted",
            subject=f"policy:{number}",
            by=by,
            data={"based_on": source.pk, "rules_sha256": digest(made.rules)},
        )
    return made


def edit(
    *, number: int, revision: int, rules: list[dict[str, Any]], by: Any, name: str = "", note: str = ""
) -> PolicyVersion:
    """Change a draft. Refuses with the errors by rule and field (422), when somebody saved since `revision` was read or
    it left the draft (409), and for anybody but its author (403): others copy it."""
    check(by, "policy.draft")
    wrong = policy_validation.errors(rules, policy_validation.vocabulary())
    if len(name.strip()) > 80:
        wrong.append(field_error("name", "too_long", _("At most 80 characters.")))
    if len(note) > 2000:
        wrong.append(field_error("note", "too_long", _("At most 2,000 characters.")))
    with transaction.atomic():
        version = _locked(number)
        _editable(version, by)
        _seen(version, revision)
        if wrong:
            raise Refusal("rules_wrong", _("The rules can't be saved like this."), errors=wrong)
        version.rules = tidy(rules)
        version.name = name.strip() or version.name
        version.note = note.strip()
        version.revision += 1
        version.save(update_fields=["rules", "name", "note", "revision"])
        audit.record(
            action="policy.edited",
            subject=f"policy:{number}",
            by=by,
            data={"revision": version.revision, "rules_sha256": digest(version.rules)},
        )
    return version


def shadow(*, number: int, revision: int, by: Any) -> PolicyVersion:
    """Let a draft run beside the live version: it judges every item, what it says is recorded and has no effect. From
    here on it can't be changed. One version at a time (409 with its number)."""
    check(by, "policy.draft")
    with transaction.atomic():
        _alone()
        version = _locked(number)
        _editable(version, by, action="shadow")
        _seen(version, revision)
        _refuse_wrong(version)
        other = PolicyVersion.objects.filter(state="shadow").values_list("pk", flat=True).first()
        if other is not None:
            raise Conflict(
                "another_in_shadow",
                _("Version %(number)d is in shadow. Withdraw it first, or put it in force.") % {"number": other},
                extra={"number": other},
            )
        version.shadow_from = Now()
        transition(POLICY, version, "shadow", by=by, data={"revision": revision}, also=["shadow_from"])
        version.refresh_from_db(fields=["shadow_from"])
    return version


def backtest_of(version: PolicyVersion) -> Backtest | None:
    """The newest finished back-test of this version at this revision."""
    done = Backtest.objects.filter(
        kind="policy", target=str(version.pk), target_revision=version.revision, state="done"
    )
    return done.order_by("-started_at").first()


def go_live(*, number: int, revision: int, by: Any, reason: str = "", instead_of: int | None = None) -> PolicyVersion:
    """Approve a version and put it in force for every item that comes in from now on; the one before it is retired in the
    same transaction.

    Refuses its author (403); when the version, or the live one that the approver saw (`instead_of`), moved meanwhile
    (409); and without a finished back-test of this revision unless a reason is given, or at all where the setting
    `policy_needs_backtest` is 1 (422)."""
    check(by, "policy.approve")
    with transaction.atomic():
        _alone()
        version = _locked(number)
        check_move(POLICY, version.state, "go_live")
        if version.author_id is not None and version.author_id == by.pk:
            raise Forbidden("own_policy", _("Another person than its author puts a policy in force."))
        _seen(version, revision)
        _refuse_wrong(version)
        tried = backtest_of(version)
        if tried is None and option("policy_needs_backtest"):
            raise Refusal("backtest_needed", _("This revision was never tried on the past. Run a back-test first."))
        if tried is None and not reason.strip():
            detail = _("This revision was never tried on the past: say why it goes live all the same.")
            raise Refusal("reason_required", detail, errors=[field_error("reason", "required", detail)])
        before = PolicyVersion.objects.select_for_update().filter(state="live").first()
        if instead_of is not None and (before.pk if before else 0) != instead_of:
            raise Conflict(
                "live_moved",
                _("Another version went live meanwhile. Compare with it first."),
                extra={"live": before.pk if before else None},
            )
        if before:
            transition(POLICY, before, "retire", by=by, data={"replaced_by": number})
        version.approved_by, version.approved_at, version.approved_revision = by, Now(), revision
        version.live_from = Now()
        transition(
            POLICY,
            version,
            "go_live",
            by=by,
            reason=reason.strip(),
            data={
                "revision": revision,
                "instead_of": before.pk if before else None,
                "rules_sha256": digest(version.rules),
                "backtest": str(tried.pk) if tried else None,
            },
            also=["approved_by", "approved_at", "approved_revision", "live_from"],
        )
        version.refresh_from_db(fields=["approved_at", "live_from"])
    return version


def withdraw(*, number: int, reason: str, by: Any) -> PolicyVersion:
    """Give up a draft or a version in shadow, with a reason. The live version is only ever replaced (409)."""
    check(by, "policy.draft")
    with transaction.atomic():
        version = _locked(number)
        check_move(POLICY, version.state, "withdraw")
        if not reason.strip():
            detail = _("Give a reason.")
            raise Refusal("reason_required", detail, errors=[field_error("reason", "required", detail)])
        return transition(POLICY, version, "withdraw", by=by, reason=reason.strip()[:2000])


def _alone() -> None:
    # Which version is live, which is in shadow and the next number are facts about all versions: one command at a time.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('moderation.policies'))")


def _found(number: int) -> PolicyVersion:
    version = PolicyVersion.objects.filter(pk=number).first()
    if version is None:
        raise NotFound("policy_unknown", _("There is no such version."))
    return version


def _locked(number: int) -> PolicyVersion:
    version = PolicyVersion.objects.select_for_update().filter(pk=number).first()
    if version is None:
        raise NotFound("policy_unknown", _("There is no such version."))
    return version


def _editable(version: PolicyVersion, by: Any, action: str = "") -> None:
    if action:
        check_move(POLICY, version.state, action)
    elif version.state != "draft":
        raise Conflict(
            "state_forbids",
            _("A version that left the draft never changes. Copy it into a new draft."),
            extra={"state": version.state},
        )
    if version.author_id != by.pk:
        raise Forbidden("not_the_author", _("Only its author changes a draft. Copy it into one of your own."))


def _seen(version: PolicyVersion, revision: int) -> None:
    if version.revision != revision:
        raise Conflict(
            "revision_moved",
            _("The draft was changed meanwhile: it is revision %(now)d, you saw %(seen)d. Look at it again.")
            % {"now": version.revision, "seen": revision},
            extra={"revision": version.revision, "seen": revision},
        )


def _refuse_wrong(version: PolicyVersion) -> None:
    # A category, service or function may have gone since the draft was saved.
    wrong = policy_validation.errors(version.rules, policy_validation.vocabulary())
    if wrong:
        raise Refusal("rules_wrong", _("The rules don't hold any more. Edit the draft."), errors=wrong)
