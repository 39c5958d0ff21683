"""Reports to authorities (DS-11a, DS-03): to the cyberspace administration and to the competent department."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import Conflict
from core.ids import uuid7
from core.roles import check
from rumors.cases import locked, log, settle, subject
from rumors.models import AuthorityReport, RumorCase
from rumors.refutations import standing
from rumors.texts import invalid, optional, required

CLOCKS_DIFFER = timedelta(minutes=5)


def record_report(
    *,
    case_id: UUID,
    authority: str,
    kind: str,
    level: str,
    reference: str,
    by: Any,
    department: str = "",
    reported_at: datetime | None = None,
    note: str = "",
    report_id: UUID | None = None,
) -> AuthorityReport:
    """Record a report that was made, with its receipt and a snapshot of what the case said then. The report that was
    still missing moves a refuted case on. Possible from the verdict on, also before the refutation is out: reporting is
    due promptly. The same `report_id` again is the same report."""
    check(by, "rumor.work")
    if kind not in AuthorityReport.KINDS:
        raise invalid("kind", "unknown", _("A report goes to the cyberspace administration or a competent department."))
    if level not in AuthorityReport.LEVELS:
        raise invalid("level", "unknown", _("An authority is national, provincial or of a city."))
    department = "" if kind == AuthorityReport.CAC else department or "other"
    if department and department not in AuthorityReport.DEPARTMENTS:
        raise invalid("department", "unknown", _("There is no such kind of department."))
    name, receipt = required("authority", authority, most=120), required("reference", reference, most=120)
    said = optional("note", note)
    at = reported_at or timezone.now()
    if at > timezone.now() + CLOCKS_DIFFER:
        raise invalid("reported_at", "future", _("A report is recorded after it was made."))
    with transaction.atomic():
        case = locked(case_id)
        if report_id and (known := AuthorityReport.objects.filter(pk=report_id, case=case).first()):
            return known
        if not case.verdict or case.state == "closed":
            raise Conflict(
                "state_forbids",
                _("A report is recorded between the verdict and the closing of the case."),
                extra={"state": case.state, "action": "record_report"},
            )
        content = snapshot(case, note=said)
        report = AuthorityReport.objects.create(
            id=report_id or uuid7(),
            case=case,
            round=case.round,
            authority=name,
            kind=kind,
            department=department,
            level=level,
            reference=receipt,
            reported_at=at,
            content=content,
            content_sha256=_digest(content),
            recorded_by=by,
        )
        told = {"report": str(report.pk), "kind": kind, "level": level, "content_sha256": report.content_sha256}
        audit.record(action="rumor_case.report_recorded", subject=subject(case), by=by, data=told)
        log(case, "reported", by=by, **told, department=department, round=case.round)
        settle(case, by=by)
    return report


def snapshot(case: RumorCase, *, note: str = "") -> dict[str, Any]:
    """What a report says of the case as it stands: claim, verdict, refutation, and how much is involved."""
    refutation = standing(case)
    links = case.links.select_related("submission")
    return {
        "number": case.number,
        "claim": case.claim,
        "found": case.found,
        "verdict": case.verdict,
        "summary": case.summary,
        "refutation": refutation
        and {
            "version": refutation.version,
            "title": refutation.title,
            "text": refutation.text,
            "channels": list(refutation.channels),
            "published_at": refutation.published_at and refutation.published_at.isoformat(),
        },
        "refutation_not_needed": case.waive_reason,
        "submissions": [str(link.submission_id) for link in links.order_by("id")],
        "users_affected": links.values("submission__user").distinct().count(),
        "note": note,
    }


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
