"""Freezing and erasing a person's data (GEN-09, security.md §4).

Frozen: the account is closed and its record only kept, not used, until the retention period is over. Erased: the data key
is destroyed, which covers every copy and backup that holds no key of its own, and what was never under it (digests, masks,
names shown, free texts of the person) is emptied, in the history tables too. What stays: the ids, the service's own id of
the account (so that the same account registered again is recognised as closed and can't shed its measures), the measures
with their grounds, and the ledger, which names ids only.

Every erasure is written to a journal outside the database before it is carried out: a database restored from an older
backup has forgotten that it happened, and `manage.py replay_erasures` does it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import measures
from accounts.models import (
    Appeal,
    GuardianConsent,
    Identity,
    IdentityDocument,
    Notice,
    OneTimeCode,
    PersonRequest,
    User,
    UserDevice,
    VerificationLease,
)
from accounts.states import IDENTITY, PERSON_REQUEST
from core import audit, sealed_files, vault
from core.errors import Conflict
from core.ids import parse_uuid
from core.options import option
from core.states import transition

log = structlog.get_logger("erasure")
GONE = "已注销"  # what stands where a constraint or a page needs a text
JOURNAL = "erasures.jsonl"
ACTION = "user.erased"

# What apps above this one add: both are called in the transaction of the erasure, with the user's row locked.
PARTS: dict[str, Callable[[User], int]] = {}
HOLDS: dict[str, Callable[[User], bool]] = {}


def part(name: str, erase: Callable[[User], int]) -> None:
    """Have an app's own data of a person erased with the rest; `erase` answers how many records it emptied."""
    PARTS[name] = erase


def held_by(name: str, holds: Callable[[User], bool]) -> None:
    """Let an app forbid an erasure while the law has the record kept (a legal hold); asked again at each try."""
    HOLDS[name] = holds


def freeze(*, user: User, by: Any) -> User:
    """Close the account and let its record only be kept, until the retention period (option `retention_days`) is over.
    The caller has asked the grants, has the user's row locked and a transaction open."""
    if user.frozen_at:
        raise Conflict("user_frozen", _("This record is only kept until its time is over; nobody may use it."))
    user.frozen_at = Now()
    user.retain_until = Now() + timedelta(days=int(option("retention_days")))
    for waiting in Identity.objects.select_for_update().filter(user=user, state="pending"):
        VerificationLease.objects.filter(identity=waiting).delete()
        transition(IDENTITY, waiting, "replace", by=by)
        user.identity_status = "unverified"
    for proved in Identity.objects.select_for_update().filter(user=user, state="verified"):
        proved.expires_at = None  # nobody is asked to prove anything again
        proved.save(update_fields=["expires_at"])
    user.reverify_by, user.reverify_reason = None, ""
    user.save(update_fields=["frozen_at", "retain_until", "identity_status", "reverify_by", "reverify_reason"])
    user.refresh_from_db(fields=["frozen_at", "retain_until"])
    measures.recompute(user, by=by)
    audit.record(
        action="user.frozen",
        subject=f"user:{user.pk}",
        by=by,
        data={"retain_until": str(user.retain_until), "reason": "deletion_requested"},
    )
    return user


def erase(*, user_id: UUID, by: Any, again: bool = False) -> dict[str, int]:
    """Erase a person's data for good; answers how many records were emptied, by kind. Refuses with 409 while the
    retention period runs, for an account that isn't frozen, and while something holds it. `again` carries out an erasure
    that was due once already, after an older backup was restored."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        if user.erased_at and not again:
            raise Conflict("user_erased", _("This record is erased already."))
        if not again and not User.objects.filter(pk=user_id, frozen_at__isnull=False, retain_until__lte=Now()).exists():
            raise Conflict("retained", _("The retention period of this record isn't over."))
        if holding := [name for name, holds in HOLDS.items() if holds(user)]:
            raise Conflict("held", _("This record is held."), extra={"by": holding})
        if not again:
            _to_journal(user_id)
        counts = _emptied(user, by)
        for name, erase_part in PARTS.items():
            counts[name] = erase_part(user)
        vault.shred([f"user:{user.pk}"])
        _account_emptied(user)
        measures.recompute(user, by=by)
        for request in PersonRequest.objects.select_for_update().filter(user=user, state="frozen"):
            transition(PERSON_REQUEST, request, "erase", by=by)
        audit.record(action=ACTION, subject=f"user:{user.pk}", by=by, data={"emptied": counts, "again": again})
    return counts


def erase_due(*, most: int = 100) -> int:
    """Erase what is due, by the database's clock; run by beat. One that is held or fails doesn't stop the others."""
    due = User.objects.filter(retain_until__lte=Now(), erased_at=None).order_by("retain_until")
    erased = 0
    for pk in list(due.values_list("pk", flat=True)[:most]):
        try:
            erase(user_id=pk, by="system:clock")
            erased += 1
        except Conflict as refused:
            log.warning("erasure_put_off", user=str(pk), why=refused.code)
        except Exception as exc:
            log.error("erasure_failed", user=str(pk), error=type(exc).__name__, exc_info=exc)
    return erased


def replay(*, user_ids: Iterable[UUID], by: Any) -> int:
    """Carry out again every erasure of these that the database has forgotten; returns how many there were. Users that
    the backup doesn't know yet are passed over."""
    done = 0
    for pk in sorted(set(user_ids)):
        if User.objects.filter(pk=pk, erased_at=None).exists():
            erase(user_id=pk, by=by, again=True)
            done += 1
    return done


def journal_path() -> Path:
    """The journal of this installation. It holds ids and times, and belongs into every backup, beside the database's."""
    return Path(settings.DATA_DIR) / JOURNAL


def read_journal(path: Path) -> Iterator[UUID]:
    """The users in a journal; a line that a crash cut off is passed over."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                found = parse_uuid(json.loads(line)["user"])
            except (ValueError, KeyError, TypeError):
                continue
            if found:
                yield found


def _to_journal(user_id: UUID) -> None:
    # Before the commit: an erasure that then fails is due again within the hour, one that is missing here could be lost.
    path = journal_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        line = json.dumps({"user": str(user_id), "at": timezone.now().isoformat()})
        os.write(handle, (b"" if _ends_a_line(path) else b"\n") + line.encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as opened:
        opened.seek(0, os.SEEK_END)
        if opened.tell() == 0:
            return True
        opened.seek(-1, os.SEEK_END)
        return opened.read(1) == b"\n"


def _emptied(user: User, by: Any) -> dict[str, int]:
    """Empty what belongs to this app, but for the account itself; how many records of each kind."""
    files: list[str] = []
    counts = {
        "identities": _identities_emptied(user, by),
        "documents": _documents_emptied(user, files),
        "guardians": _guardians_emptied(user),
        "requests": _requests_emptied(user, files),
        "devices": UserDevice.objects.filter(user=user).delete()[0],
        "texts": _texts_emptied(user),
    }
    # Their keys are gone with this transaction; a file that a crash leaves behind opens for nobody.
    for sha256 in files:
        transaction.on_commit(partial(sealed_files.remove, sha256), robust=True)
    return counts


def _identities_emptied(user: User, by: Any) -> int:
    identities = list(Identity.objects.select_for_update().filter(user=user))
    OneTimeCode.objects.filter(identity__in=identities).delete()
    VerificationLease.objects.filter(identity__in=identities).delete()
    for identity in identities:
        if identity.state == "pending":
            transition(IDENTITY, identity, "replace", by=by)
        identity.expires_at = None  # the clock has nothing more to ask for
        identity.name_sealed = identity.number_sealed = identity.number_digest = None
        identity.name_masked = identity.number_masked = identity.check_reference = ""
        identity.reject_reason = GONE if identity.reject_reason else ""
        identity.overturn_reason = GONE if identity.overturn_reason else ""
        identity.save()
    # The history tables are not tracked themselves.
    Identity.history.filter(user_id=user.pk).update(
        name_masked="", number_masked="", check_reference="", reject_reason="", overturn_reason=""
    )
    return len(identities)


def _documents_emptied(user: User, files: list[str]) -> int:
    documents = IdentityDocument.objects.select_for_update().filter(identity__user=user, removed_at=None)
    found = list(documents)
    for document in found:
        files.append(document.sha256)
        document.key_sealed, document.removed_at = None, Now()
        document.save(update_fields=["key_sealed", "removed_at"])
    return len(found)


def _guardians_emptied(user: User) -> int:
    return GuardianConsent.objects.filter(user=user).update(name_sealed=None, name_masked="")


def _requests_emptied(user: User, files: list[str]) -> int:
    requests = list(PersonRequest.objects.select_for_update().filter(user=user))
    for request in requests:
        if request.bundle_sha256:
            files.append(request.bundle_sha256)
        request.detail_sealed = request.bundle_key_sealed = None
        request.bundle_sha256 = ""
        request.answer = GONE if request.answer else ""
        request.save()
    PersonRequest.history.filter(user_id=user.pk).update(answer="", bundle_sha256="")
    return len(requests)


def _texts_emptied(user: User) -> int:
    """What the person wrote in appeals and was told in notices; who decided what, and when, stays."""
    appeals = list(Appeal.objects.select_for_update().filter(measure__user=user))
    for appeal in appeals:
        appeal.statement = GONE
        appeal.save(update_fields=["statement"])
    Appeal.history.filter(measure__user_id=user.pk).update(statement=GONE)
    return len(appeals) + Notice.objects.filter(user=user).update(title=GONE, body=GONE)


def _account_emptied(user: User) -> None:
    user.display_name = GONE
    user.region = user.profession = user.institution = user.address_region = user.contact_masked = ""
    user.contact_sealed = user.minor = user.reverify_by = None
    user.reverify_reason = ""
    user.identity_status = "unverified"
    user.frozen_at = user.frozen_at or timezone.now()
    user.erased_at = Now()
    user.save()
    user.refresh_from_db(fields=["erased_at"])
    User.history.filter(id=user.pk).update(
        display_name=GONE, region="", profession="", institution="", address_region="", contact_masked="", minor=None
    )
