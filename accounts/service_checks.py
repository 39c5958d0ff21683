"""Asking the outside verification service about a proof of identity: never in a request, and never the whole decision
unless the operator wants a signed match to stand for one (option `identity_automatic`)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import sealing, verdicts, verifiers
from accounts.models import Identity
from accounts.verifiers import MATCH, MISMATCH, UNAVAILABLE, Evidence, Outcome
from core import alarms, audit, crypto, jobs
from core.errors import Conflict
from core.models import Alarm
from core.options import option
from core.roles import check

log = structlog.get_logger("identity")
JOB = "identity.check"
BY = "system:verification_service"
# What stands in `check_detail` while a question that was answered before is asked again.
_SAID = "said_"


def is_asked(method: str, name: str) -> bool:
    """Whether a service is asked about such a proof; without a name there is nothing to compare a number with."""
    return bool(verifiers.service_for(method)) and (method == "network_identity" or bool(name))


def expect(identity: Identity) -> None:
    """Have the service asked about a proof that was just handed in with `check_state` waiting, in the caller's
    transaction."""
    jobs.enqueue(JOB, str(identity.pk))


def ask_again(*, identity_id: UUID, by: Any) -> Identity:
    """Put the question to the service once more; while it has time to answer nobody verifies. Refuses with 409 what no
    service is asked about, what is being asked already and what is no longer pending."""
    check(by, "identity.decide")
    with transaction.atomic():
        identity = verdicts.locked(identity_id)
        if identity.state != "pending" or identity.check_state == "waiting":
            raise Conflict("not_to_be_asked", _("This can't be asked now."))
        if not is_asked(identity.method, identity.name_masked) or _token_is_gone(identity):
            raise Conflict("no_service", _("No verification service is asked about this."))
        said = identity.check_state if identity.check_state in (MATCH, MISMATCH) else ""
        identity.check_state, identity.check_detail = "waiting", f"{_SAID}{said}" if said else ""
        identity.checked_at = Now()
        identity.save(update_fields=["check_state", "check_detail", "checked_at"])
        jobs.enqueue(JOB, str(identity.pk))
        audit.record(action="identity.asked_again", subject=f"identity:{identity.pk}", by=by)
    return identity


def may_ask_again(identity: Identity) -> bool:
    """Whether `ask_again` would be taken, for buttons."""
    if identity.state != "pending" or identity.check_state in ("waiting", "none"):
        return False
    return is_asked(identity.method, identity.name_masked) and not _token_is_gone(identity)


def _token_is_gone(identity: Identity) -> bool:
    return identity.method == "network_identity" and not identity.number_sealed


def run(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    """Run check jobs: ask outside of any transaction, then write what came of it under the fencing token."""
    for job in claimed:
        identity = Identity.objects.filter(pk=job.subject, state="pending", check_state="waiting").first()
        _settle(job, _judged(identity) if identity else None)
    return {}


def _judged(identity: Identity) -> Outcome:
    try:
        number, name = sealing.opened(identity)
        token = sealing.token_of(identity)
    except crypto.Unreadable:
        return Outcome(UNAVAILABLE, "unreadable")
    service = verifiers.service_for(identity.method)
    if service is None:
        return Outcome(UNAVAILABLE, "no_service")
    evidence = Evidence(identity.pk, identity.method, name=name, number=number, token=token)
    return service.verify(evidence)


def _settle(job: jobs.Claimed, outcome: Outcome | None) -> None:
    with transaction.atomic():
        if not jobs.still_ours([job]):
            return
        identity = _still_waiting(job.subject)
        if identity is None or outcome is None:
            # Decided, replaced or gone while the service thought about it: a late answer changes nothing.
            log.info("late_answer", identity=job.subject)
            jobs.finish([job])
        elif outcome.again and verdicts.waits_for_service(identity):
            _note(identity, outcome)
            jobs.put_back(job, after=_pause(job, outcome), reset=True)
        else:
            _write(identity, outcome)
            jobs.finish([job])


def _still_waiting(subject: str) -> Identity | None:
    if not Identity.objects.filter(pk=subject).exists():
        return None
    identity = verdicts.locked(UUID(subject))
    return identity if identity.state == "pending" and identity.check_state == "waiting" else None


def _note(identity: Identity, outcome: Outcome) -> None:
    """Say on the waiting item why it still waits; a memory of what was said before is worth more."""
    if identity.check_detail != outcome.detail and not identity.check_detail.startswith(_SAID):
        identity.check_detail = outcome.detail
        identity.save(update_fields=["check_detail"])


def _pause(job: jobs.Claimed, outcome: Outcome) -> float:
    """Seconds until the next attempt: as long as the item has been waited for so far, between one and sixty, with
    jitter, so that a service that comes back isn't met by everything at once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM statement_timestamp() - coalesce(checked_at, submitted_at))::float8"
            " FROM accounts_identity WHERE id = %s",
            [job.subject],
        )
        waited = cursor.fetchone()[0]
    longest = 15.0 if outcome.detail == "circuit_open" else 60.0
    return min(longest, max(1.0, waited)) * random.uniform(0.5, 1.0)  # noqa: S311


def _write(identity: Identity, outcome: Outcome) -> None:
    outcome = _unless_contradicting(identity, outcome)
    identity.check_state, identity.check_detail = outcome.result, outcome.detail
    identity.check_reference, identity.checked_at = outcome.reference, Now()
    fields = ["check_state", "check_detail", "check_reference", "checked_at", *verdicts.end_check(identity)]
    identity.save(update_fields=fields)
    audit.record(
        action="identity.checked",
        subject=f"user:{identity.user_id}",
        by=BY,
        data={"result": outcome.result, "detail": outcome.detail},
    )
    if outcome.lie:
        _alarm(identity, outcome.detail)
    if outcome.result == MATCH and option("identity_automatic") == 1:
        left = verdicts.accept_without_person(identity, method="verification_service", by=BY)
        if left:
            audit.record(
                action="identity.left_to_person", subject=f"user:{identity.user_id}", by=BY, data={"why": left}
            )


def _unless_contradicting(identity: Identity, outcome: Outcome) -> Outcome:
    """A signed answer that contradicts an earlier signed answer to the same question: neither counts any more."""
    said = identity.check_detail.removeprefix(_SAID) if identity.check_detail.startswith(_SAID) else ""
    if said and outcome.result in (MATCH, MISMATCH) and outcome.result != said:
        return Outcome(UNAVAILABLE, "contradiction", outcome.reference, lie=True)
    return outcome


def _alarm(identity: Identity, detail: str) -> None:
    """Ring once until somebody looked: a service that lies lies about everybody."""
    if not Alarm.objects.filter(kind="verifier_lies", detail=detail, seen_at=None).exists():
        alarms.ring(kind="verifier_lies", subject=f"identity:{identity.pk}", by=BY, detail=detail)


def _give_up(job: jobs.Claimed) -> None:
    """The job itself failed three times: nobody waits for it any longer."""
    identity = _still_waiting(job.subject)
    if identity is not None:
        _write(identity, Outcome(UNAVAILABLE, "gave_up"))


KIND = jobs.register(jobs.Kind(JOB, run, batch=1, queue="courier", give_up=_give_up))
