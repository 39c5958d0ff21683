"""Screening: checks look at input and output, the pinned policy judges, the result is written (DS-10a).

A worker takes up to BATCH items at once. Looking happens outside of any transaction; the verdicts are written in one
transaction that asks again whether each item may be released (contract.md ruling 4) and whether the jobs are still
ours (security.md P11).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from accounts.acceptances import Wanted
from accounts.models import User
from core import jobs, jsonbody
from core.errors import Refusal
from core.ids import uuid7
from core.options import option
from core.sql import run
from governance.models import Category, Document
from labeling import text as text_label
from moderation import checks, library, policy, policy_facts
from moderation.intake import limited_functions, refuse_unless_allowed
from moderation.models import Submission
from moderation.policy import BLOCK, RELEASE, REVIEW, Found, Verdict

log = structlog.get_logger("screening")
BATCH = 64
JOB = "moderation.screen"
MEDIA_JOB = "moderation.screen_media"  # of items with a file
UNLABELLED = "medium_unlabelled"  # the rule that no policy has to write: a file goes out with its label or not at all


@dataclass(slots=True)
class Looked:
    """An item with what the checks found and the policy said."""

    item: Submission
    findings: list[Found]
    screened: dict[str, Any]
    library: int
    verdict: Verdict
    held_for: str = ""
    label: dict[str, Any] | None = field(default=None)
    texts: list[tuple[str, checks.Text]] = field(default_factory=list)  # read out of files: side, text
    shadow: tuple[int, Verdict] | None = None  # what the policy in shadow would have said


def screen(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    """Run screening jobs. Answers those that failed; each of them is tried again alone."""
    return _screen(claimed, look)


def screen_media(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    """The same for items with files, which take long: the lease is for each side anew."""

    def look_in_time(item: Submission, sides: Sequence[checks.Side]) -> Looked:
        return look(item, sides, between=lambda: [jobs.renew(job, MEDIA_KIND) for job in claimed])

    return _screen(claimed, look_in_time)


def _screen(claimed: Sequence[jobs.Claimed], look: Callable[..., Looked]) -> dict[int, str]:
    items = {
        item.pk: item
        for item in Submission.objects.filter(
            pk__in=[UUID(j.subject) for j in claimed], state="screening"
        ).select_related("content", "function", "service__provider")
    }
    failed: dict[int, str] = {}
    looked: dict[UUID, Looked] = {}
    sides = sides_of(list(items.values()))
    for job in claimed:
        item = items.get(UUID(job.subject))
        if item is None:
            continue  # withdrawn or decided elsewhere: the job only has to go
        try:
            looked[item.pk] = look(item, sides[item.pk])
        except Exception as exc:
            log.error("screening_failed", submission=job.subject, error=type(exc).__name__, exc_info=exc)
            failed[job.id] = type(exc).__name__
    write = [job for job in claimed if job.id not in failed]
    if looked:
        judge(list(looked.values()))
    if write:
        _write(write, looked)
    return failed


def sides_of(items: Sequence[Submission], loaded: library.Loaded | None = None) -> dict[UUID, list[checks.Side]]:
    """Both sides of each item as checks see them, all with the same version of the library, and prepared together."""
    loaded = loaded or library.current()
    sides = {
        item.pk: [
            checks.Side(
                name,
                text,
                file,
                item.technology,
                loaded,
                item=item.pk,
                declared=item.declared,
                edits_biometrics=item.function.edits_biometrics,
            )
            for name, text, file in (
                ("input", item.content.input_text, item.content.input_file_id),
                ("output", item.content.output_text, item.content.output_file_id),
            )
        ]
        for item in items
    }
    checks.prepare([side for both in sides.values() for side in both])
    return sides


def look(
    item: Submission, sides: Sequence[checks.Side] | None = None, *, between: Callable[[], object] | None = None
) -> Looked:
    """Let every check look at both sides and the pinned policy judge. Reads nothing that changes meanwhile. `between`
    is called before each side."""
    sides = sides or sides_of([item])[item.pk]
    findings: list[Found] = []
    screened: dict[str, Any] = {}
    texts: list[tuple[str, checks.Text]] = []
    for side in sides:
        if between:
            between()
        found, said = checks.look(side)
        findings += found
        screened[side.name] = {"given": bool(side.text or side.file), "checks": said, "hits": len(found)}
        texts += [(side.name, text) for text in side.texts if text.field != "text"]
    # What the item itself says; where the policy asks about its user too, `judge` asks for the whole batch.
    verdict = policy.version(item.policy_version).judge(findings, policy_facts.of_item(item))
    return Looked(item, findings, screened, sides[0].library.version, verdict, texts=texts)


def judge(results: Sequence[Looked]) -> None:
    """Let the pinned policies judge again with what they ask about users and entries, and the policy in shadow beside
    them. No round trip where none of them asks."""
    pinned = {number: policy.version(number) for number in {r.item.policy_version for r in results}}
    asking = [r for r in results if pinned[r.item.policy_version].asks]
    shadow = _in_shadow()
    concerned = results if shadow and shadow.asks else asking
    wanted = [*pinned.values(), *([shadow] if shadow else [])]
    facts = policy_facts.gather([(r.item, r.findings) for r in concerned], wanted) if concerned else {}
    for result in asking:
        result.verdict = pinned[result.item.policy_version].judge(result.findings, facts[result.item.pk])
    if shadow:
        for result in results:
            known = facts.get(result.item.pk) or policy_facts.of_item(result.item)
            try:
                result.shadow = (shadow.number, shadow.judge(result.findings, known))
            except Exception as exc:  # whatever is wrong with a policy in shadow, the item goes its way
                log.error("shadow_failed", policy=shadow.number, error=type(exc).__name__, exc_info=exc)


def _in_shadow() -> policy.Policy | None:
    number = policy.shadow_number()
    try:
        return policy.version(number) if number is not None else None
    except ValueError as exc:  # a version that this code doesn't understand has no say, and no effect either
        log.error("shadow_not_understood", policy=number, error=str(exc))
        return None


def _write(claimed: list[jobs.Claimed], looked: dict[UUID, Looked]) -> None:
    with transaction.atomic():
        ours = jobs.still_ours(claimed)
        held = [job for job in claimed if job.id in ours]
        results = [(job, looked[UUID(job.subject)]) for job in held if UUID(job.subject) in looked]
        hold_back([result for _job, result in results])
        rows: list[dict[str, Any]] = []
        findings: list[dict[str, Any]] = []
        texts: list[dict[str, Any]] = []
        leaves = categories()
        for job, result in results:
            rows.append(_row(job, result, leaves))
            findings += [_finding(result.item, found) for found in result.findings]
            texts += [_extracted(result.item, side, text) for side, text in result.texts]
        _store(rows, findings, texts, [job.id for job in held], claimed[0].token)
    for job, result in results:
        log.info(
            "screened",
            request_id=job.request_id,
            submission=job.subject,
            disposition=result.verdict.disposition,
            rule=result.verdict.rule,
            held_for=result.held_for,
        )


def hold_back(results: Sequence[Looked]) -> None:
    """Intake is not the last gate: for what the policy would release, ask identity, account, function, acceptances and
    gates again, with the users' rows locked against change until we commit, and make the label. What may not go out now
    is held."""
    for result in results:
        if result.verdict.disposition == RELEASE and result.item.content.output_file_id:
            result.verdict = Verdict(REVIEW, UNLABELLED, "", None)  # DS-16a: files can't be labelled yet
        if result.shadow and result.shadow[1].disposition == RELEASE and result.item.content.output_file_id:
            result.shadow = (result.shadow[0], Verdict(REVIEW, UNLABELLED, "", None))  # it would be held just the same
    out = [r for r in results if r.verdict.disposition == RELEASE]
    if not out:
        return
    users = {
        u.pk: u
        for u in User.objects.raw(
            "SELECT * FROM accounts_user WHERE id = ANY(%s) ORDER BY id FOR SHARE",
            [list({r.item.user_id for r in out})],
        )
    }
    limited = limited_functions([u.pk for u in users.values() if u.account_status == "limited"])
    closed, wanted = _now(list(users))
    for result in out:
        user = users[result.item.user_id]
        result.held_for = _held_for(result.item, user, limited, closed, wanted.get(user.pk))
        if not result.held_for:
            item = result.item
            result.label = text_label.label(
                item.content.output_text,
                producer=text_label.producer_code(item.service.provider.uscc),
                content_number=item.pk.hex,
                explicit=item.function.needs_explicit_label,
            )


def _now(users: list[UUID]) -> tuple[set[UUID | None], dict[UUID, Wanted]]:
    """The services whose gate is closed (None: of all), and the document that each of these users must accept first."""
    closed: set[UUID | None] = set()
    wanted: dict[UUID, Wanted] = {}
    rows = run("moderation/release_context", {"users": users})
    if any(row[0] == "wanted" for row in rows):
        # Somebody is held for a document: whoever asks for less of it waits for this transaction, or is seen here.
        Document.objects.raw("SELECT id FROM governance_document WHERE required_number IS NOT NULL FOR SHARE")[:]
        rows = run("moderation/release_context", {"users": users})
    for what, pk, code, number in rows:
        if what == "gate":
            closed.add(pk)
        else:
            wanted[pk] = Wanted(code, number)
    return closed, wanted


def _held_for(
    item: Submission,
    user: User,
    limited: dict[UUID, set[str]],
    closed: set[UUID | None],
    wanted: Wanted | None,
) -> str:
    if None in closed or item.service_id in closed:
        return "gate_closed"
    try:
        refuse_unless_allowed(
            user.identity_status, user.account_status, item.function.code, limited.get(user.pk, set()), wanted
        )
    except Refusal as refusal:
        return refusal.code
    return ""


def _row(job: jobs.Claimed, result: Looked, leaves: dict[str, Category]) -> dict[str, Any]:
    item, verdict = result.item, result.verdict
    row: dict[str, Any] = {
        "id": item.pk,
        "job": job.id,
        "disposition": verdict.disposition,
        "rule": verdict.rule,
        "held_for": result.held_for,
        "screened": result.screened,
        "label": result.label,
        "library": result.library,
        "policy": item.policy_version,
        "request_id": job.request_id,
        "service": item.service_id,
        "priority": max(max((f.severity for f in result.findings), default=0) * 10, verdict.priority),
        "queue": verdict.queue,
    }
    if result.shadow:
        row |= {
            "shadow": result.shadow[0],
            "shadow_disposition": result.shadow[1].disposition,
            "shadow_rule": result.shadow[1].rule,
        }
    leading = verdict.leading
    category = leaves.get(leading.category or "") if leading else None
    if verdict.disposition == BLOCK and category is not None:
        row |= {
            "state": "blocked",
            "outcome": "block",
            "category": category.pk,
            "clause": category.clause,
            "reason": category.reason,
            "facts": verdict.why,
        }
    elif verdict.disposition == RELEASE and not result.held_for:
        row |= {"state": "released", "outcome": "release"}
    else:
        row["state"] = "in_review"
    if "outcome" in row:
        row |= {"decision": uuid7(), **{k: row.get(k, "") for k in ("clause", "reason", "facts")}}
    row["topic"] = f"submission.{row['state']}"
    row["payload"] = {
        "id": item.pk,
        "external_id": item.external_id,
        "state": row["state"],
        "disposition": verdict.disposition,
        "reasons": [
            {
                "code": verdict.rule,
                "category": row.get("category"),
                "clause": row.get("clause", ""),
                "detail": row.get("reason", "") or result.held_for,
            }
        ]
        if verdict.rule != "-" or result.held_for
        else [],
        "policy_version": item.policy_version,
        "decided_by": "policy" if "outcome" in row else None,
    }
    return row


def _finding(item: Submission, found: Found) -> dict[str, Any]:
    return {
        "submission": item.pk,
        "side": found.side,
        "field": found.field,
        "check": found.check,
        "category": found.category,
        "severity": found.severity,
        "feature_id": found.feature_id,
        "feature_version": found.feature_version,
        "spans": found.spans,
        "score": found.score,
        "distance": found.distance,
        "boxes": found.boxes,
        "detail": found.detail,
    }


def _extracted(item: Submission, side: str, text: checks.Text) -> dict[str, Any]:
    return {
        "submission": item.pk,
        "side": side,
        "field": text.field,
        "text": text.text,
        "layout": text.layout,
        "check": text.check,
        "version": text.version,
    }


_categories: dict[str, Category] = {}


def categories() -> dict[str, Category]:
    """The category tree by code; kept until the process looks again at an unknown code."""
    if not _categories:
        _categories.update({c.pk: c for c in Category.objects.all()})
    return _categories


def give_up(job: jobs.Claimed) -> None:
    """An item that could not be screened in three tries goes to a person, and says so (never to release)."""
    item = Submission.objects.select_for_update(of=("self",)).filter(pk=job.subject, state="screening").first()
    if item is None:
        return
    verdict = Verdict("review", "screening_failed", "", None)
    found = [Found(side, "check_failed", None, 0, detail="quarantined after three tries") for side in checks.SIDES]
    result = Looked(item, found, {}, library.current().version, verdict)
    leaves = categories()
    row = _row(job, result, leaves) | {"screened": None}
    _store([row], [_finding(item, one) for one in found], [], [job.id], job.token)


def _store(
    rows: list[dict[str, Any]],
    findings: list[dict[str, Any]],
    texts: list[dict[str, Any]],
    job_ids: list[int],
    token: UUID,
) -> None:
    run(
        "moderation/write_verdicts",
        {
            "rows": jsonbody.encode(rows).decode(),
            "findings": jsonbody.encode(findings).decode(),
            "texts": jsonbody.encode(texts).decode(),
            "jobs": job_ids,
            "token": token,
            "appeal_days": int(option("appeal_days")),
            "review_due": option("review_due"),
        },
    )


KIND = jobs.register(jobs.Kind(JOB, screen, batch=BATCH, lease="screening_lease", give_up=give_up))
MEDIA_KIND = jobs.register(jobs.Kind(MEDIA_JOB, screen_media, lease="media_lease", queue=jobs.MEDIA, give_up=give_up))
