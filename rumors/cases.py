"""Rumor cases (DS-11a): open, gather evidence, conclude, reopen, close. A case can't close while a part is missing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import Conflict, NotFound, Refusal, field_error
from core.ids import parse_uuid, uuid7
from core.roles import actor, check
from core.sql import load
from core.states import check_move, transition
from moderation.models import Submission
from rumors.models import TEXT_LIMIT, VERDICTS, AuthorityReport, CaseEvent, CaseEvidence, CaseSubmission, RumorCase
from rumors.states import RUMOR_CASE
from rumors.texts import clean, invalid, optional, required, web_address

PARTS = {
    "records": _("Records: at least one piece of evidence"),
    "verdict": _("The verdict with its summary"),
    "refutation": _("A published refutation, or the reason why none is needed"),
    "report_cac": _("The report to the cyberspace administration"),
    "report_competent_department": _("The report to the competent department"),
}


def open_case(*, claim: str, found: str, by: Any, found_note: str = "", case_id: UUID | None = None) -> RumorCase:
    """Open a case about a claim. The same `case_id` again (a form sent twice) is the same case."""
    check(by, "rumor.open")
    with transaction.atomic():
        return _opened(claim=claim, found=found, found_note=found_note, case_id=case_id, by=by)


def open_case_from_submission(
    *,
    submission_id: UUID,
    by: Any,
    claim: str = "",
    found: str = "desk",
    found_note: str = "",
    case_id: UUID | None = None,
) -> RumorCase:
    """Open a case about what an item says, with the item linked; without `claim` the item's output is the claim. An item
    has one case that isn't closed: asking again answers that one. Refuses with 404 when there is no such item."""
    check(by, "rumor.open")
    with transaction.atomic():
        # The lock makes a second press wait for the first and find its case.
        item = (
            Submission.objects.select_for_update(of=("self",))
            .select_related("content")
            .filter(pk=submission_id)
            .first()
        )
        if item is None:
            raise NotFound("not_found", _("There is no such submission."))
        if known := RumorCase.objects.filter(links__submission=item).exclude(state="closed").first():
            return known
        if not claim.strip():
            claim = clean(item.content.output_text) or clean(item.content.input_text) or item.external_id
            claim = claim if len(claim) <= TEXT_LIMIT else claim[: TEXT_LIMIT - 1] + "…"
        case = _opened(claim=claim, found=found, found_note=found_note, case_id=case_id, by=by)
        _link(case, item, by)
    return case


def involve_submission(*, case_id: UUID, submission: str, by: Any) -> RumorCase:
    """Link another item that carried the claim, by its id or external id. Linked already: nothing changes."""
    check(by, "rumor.work")
    with transaction.atomic():
        case = locked(case_id)
        _refuse_closed(case)
        wanted = clean(submission)
        found = list(Submission.objects.filter(external_id=wanted)[:2]) if wanted else []
        if not found and (own_id := parse_uuid(wanted)):
            found = list(Submission.objects.filter(pk=own_id))
        if len(found) != 1:
            sentence = (
                _("Several services have an item with this id: give Mingjian's own id.")
                if found
                else _("There is no such submission.")
            )
            raise invalid("submission", "unknown", sentence)
        if not case.links.filter(submission=found[0]).exists():
            _link(case, found[0], by)
    return case


def add_evidence(
    *, case_id: UUID, text: str, by: Any, source: str = "", url: str = "", evidence_id: UUID | None = None
) -> CaseEvidence:
    """Record what was found out. The first piece takes the case up. The same `evidence_id` again is the same piece."""
    check(by, "rumor.work")
    said, where, address = required("text", text), optional("source", source, most=200), web_address("url", url)
    with transaction.atomic():
        case = locked(case_id)
        if evidence_id and (known := CaseEvidence.objects.filter(pk=evidence_id, case=case).first()):
            return known
        _refuse_closed(case)
        piece = CaseEvidence.objects.create(
            id=evidence_id or uuid7(), case=case, text=said, source=where, url=address, added_by=by
        )
        audit.record(action="rumor_case.evidence", subject=subject(case), by=by, data={"evidence": str(piece.pk)})
        log(case, "evidence_added", by=by, evidence=str(piece.pk))
        if case.state == "open":
            transition(RUMOR_CASE, case, "verify", by=by)
    return piece


def conclude(*, case_id: UUID, verdict: str, summary: str, by: Any) -> RumorCase:
    """Say what the claim is: false, true or unverifiable, and why. Refuses without evidence; the same again is no new
    conclusion."""
    check(by, "rumor.work")
    if verdict not in VERDICTS:
        raise invalid("verdict", "unknown", _("A claim is false, true, or can't be verified."))
    why = required("summary", summary)
    with transaction.atomic():
        case = locked(case_id)
        if case.verdict == verdict and case.summary == why:
            return case
        if not case.evidence.exists():
            raise Refusal(
                "evidence_missing",
                _("Record what was found out first: a verdict needs evidence."),
                errors=[field_error("text", "required", PARTS["records"])],
            )
        action = "confirm" if verdict == "false" else "clear"
        check_move(RUMOR_CASE, case.state, action)
        case.verdict, case.summary, case.concluded_at, case.concluded_by = verdict, why, Now(), by
        also = ["verdict", "summary", "concluded_at", "concluded_by"]
        transition(RUMOR_CASE, case, action, by=by, data={"verdict": verdict}, also=also)
        log(case, "concluded", by=by, verdict=verdict, round=case.round)
        case.refresh_from_db(fields=["concluded_at"])
    return case


def reopen_case(*, case_id: UUID, reason: str, by: Any) -> RumorCase:
    """Take a case up again: its verdict falls, and refutation and reports are asked for anew. What was published and
    reported stays as it is."""
    check(by, "rumor.work")
    why = required("reason", reason)
    with transaction.atomic():
        case = locked(case_id)
        check_move(RUMOR_CASE, case.state, "reopen")
        log(case, "reopened", by=by, verdict=case.verdict, round=case.round + 1)
        case.round += 1
        case.verdict = case.summary = case.waive_reason = ""
        case.concluded_at = case.concluded_by = case.refuted_at = case.waived_at = None
        case.reported_at = case.closed_at = case.closed_by = None
        also = [
            "round",
            "verdict",
            "summary",
            "waive_reason",
            "concluded_at",
            "concluded_by",
            "refuted_at",
            "waived_at",
        ]
        also += ["reported_at", "closed_at", "closed_by"]
        transition(RUMOR_CASE, case, "reopen", by=by, reason=why, data={"round": case.round}, also=also)
    return case


def close_case(*, case_id: UUID, by: Any) -> RumorCase:
    """Close a case; refuses with `parts_missing`, naming each part, while one is missing (DS-11a). Closing a closed case
    changes nothing."""
    check(by, "rumor.work")
    with transaction.atomic():
        case = locked(case_id)
        if case.state == "closed":
            return case
        if missing := missing_parts(case):
            raise Refusal(
                "parts_missing",
                _("The case can't be closed: parts are missing."),
                errors=[field_error(part, "missing", PARTS[part]) for part in missing],
            )
        case.closed_at, case.closed_by = Now(), by
        transition(RUMOR_CASE, case, "close", by=by, also=["closed_at", "closed_by"])
        log(case, "closed", by=by, verdict=case.verdict, round=case.round)
        case.refresh_from_db(fields=["closed_at"])
    return case


def missing_parts(case: RumorCase) -> list[str]:
    """The names in PARTS of what a case still needs before it can close (DS-11a). Reports are owed where false
    information was found or the public was told so before."""
    missing = []
    if not case.evidence.exists():
        missing.append("records")
    if not case.verdict:
        missing.append("verdict")
    if not (case.refuted_at or case.waived_at):
        missing.append("refutation")
    if owes_reports(case):
        done = set(case.reports.filter(round=case.round).values_list("kind", flat=True))
        missing += [f"report_{kind}" for kind in AuthorityReport.KINDS if kind not in done]
    return missing


def owes_reports(case: RumorCase) -> bool:
    """Whether the authorities must hear of the case before it closes. Until there is a verdict: yes."""
    return case.verdict in ("", "false") or case.refutations.filter(published_at__isnull=False).exists()


def settle(case: RumorCase, *, by: Any) -> None:
    """Move a refuted or waived case on when its last report is there; the caller holds the row."""
    if case.state in ("refuted", "waived") and owes_reports(case) and not missing_parts(case):
        case.reported_at = Now()
        transition(RUMOR_CASE, case, "report", by=by, also=["reported_at"])


def unfinished() -> QuerySet[RumorCase]:
    """Cases that aren't closed."""
    return RumorCase.objects.exclude(state="closed")


def locked(case_id: UUID) -> RumorCase:
    """The case, locked; refuses with 404."""
    case = RumorCase.objects.select_for_update(of=("self",)).filter(pk=case_id).first()
    if case is None:
        raise NotFound("not_found", _("There is no such case."))
    return case


def subject(case: RumorCase) -> str:
    """How the ledger names a case."""
    return f"rumor_case:{case.pk}"


def log(case: RumorCase, event: str, *, by: Any, **detail: Any) -> CaseEvent:
    """Add a row for exports, in the caller's transaction."""
    return CaseEvent.objects.create(case=case, event=event, actor=actor(by), detail=detail)


def _opened(*, claim: str, found: str, found_note: str, case_id: UUID | None, by: Any) -> RumorCase:
    said, note = required("claim", claim), optional("found_note", found_note)
    if found not in RumorCase.FOUND:
        raise invalid("found", "unknown", _("Say how it was found."))
    year, last = _next_number()
    # The counter's lock is held: a second press of the same form finds the first one's case here.
    if case_id and (known := RumorCase.objects.filter(pk=case_id).first()):
        _give_number_back(year)
        if known.opened_by_id != by.pk:
            raise Conflict("id_taken", _("There is such a case already."))
        return known
    case = RumorCase.objects.create(
        id=case_id or uuid7(), number=f"R-{year}-{last:04}", claim=said, found=found, found_note=note, opened_by=by
    )
    audit.record(action="rumor_case.opened", subject=subject(case), by=by, data={"number": case.number, "found": found})
    log(case, "opened", by=by, number=case.number, found=found)
    return case


def _next_number() -> tuple[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(load("rumors/next_number"))
        return cursor.fetchone()


def _give_number_back(year: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rumors_casenumber SET last = last - 1 WHERE year = %s", [year])


def _link(case: RumorCase, item: Submission, by: Any) -> None:
    CaseSubmission.objects.create(case=case, submission=item, added_by=by)
    audit.record(action="rumor_case.item_linked", subject=subject(case), by=by, data={"submission": str(item.pk)})
    audit.record(action="submission.rumor_case", subject=f"submission:{item.pk}", by=by, data={"case": case.number})
    log(case, "item_linked", by=by, submission=str(item.pk))


def _refuse_closed(case: RumorCase) -> None:
    if case.state == "closed":
        raise Conflict("state_forbids", _("The case is closed: reopen it first."), extra={"state": case.state})
