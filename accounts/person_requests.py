"""Requests of a person about their own data (GA-11, GEN-08): to see it, have a copy, correct it, delete it. A case with a
clock; the person follows it on a page that only the link opens.

Seeing and copying are answered by a bundle (accounts.person_bundle), deleting by freezing and, when the retention period
is over, erasing (accounts.erasure; GEN-09). What the person wrote is sealed under their own data key, and nothing that
people write here goes into the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import erasure, honey, notices, reveals
from accounts.models import PersonRequest, User
from accounts.states import PERSON_REQUEST
from core import audit, jobs, links, sealed_files, vault
from core.calendar import SHANGHAI, add_working_days
from core.errors import Conflict, Forbidden, NotFound, Refusal, field_error
from core.options import option
from core.roles import check
from core.states import check_move, transition

PURPOSE = "request"
BUNDLE_JOB = "person.bundle"
BUNDLE_DAYS = 14
LONGEST = 4000
OPEN = ("received", "working")


def receive(*, user: User, kind: str, detail: str = "", by: Any) -> tuple[PersonRequest, bool]:
    """Take a request of a user. The same kind again while one is open is the same record (False). Refuses with 422 an
    unknown kind, a correction that doesn't say what is wrong and a text that is too long; with 409 a frozen account,
    whose data nobody may use any more."""
    if kind not in PersonRequest.KINDS:
        raise _invalid("kind", "unknown", _("A request is to see, copy, correct or delete."))
    detail = detail.replace("\r\n", "\n").strip()
    if kind == "correct" and not detail:
        raise _invalid("detail", "required", _("Say what is wrong and what is right."))
    if len(detail) > LONGEST or "\x00" in detail:
        raise _invalid("detail", "length", _("This text is too long."))
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        earlier = locked.requests.filter(kind=kind, state__in=(*OPEN, "frozen")).first()
        if earlier:
            return earlier, False
        if locked.frozen_at:
            raise Conflict("user_frozen", _("This record is only kept until its time is over; nobody may use it."))
        now = timezone.now()
        request = PersonRequest(
            number=_number(now),
            user=locked,
            kind=kind,
            due_at=add_working_days(now, int(option("request_answer_days"))),
        )
        if detail:
            request.detail_sealed = vault.seal(detail, subject=_subject(request), context=_context(request, "detail"))
        request.save(force_insert=True)
        _record("received", request, by)
    return request, True


def take_up(*, request_id: UUID, by: Any) -> PersonRequest:
    """Begin to work on a request; from then on what the person wrote can be read here."""
    check(by, "person_request.work")
    with transaction.atomic():
        request = _locked(request_id)
        transition(PERSON_REQUEST, request, "take", by=by)
        _record("taken_up", request, by)
    return request


def make_bundle(*, request_id: UUID, by: Any) -> PersonRequest:
    """Have everything about the person gathered, for a request to see or to copy; a job does it. Asking again while it
    is being made changes nothing."""
    check(by, "person_request.work")
    with transaction.atomic():
        request = _locked(request_id)
        if request.kind not in ("access", "copy"):
            raise Conflict("other_kind", _("This request asks for something else."))
        if request.state == "received":
            transition(PERSON_REQUEST, request, "take", by=by)
        check_move(PERSON_REQUEST, request.state, "answer")
        if request.proposed_by_id is None:
            request.proposed_by = by
            request.save(update_fields=["proposed_by"])
            jobs.enqueue(BUNDLE_JOB, str(request.pk))
            _record("bundle_asked", request, by)
            honey.touched(user_ids=[request.user_id], how="bundle", by=by)
    return request


def bundle_made(*, request_id: UUID, sealed: sealed_files.Sealed, by: Any) -> PersonRequest:
    """The bundle lies in the evidence store: the request is answered, and the person is told where to fetch it."""
    with transaction.atomic():
        request = _locked(request_id)
        check_move(PERSON_REQUEST, request.state, "answer")
        request.bundle_sha256 = sealed.sha256
        request.bundle_key_sealed = vault.seal(
            sealed.key.hex(), subject=_subject(request), context=_context(request, "bundle_key")
        )
        request.decided_at, request.decided_by = Now(), request.proposed_by
        also = ["bundle_sha256", "bundle_key_sealed", "decided_at", "decided_by"]
        transition(PERSON_REQUEST, request, "answer", by=by, also=also)
        _record("answered", request, by)
        # Without the link: what opens the data must not lie in a table, nor in a webhook's body.
        told = _("Your data is ready: fetch it within %(days)s days on the page of your request %(number)s.") % {
            "days": BUNDLE_DAYS,
            "number": request.number,
        }
        notices.tell(user=request.user, kind="request_answered", reason=str(told))
    return request


def finish(*, request_id: UUID, answer: str, by: Any) -> PersonRequest:
    """A correction was made (by the ordinary commands): the answer says what, and the person reads it."""
    check(by, "person_request.work")
    said = _said(answer)
    with transaction.atomic():
        request = _locked(request_id)
        if request.kind != "correct":
            raise Conflict("other_kind", _("This request asks for something else."))
        request.answer, request.decided_by, request.decided_at = said, by, Now()
        transition(PERSON_REQUEST, request, "answer", by=by, also=["answer", "decided_by", "decided_at"])
        _record("answered", request, by)
        notices.tell(user=request.user, kind="request_answered", reason=said)
    return request


def refuse(*, request_id: UUID, answer: str, by: Any) -> PersonRequest:
    """Say no, with reasons that the person reads (GEN-08)."""
    check(by, "person_request.work")
    said = _said(answer)
    with transaction.atomic():
        request = _locked(request_id)
        request.answer, request.decided_by, request.decided_at = said, by, Now()
        transition(PERSON_REQUEST, request, "refuse", by=by, also=["answer", "decided_by", "decided_at"])
        _record("refused", request, by)
        notices.tell(user=request.user, kind="request_answered", reason=said)
    return request


def propose_deletion(*, request_id: UUID, by: Any) -> PersonRequest:
    """The first of the two people that deleting takes. Refuses when somebody proposed it already."""
    check(by, "person_request.work")
    with transaction.atomic():
        request = _locked(request_id)
        _is_deletion(request)
        if request.state == "received":
            transition(PERSON_REQUEST, request, "take", by=by)
        check_move(PERSON_REQUEST, request.state, "freeze")
        if request.proposed_by_id is not None:
            raise Conflict("already_proposed", _("Somebody proposed this already: a second person approves it."))
        request.proposed_by = by
        request.save(update_fields=["proposed_by"])
        _record("deletion_proposed", request, by)
    return request


def approve_deletion(*, request_id: UUID, by: Any) -> PersonRequest:
    """The second person: the account is closed at once, its record frozen until the retention period is over and then
    erased by the clock (GEN-09). Refuses the one who proposed it."""
    check(by, "person_request.work")
    with transaction.atomic():
        request = _locked(request_id)
        _is_deletion(request)
        check_move(PERSON_REQUEST, request.state, "freeze")
        if request.proposed_by_id is None:
            raise Conflict("not_proposed", _("Somebody must propose it first."))
        if request.proposed_by_id == by.pk:
            raise Forbidden("own_proposal", _("You proposed this: a second person approves it."))
        request.decided_by, request.decided_at = by, Now()
        transition(PERSON_REQUEST, request, "freeze", by=by, also=["decided_by", "decided_at"])
        _record("deletion_approved", request, by)
        erasure.freeze(user=request.user, by=by)
        told = _(
            "Your account is closed. What the law has us keep is kept until %(until)s, unused, and then erased."
        ) % {
            "until": f"{request.user.retain_until.astimezone(SHANGHAI):%Y-%m-%d}",  # type: ignore[union-attr]
        }
        notices.tell(user=request.user, kind="request_answered", reason=str(told))
    return request


def download(*, request_id: UUID, reason: str, by: Any) -> Iterator[bytes]:
    """The bundle for a colleague who hands it to the person; counts as a look at all their data, is recorded before the
    first byte and rings for a honey record."""
    check(by, "person_request.work")
    request = _found(request_id)
    _must_be_there(request)
    reveals.note(user_id=request.user_id, reason=reason, by=by, kind="bundle")
    return _opened(request)


def download_by_link(*, request: PersonRequest) -> Iterator[bytes]:
    """The bundle for whoever holds the link of the status page."""
    _must_be_there(request)
    with transaction.atomic():
        audit.record(
            action="person_request.fetched",
            subject=f"user:{request.user_id}",
            by="public:link",
            data={"number": request.number},
        )
    return _opened(request)


def behind(token: str) -> PersonRequest | None:
    """The request of a status page's link, or None for a link that was not made here."""
    pk = links.read(PURPOSE, token)
    return PersonRequest.objects.select_related("user__service").filter(pk=pk).first() if pk else None


def status_url(request: PersonRequest, http: HttpRequest | None = None) -> str:
    """The address of the status page: under PUBLIC_URL, else under the host that was asked, else without one."""
    path = reverse("public_request", args=[links.make(PURPOSE, request.pk)])
    if settings.PUBLIC_URL or http is None:
        return f"{settings.PUBLIC_URL}{path}"
    return http.build_absolute_uri(path)


def bundle_until(request: PersonRequest) -> datetime | None:
    """Until when the bundle can be fetched; None where there is none."""
    if not request.bundle_sha256 or request.decided_at is None:
        return None
    return request.decided_at + timedelta(days=BUNDLE_DAYS)


def detail_of(request: PersonRequest, *, by: Any) -> str:
    """What the person wrote, for those who work on the request once it was taken up; empty otherwise."""
    check(by, "person_request.work")
    if not request.detail_sealed or request.state == "received":
        return ""
    return vault.unseal(request.detail_sealed, subject=_subject(request), context=_context(request, "detail"))


def waiting() -> QuerySet[PersonRequest]:
    """Open requests, the most urgent first."""
    return (
        PersonRequest.objects.filter(state__in=OPEN)
        .select_related("user__service", "proposed_by")
        .order_by("due_at", "pk")
    )


def settled() -> QuerySet[PersonRequest]:
    """Requests that were answered, the newest first."""
    return PersonRequest.objects.exclude(state__in=OPEN).select_related("user__service", "decided_by")


def remove_old_bundles(*, most: int = 200) -> int:
    """Remove bundles whose time is over, by the database's clock: first the key, then the file. Returns how many."""
    old = PersonRequest.objects.filter(decided_at__lt=Now() - timedelta(days=BUNDLE_DAYS)).exclude(bundle_sha256="")
    removed = 0
    for pk in list(old.values_list("pk", flat=True)[:most]):
        with transaction.atomic():
            request = old.select_for_update(skip_locked=True).filter(pk=pk).first()
            if request is None:
                continue
            if request.bundle_key_sealed is not None:
                request.bundle_key_sealed = None
                request.save(update_fields=["bundle_key_sealed"])
        sealed_files.remove(request.bundle_sha256)
        with transaction.atomic():
            request.bundle_sha256 = ""
            request.save(update_fields=["bundle_sha256"])
        removed += 1
    return removed


def representation(request: PersonRequest, http: HttpRequest | None = None) -> dict[str, Any]:
    """What the API says of a request."""
    return {
        "number": request.number,
        "kind": request.kind,
        "state": request.state,
        "received_at": request.received_at.isoformat() if isinstance(request.received_at, datetime) else None,
        "due_at": request.due_at.isoformat(),
        "answer": request.answer,
        "status_url": status_url(request, http),
    }


def _opened(request: PersonRequest) -> Iterator[bytes]:
    key = vault.unseal(
        request.bundle_key_sealed or b"", subject=_subject(request), context=_context(request, "bundle_key")
    )
    return sealed_files.read(request.bundle_sha256, bytes.fromhex(key), aad=request.pk.bytes)


def _must_be_there(request: PersonRequest) -> None:
    until = bundle_until(request)
    if request.bundle_key_sealed is None or until is None or until <= timezone.now():
        raise NotFound("bundle_gone", _("There is nothing to fetch, or no longer."))


def _is_deletion(request: PersonRequest) -> None:
    if request.kind != "delete":
        raise Conflict("other_kind", _("This request asks for something else."))


def _found(request_id: UUID) -> PersonRequest:
    request = PersonRequest.objects.select_related("user__service").filter(pk=request_id).first()
    if request is None:
        raise NotFound("not_found", _("There is no such request."))
    return request


def _locked(request_id: UUID) -> PersonRequest:
    # The user first, as everywhere.
    user = User.objects.select_for_update().get(pk=_found(request_id).user_id)
    request = PersonRequest.objects.select_for_update(of=("self",)).get(pk=request_id)
    request.user = user
    return request


def _said(answer: str) -> str:
    said = answer.strip()
    if not said:
        raise _invalid("answer", "required", _("Say why: the user will read it."))
    if len(said) > LONGEST:
        raise _invalid("answer", "length", _("This text is too long."))
    return said


def _number(now: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('accounts_number')")
        return f"D-{now.astimezone(SHANGHAI):%Y}-{cursor.fetchone()[0]:05}"


def _subject(request: PersonRequest) -> str:
    return f"user:{request.user_id}"


def _context(request: PersonRequest, column: str) -> str:
    return f"person_request:{request.pk}:{column}"


def _record(what: str, request: PersonRequest, by: Any) -> None:
    audit.record(
        action=f"person_request.{what}",
        subject=f"user:{request.user_id}",
        by=by,
        data={"number": request.number, "kind": request.kind},
    )


def _invalid(field: str, code: str, detail: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
