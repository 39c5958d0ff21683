"""Refutations (DS-11a): drafted, published, corrected by the next version, or not needed for a stated reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from core import audit, outbox
from core.errors import Conflict, NotFound
from core.roles import check
from core.states import check_move, transition
from rumors.cases import locked, log, settle, subject
from rumors.models import Refutation, RumorCase
from rumors.states import RUMOR_CASE
from rumors.texts import invalid, optional, required, web_address

MOST_SOURCES = 20


def draft_refutation(
    *,
    case_id: UUID,
    title: str,
    text: str,
    by: Any,
    claim: str = "",
    title_en: str = "",
    text_en: str = "",
    sources: Iterable[str] = (),
    channels: Iterable[str] = ("public_page",),
) -> Refutation:
    """Write or rewrite the draft of a case whose claim was found false. Without `claim` the public reads the case's own
    words. Refuses once a refutation was published: that one is corrected."""
    check(by, "rumor.work")
    with transaction.atomic():
        case = locked(case_id)
        if standing(case):
            raise Conflict("refutation_published", _("A refutation was published already: correct it instead."))
        if case.state != "confirmed_false":
            raise Conflict(
                "state_forbids",
                _("A refutation is written once the claim was confirmed false."),
                extra={"state": case.state, "action": "draft_refutation"},
            )
        written = _written(case, claim, title, text, title_en, text_en, sources, channels)
        draft = Refutation.objects.select_for_update().filter(case=case, published_at=None).first()
        if draft is None:
            draft = Refutation.objects.create(case=case, version=1, verdict=case.verdict, drafted_by=by, **written)
        else:
            changed = [name for name, value in written.items() if getattr(draft, name) != value]
            if not changed and draft.verdict == case.verdict:
                return draft
            for name in changed:
                setattr(draft, name, written[name])
            draft.verdict, draft.drafted_by, draft.revision = case.verdict, by, draft.revision + 1
            draft.save(update_fields=[*changed, "verdict", "drafted_by", "revision"])
        audit.record(
            action="rumor_case.refutation_drafted", subject=subject(case), by=by, data={"revision": draft.revision}
        )
        log(case, "refutation_drafted", by=by, refutation=str(draft.pk), revision=draft.revision)
    return draft


def publish_refutation(*, refutation_id: UUID, by: Any, revision: int | None = None) -> Refutation:
    """Put the draft before the public and tell the services (`refutation.published`). Published already: nothing
    happens. Refuses when the draft was changed since the `revision` that the person saw."""
    check(by, "rumor.work")
    with transaction.atomic():
        case_id = Refutation.objects.filter(pk=refutation_id).values_list("case_id", flat=True).first()
        if case_id is None:
            raise NotFound("not_found", _("There is no such refutation."))
        case = locked(case_id)
        refutation = Refutation.objects.select_for_update(of=("self",)).get(pk=refutation_id)
        if refutation.published_at:
            return refutation
        if revision is not None and revision != refutation.revision:
            raise Conflict("draft_changed", _("Somebody changed the draft meanwhile: read it again before publishing."))
        check_move(RUMOR_CASE, case.state, "refute")
        if case.verdict != refutation.verdict:
            raise Conflict("verdict_changed", _("The verdict changed since the draft was written: write it anew."))
        refutation.published_at, refutation.published_by = Now(), by
        refutation.save(update_fields=["published_at", "published_by"])
        _told(case, refutation, by)
    return refutation


def correct_refutation(
    *,
    case_id: UUID,
    correction_note: str,
    title: str,
    text: str,
    by: Any,
    claim: str = "",
    title_en: str = "",
    text_en: str = "",
    sources: Iterable[str] = (),
    channels: Iterable[str] = ("public_page",),
    corrects: int | None = None,
) -> Refutation:
    """Publish the next version of a published refutation, saying what was wrong. The earlier version stays readable and
    points to the new one. `corrects` is the version the person saw: a correction sent twice is one, and one that would
    overwrite somebody else's is refused."""
    check(by, "rumor.work")
    note = required("correction_note", correction_note, most=1000)
    with transaction.atomic():
        case = locked(case_id)
        before = standing(case)
        if before is None:
            raise Conflict("nothing_to_correct", _("Nothing was published yet that could be corrected."))
        if not case.verdict:
            raise Conflict(
                "verdict_missing", _("The case is open again: conclude it before correcting the public text.")
            )
        written = _written(case, claim or before.claim, title, text, title_en, text_en, sources, channels)
        if corrects is not None and corrects != before.version:
            wanted = {**written, "correction_note": note}
            if all(getattr(before, name) == value for name, value in wanted.items()):
                return before
            raise Conflict("already_corrected", _("Somebody corrected it meanwhile: read the new version first."))
        version = (case.refutations.aggregate(most=Max("version"))["most"] or 0) + 1
        refutation = Refutation.objects.create(
            case=case,
            version=version,
            verdict=case.verdict,
            drafted_by=by,
            published_at=Now(),
            published_by=by,
            correction_note=note,
            **written,
        )
        _told(case, refutation, by)
    return refutation


def waive_refutation(*, case_id: UUID, reason: str, by: Any) -> RumorCase:
    """Say why no refutation is needed. Refuses for a claim that turned out not to be false while the public still reads
    that it is: that text must be corrected first. The same reason again changes nothing."""
    check(by, "rumor.work")
    why = required("reason", reason)
    with transaction.atomic():
        case = locked(case_id)
        if case.waived_at and case.waive_reason == why:
            return case
        check_move(RUMOR_CASE, case.state, "waive")
        published = standing(case)
        if published and published.verdict != case.verdict:
            raise Conflict("correction_needed", _("The published text says otherwise: correct it."))
        case.waived_at, case.waive_reason = Now(), why
        transition(RUMOR_CASE, case, "waive", by=by, reason=why, also=["waived_at", "waive_reason"])
        log(case, "waived", by=by, round=case.round)
        settle(case, by=by)
        case.refresh_from_db(fields=["waived_at"])
    return case


def standing(case: RumorCase) -> Refutation | None:
    """The version that the public reads now."""
    return case.refutations.filter(published_at__isnull=False).order_by("-version").first()


def draft_of(case: RumorCase) -> Refutation | None:
    """The draft, where there is one."""
    return case.refutations.filter(published_at=None).first()


def published() -> QuerySet[Refutation]:
    """What the public reads: the latest published version of each case."""
    later = Refutation.objects.filter(
        case=OuterRef("case"), published_at__isnull=False, version__gt=OuterRef("version")
    )
    return Refutation.objects.filter(published_at__isnull=False).filter(~Exists(later)).select_related("case")


def representation(refutation: Refutation) -> dict[str, Any]:
    """What services are told of a refutation."""
    return {
        "id": str(refutation.pk),
        "number": refutation.case.number,
        "version": refutation.version,
        "verdict": refutation.verdict,
        "claim": refutation.claim,
        "title": refutation.title,
        "text": refutation.text,
        "title_en": refutation.title_en,
        "text_en": refutation.text_en,
        "sources": refutation.sources,
        "correction_note": refutation.correction_note,
        "published_at": refutation.published_at and refutation.published_at.isoformat().replace("+00:00", "Z"),
        "path": reverse("public_refutation", args=[refutation.case.number]),
    }


def _told(case: RumorCase, refutation: Refutation, by: Any) -> None:
    refutation.refresh_from_db(fields=["published_at"])
    refutation.case = case
    told = {"refutation": str(refutation.pk), "version": refutation.version}
    audit.record(action="rumor_case.refutation_published", subject=subject(case), by=by, data=told)
    log(case, "published", by=by, **told, verdict=refutation.verdict, channels=list(refutation.channels))
    outbox.emit("refutation.published", subject=str(refutation.pk), payload=representation(refutation))
    if case.state in ("confirmed_false", "not_false"):
        case.refuted_at = refutation.published_at
        transition(RUMOR_CASE, case, "refute", by=by, data=told, also=["refuted_at"])
        settle(case, by=by)


def _written(
    case: RumorCase,
    claim: str,
    title: str,
    text: str,
    title_en: str,
    text_en: str,
    sources: Iterable[str],
    channels: Iterable[str],
) -> dict[str, Any]:
    links = [address for source in sources if (address := web_address("sources", source))]
    if len(links) > MOST_SOURCES:
        raise invalid("sources", "length", _("At most %(most)d sources.") % {"most": MOST_SOURCES})
    told = list(dict.fromkeys(channels))
    if "public_page" not in told:
        told.insert(0, "public_page")  # publishing is what puts it there
    if unknown := [channel for channel in told if channel not in Refutation.CHANNELS]:
        raise invalid("channels", "unknown", _("There is no channel “%(name)s”.") % {"name": unknown[0]})
    english = optional("title_en", title_en, most=200), optional("text_en", text_en)
    if bool(english[0]) != bool(english[1]):
        raise invalid("text_en" if english[0] else "title_en", "required", _("English needs both a title and a text."))
    return {
        "claim": required("claim", claim or case.claim),
        "title": required("title", title, most=120),
        "text": required("text", text),
        "title_en": english[0],
        "text_en": english[1],
        "sources": links,
        "channels": told,
    }
