"""One-time codes for mobile numbers (DS-09a): sent by a job, entered through the service, and the number is verified
without a person. Only a keyed digest of a code is ever kept."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, DateTimeField, ExpressionWrapper, F, Q, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts import code_senders, numbers, sealing, verdicts
from accounts.models import Identity, OneTimeCode, User
from accounts.verifiers import MATCH, MISMATCH, Evidence, OneTimeCodeVerifier
from accounts.verifiers.one_time_code import digest_of
from core import audit, jobs
from core.errors import Conflict, Refusal
from core.options import option

JOB = "identity.send_code"
BY = "system:codes"
SENDS = 5  # codes for one proof of identity
SENDS_A_DAY = 10  # codes to one number, whoever asks: nobody's phone is to be flooded
FIRST_PAUSE = 60.0  # seconds before another code; doubled by every one
_CODE = re.compile(r"[0-9]{6}\Z")


def expect(identity: Identity) -> None:
    """Have a code sent for a mobile number that was just handed in, in the caller's transaction. Without a sender
    nothing happens and a person decides."""
    if identity.method == "mobile" and code_senders.sender():
        OneTimeCode.objects.create(identity=identity, digest=b"", sent_at=Now(), expires_at=Now(), sends=1)
        jobs.enqueue(JOB, str(identity.pk), {"send": 1})


def resend(*, user: User, by: Any) -> int:
    """Send another code; the one before is void. Answers after how many seconds yet another may be asked for. Refuses
    with 409 where no code is waited for, and with 429 what comes too soon or too often: each pause is twice the last."""
    with transaction.atomic():
        identity = _waiting(user)
        row = OneTimeCode.objects.select_for_update().filter(pk=identity.pk).first()
        if row is None or code_senders.sender() is None:
            raise Conflict("code_not_sent", _("No code is sent to this number; an identity admin looks at it."))
        if row.sends >= SENDS or _sent_today(identity, row.sends) >= SENDS_A_DAY:
            raise Refusal("code_too_often", _("Too many codes were sent already."), status=429, retry_after=24 * 3600)
        left = _seconds_left(row, _pause(row.sends))
        if left > 0:
            raise Refusal("code_too_soon", _("Wait a little before another code."), status=429, retry_after=left)
        row.sends, row.digest, row.sent_at, row.expires_at = row.sends + 1, b"", Now(), Now()
        row.save(update_fields=["sends", "digest", "sent_at", "expires_at"])
        jobs.enqueue(JOB, str(identity.pk), {"send": row.sends})
        audit.record(action="identity.code_asked", subject=f"user:{user.pk}", by=by, data={"send": row.sends})
    return int(_pause(row.sends))


def confirm(*, user: User, code: str, by: Any) -> User:
    """The user typed the code. The right one verifies without a person, unless one must look (then the identity stays
    pending and says that the code was right); the same right code again changes nothing. Refuses with 422 `code_wrong`
    and the tries left, and with 409 a code that was not sent, is void or too old."""
    code = numbers.fold(code)
    if not _CODE.match(code):
        raise numbers.invalid("code", "invalid", _("A code has six digits."))
    # A wrong try is counted whatever is answered, so the refusal is raised after the count was committed.
    with transaction.atomic():
        user, refused = _confirmed(user, code, by)
    if refused:
        raise refused
    return user


def _confirmed(user: User, code: str, by: Any) -> tuple[User, Refusal | None]:
    try:
        identity = _waiting(user)
    except Conflict as refused:
        return (user, None) if _confirmed_before(user, code) else (user, refused)
    outcome = OneTimeCodeVerifier().verify(Evidence(identity.pk, "mobile", code=code))
    if outcome.result == MATCH:
        _accept(identity, by)
        return identity.user, None
    if outcome.result == MISMATCH:
        return user, _count_wrong(identity, by)
    return user, Conflict(outcome.detail, _REFUSALS[outcome.detail])


_REFUSALS = {
    "code_not_sent": _("No code was sent yet."),
    "code_void": _("This code is void after too many wrong tries; ask for another."),
    "code_expired": _("This code is too old; ask for another."),
}


def _accept(identity: Identity, by: Any) -> None:
    OneTimeCode.objects.filter(pk=identity.pk).update(expires_at=Now())
    identity.check_state, identity.check_detail, identity.checked_at = "match", "one_time_code", Now()
    identity.save(update_fields=["check_state", "check_detail", "checked_at"])
    audit.record(action="identity.code_confirmed", subject=f"user:{identity.user_id}", by=by)
    if left := verdicts.accept_without_person(identity, method="one_time_code", by=by):
        audit.record(action="identity.left_to_person", subject=f"user:{identity.user_id}", by=by, data={"why": left})


def _count_wrong(identity: Identity, by: Any) -> Refusal:
    OneTimeCode.objects.filter(pk=identity.pk).update(tries=F("tries") + 1)
    tried = OneTimeCode.objects.values_list("tries", flat=True).get(pk=identity.pk)
    left = max(0, int(option("code_tries")) - tried)
    audit.record(action="identity.code_wrong", subject=f"user:{identity.user_id}", by=by, data={"tries_left": left})
    return Refusal("code_wrong", _("This is not the code that was sent."), extra={"tries_left": left})


def _confirmed_before(user: User, code: str) -> bool:
    """Whether this very code verified the user: an answer may get lost on its way and the question come again."""
    row = OneTimeCode.objects.filter(
        identity__user=user, identity__state="verified", identity__verified_by_method="one_time_code"
    ).first()
    if row is None or not hmac.compare_digest(bytes(row.digest), digest_of(row.pk, code)):
        return False
    user.refresh_from_db()
    return True


def _waiting(user: User) -> Identity:
    """The user's mobile number that waits, locked after its user."""
    pk = Identity.objects.filter(user=user, method="mobile", state="pending").values_list("pk", flat=True).first()
    identity = verdicts.locked(pk) if pk else None
    if identity is None or identity.state != "pending":
        raise Conflict("no_code_waited_for", _("No code is waited for."))
    return identity


def _pause(sends: int) -> float:
    return FIRST_PAUSE * 2 ** (sends - 1)


def _seconds_left(row: OneTimeCode, pause: float) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ceil(%s - extract(epoch FROM statement_timestamp() - sent_at))::int"
            " FROM accounts_onetimecode WHERE identity_id = %s",
            [pause, row.pk],
        )
        return cursor.fetchone()[0]


def _sent_today(identity: Identity, sends: int) -> int:
    """Codes to this number in the last 24 hours, over all users and proofs; `sends` are those of this proof. Whoever
    counts queues up: two at once would each find the last place free."""
    digest = bytes(identity.number_digest or b"")
    verdicts.queue_up(digest)
    others = OneTimeCode.objects.exclude(pk=identity.pk).filter(
        identity__number_digest=digest, sent_at__gt=Now() - timedelta(days=1)
    )
    # The last one of a row without a digest is still to be sent, and counts then.
    left = others.aggregate(all=Sum("sends"), coming=Count("pk", filter=Q(digest=b"")))
    return sends + (left["all"] or 0) - left["coming"]


# The job


def run(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    """Send codes: the digest is committed first and the code leaves afterwards, so that no code is ever out that isn't
    known here. A process killed in between sends another one at the next attempt, and the lost one opens nothing."""
    failed = {}
    for job in claimed:
        with transaction.atomic():
            prepared = _prepared(job)
        if prepared is None:
            continue
        number, code = prepared
        try:
            sender = code_senders.sender()
            if sender is None:
                raise code_senders.NotSent("no_sender")
            sender.send(number=number, code=code, reference=f"{job.subject}:{job.payload['send']}")
        except code_senders.NotSent as why:
            failed[job.id] = str(why)
            continue
        with transaction.atomic():
            if jobs.still_ours([job]):
                jobs.finish([job])
                _note_sent(job)
    return failed


def _prepared(job: jobs.Claimed) -> tuple[str, str] | None:
    """Number and new code, with the digest stored; None, and the job finished, where nobody waits for this code any
    more, a later one was asked for or the number had its share of today."""
    if not jobs.still_ours([job]):
        return None
    pk = UUID(job.subject)
    identity = verdicts.locked(pk) if Identity.objects.filter(pk=pk).exists() else None
    row = OneTimeCode.objects.select_for_update().filter(pk=pk).first()
    if identity is None or row is None or identity.state != "pending" or row.sends != job.payload["send"]:
        jobs.finish([job])
        return None
    if _sent_today(identity, row.sends - 1) >= SENDS_A_DAY:
        audit.record(action="identity.code_held_back", subject=f"user:{identity.user_id}", by=BY)
        jobs.finish([job])
        return None
    code = f"{secrets.randbelow(10**6):06}"
    lifetime = timedelta(seconds=option("code_lifetime"))
    row.digest, row.tries, row.sent_at = digest_of(identity.pk, code), 0, Now()
    row.expires_at = ExpressionWrapper(Now() + lifetime, output_field=DateTimeField())
    row.save(update_fields=["digest", "tries", "sent_at", "expires_at"])
    return sealing.number_of(identity), code


def _note_sent(job: jobs.Claimed) -> None:
    owner = Identity.objects.filter(pk=job.subject).values_list("user_id", flat=True).first()
    audit.record(action="identity.code_sent", subject=f"user:{owner}", by=BY, data={"send": job.payload["send"]})


KIND = jobs.register(jobs.Kind(JOB, run, batch=1, queue="courier"))
