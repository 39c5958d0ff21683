"""Appeals against measures (DS-12a, GEN-12; contract.md ruling 9): filed by anybody who holds the notice's link or by the
service for its user, suspended and closed ones too; decided by somebody else than the first decider, which the database
holds as well; success undoes that measure and nothing else, in one transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import measures, notices
from accounts.models import Appeal, Measure, Staff
from accounts.states import APPEAL
from core import audit
from core.calendar import SHANGHAI, add_working_days
from core.errors import Conflict, Forbidden, NotFound, Refusal, field_error
from core.options import option
from core.roles import check
from core.states import transition

LONGEST = 4000
OUTCOMES = ("accept", "refuse")


def limit(measure: Measure) -> datetime:
    """Until when a measure may be appealed: as published with it; for one older than that record, by today's option."""
    return measure.appeal_until or add_working_days(measure.starts_at, int(option("appeal_days")))


def file(*, measure: Measure, statement: str, by: Any) -> tuple[Appeal, bool]:
    """Appeal against a measure, ended ones too; the second value is False when one is open already and is the answer.

    The caller has made sure that `by` speaks for the user: by the link of a notice, or by a key of the user's service.
    Refuses with 422 an empty or too long statement; with 409 after the limit (`appeal_too_late`) and when an appeal was
    decided already (`appeal_decided`: there is one per measure).
    """
    said = statement.replace("\r\n", "\n").strip()
    if not said:
        raise _invalid("statement", "required", _("Say why the measure is wrong."))
    if len(said) > LONGEST:
        raise _invalid("statement", "length", _("This text is too long."))
    if "\x00" in said:
        raise _invalid("statement", "nul_character", _("A text may not hold a NUL character."))
    with transaction.atomic():
        locked = measures.locked(measure.pk)
        earlier = locked.appeals.exclude(state="withdrawn").order_by("-received_at").first()
        if earlier and earlier.state == "open":
            return earlier, False
        if earlier:
            raise Conflict(
                "appeal_decided",
                _("An appeal against this measure was decided already."),
                extra={"number": earlier.number},
            )
        if timezone.now() >= limit(locked):
            raise Conflict(
                "appeal_too_late", _("The time to appeal is over."), extra={"until": limit(locked).isoformat()}
            )
        now = timezone.now()
        appeal = Appeal.objects.create(
            number=_number(now),
            measure=locked,
            first_decider_id=locked.applied_by_id,
            statement=said,
            due_at=add_working_days(now, int(option("appeal_answer_days"))),
        )
        _record("received", appeal, locked, by)
        notices.tell(user=locked.user, kind="appeal_received", measure=locked, appeal=appeal)
    return appeal, True


def decide(*, appeal_id: UUID, outcome: str, reason: str, by: Any) -> Appeal:
    """Answer an appeal. Accepting lifts the measure at once with what it caused (the account as it is then without it,
    items that waited are evaluated again); the user is told either way.

    Refuses with 403 the one who applied the measure, 422 without a reason or an outcome, 409 once it is answered.
    """
    check(by, "appeal.decide")
    if outcome not in OUTCOMES:
        raise _invalid("outcome", "unknown", _("Choose one of the two."))
    answer = reason.strip()
    if not answer:
        raise _invalid("reason", "required", _("Say why: the user will read it."))
    with transaction.atomic():
        appeal, measure = _locked(appeal_id)
        if appeal.first_decider_id == by.pk:
            raise Forbidden("first_decider", _("You applied this measure: somebody else decides the appeal."))
        appeal.decided_by, appeal.decided_at, appeal.reason = by, Now(), answer
        transition(APPEAL, appeal, outcome, by=by, reason=answer, also=["decided_by", "decided_at", "reason"])
        _record(appeal.state, appeal, measure, by, answer)
        if outcome == "accept":
            measures.overturn(measure=measure, reason=answer, by=by)
        appeal.refresh_from_db(fields=["decided_at"])
        notices.tell(user=measure.user, kind="appeal_decided", measure=measure, appeal=appeal, reason=answer)
    return appeal


def withdraw(*, appeal_id: UUID, by: Any) -> Appeal:
    """The user takes the appeal back; within the limit another may be filed. Refuses with 409 once it is answered."""
    with transaction.atomic():
        appeal, measure = _locked(appeal_id)
        transition(APPEAL, appeal, "withdraw", by=by)
        _record("withdrawn", appeal, measure, by)
    return appeal


def may_be_appealed(measure: Measure, latest: Appeal | None) -> bool:
    """Whether an appeal can be filed now, given the latest one: within the limit, and none open or decided."""
    return (latest is None or latest.state == "withdrawn") and timezone.now() < limit(measure)


def may_decide(appeal: Appeal, person: Any) -> bool:
    """Whether this person isn't the one who applied the measure; the grant is another question."""
    return isinstance(person, Staff) and person.pk != appeal.first_decider_id


def waiting() -> QuerySet[Appeal]:
    """Open appeals, the most urgent first."""
    return Appeal.objects.filter(state="open").select_related("measure__user__service").order_by("due_at", "pk")


def answered() -> QuerySet[Appeal]:
    """Appeals that were decided or withdrawn, the newest first."""
    return (
        Appeal.objects.exclude(state="open")
        .select_related("measure__user__service", "decided_by")
        .order_by("-received_at", "-pk")
    )


def _locked(appeal_id: UUID) -> tuple[Appeal, Measure]:
    # User, measure, appeal: the order of every command, so that two of them wait for each other and never in a ring.
    of = Appeal.objects.filter(pk=appeal_id).values_list("measure_id", flat=True).first()
    if of is None:
        raise NotFound("not_found", _("There is no such appeal."))
    measure = measures.locked(of)
    appeal = Appeal.objects.select_for_update(of=("self",)).get(pk=appeal_id)
    appeal.measure = measure
    return appeal, measure


def _number(now: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('accounts_number')")
        return f"A-{now.astimezone(SHANGHAI):%Y}-{cursor.fetchone()[0]:05}"


def _record(what: str, appeal: Appeal, measure: Measure, by: Any, reason: str = "") -> None:
    audit.record(
        action=f"appeal.{what}",
        subject=f"user:{measure.user_id}",
        by=by,
        reason=reason,
        data={"number": appeal.number, "appeal": str(appeal.pk), "kind": measure.kind},
    )


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
