"""What users are told (DS-10e, GEN-12): the words as they were on that day, to the service by webhook, to the person by
e-mail where there is an address and a mail server, and on a page that only the link opens.

The words are ours, the blanks are filled by plain substitution: what staff or users typed is never a template.
"""

from __future__ import annotations

import random
import smtplib
from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.models import Appeal, Measure, Notice, User
from accounts.notice_words import LANGUAGE, Told, words
from core import audit, crypto, jobs, links, mail, outbox, vault
from core.ids import uuid7
from core.options import option

log = structlog.get_logger("notices")
PURPOSE = "notice"


def tell(
    *,
    user: User,
    kind: str,
    measure: Measure | None = None,
    appeal: Appeal | None = None,
    reason: str = "",
    until: datetime | None = None,
) -> Notice:
    """Tell a user something, in the caller's transaction: the frozen words, the webhook, the e-mail's job. `reason` is what
    a person wrote for the user to read; `until` a limit, where the kind has one. Raises KeyError for an unknown kind."""
    title, body = words(kind, Told(user, measure, appeal, reason.strip(), until))
    notice = Notice(id=uuid7(), user=user, measure=measure, kind=kind, title=title, body=body)
    notice.save(force_insert=True)
    outbox.emit(
        "notice.created",
        subject=str(user.pk),
        payload={
            "id": str(notice.pk),
            "user": user.external_id,
            "kind": kind,
            "title": notice.title,
            "body": notice.body,
            "status_url": status_url(notice),
        },
        service_id=user.service_id,
    )
    if user.contact_sealed and mail.configured():
        jobs.enqueue("notice.email", str(notice.pk))
    return notice


def status_url(notice: Notice, request: HttpRequest | None = None) -> str:
    """The address of a notice's public page: under PUBLIC_URL, else under the host that was asked, else without one."""
    path = reverse("public_appeal", args=[links.make(PURPOSE, notice.pk)])
    return mail.address(path, request.build_absolute_uri("/") if request else "")


def behind(token: str) -> Notice | None:
    """The notice of a public link, or None for a link that was not made here."""
    pk = links.read(PURPOSE, token)
    if pk is None:
        return None
    return Notice.objects.select_related("user__service", "measure__user__service").filter(pk=pk).first()


def was_opened(notice: Notice) -> None:
    """Remember when the page was first opened: proof that the notice reached somebody."""
    if notice.read_at is None:
        Notice.objects.filter(pk=notice.pk, read_at=None).update(read_at=Now())


# By e-mail


def send(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    """Run e-mail jobs: send outside of any transaction, then write what came of it under the fencing token. A process
    killed in between sends a second time, never not at all."""
    for job in claimed:
        notice = Notice.objects.select_related("user").filter(pk=job.subject, emailed_at=None).first()
        address = _address(notice.user) if notice else ""
        if notice is None or not address:
            with transaction.atomic():
                jobs.finish([job])
            continue
        _settle(job, notice, _mailed(notice, address))
    return {}


def _address(user: User) -> str:
    """The user's e-mail address; empty for another kind of contact, or when the data was erased meanwhile."""
    if not user.contact_sealed:
        return ""
    subject = f"user:{user.pk}"
    try:
        contact = vault.unseal(bytes(user.contact_sealed), subject=subject, context=f"{subject}:contact")
    except crypto.Unreadable:
        log.warning("contact_unreadable", user=str(user.pk))
        return ""
    return contact if "@" in contact else ""


def _mailed(notice: Notice, address: str) -> str:
    """Send one e-mail; what went wrong, as "later" or "never", or nothing. No exception may leave here: the texts of
    those of smtplib quote the address, and would stand in the log."""
    link = status_url(notice)
    body = notice.body
    if link.startswith("http"):
        with translation.override(LANGUAGE):
            body += "\n\n" + _("Details, and how to appeal: %(link)s") % {"link": link}
    try:
        mail.send(to=[address], subject=" ".join(notice.title.split()), text=body)
    except smtplib.SMTPRecipientsRefused:
        return "never"
    except (OSError, smtplib.SMTPException) as failed:
        log.warning("email_failed", notice=str(notice.pk), error=type(failed).__name__)
        return "later"
    except ValueError:  # an address that can't stand in a header
        return "never"
    return ""


def _settle(job: jobs.Claimed, notice: Notice, problem: str) -> None:
    with transaction.atomic():
        if not jobs.still_ours([job]):
            return
        age = (timezone.now() - notice.created_at).total_seconds()
        if problem == "later" and age < option("webhook_give_up"):
            pause = min(3600.0, max(option("webhook_backoff"), age))
            jobs.put_back(job, after=random.uniform(pause / 2, pause), reset=True)  # noqa: S311
            return
        if problem:
            audit.record(
                action="notice.not_emailed",
                subject=f"user:{notice.user_id}",
                by="system:courier",
                data={"kind": notice.kind},
            )
        else:
            Notice.objects.filter(pk=notice.pk).update(emailed_at=Now())
        jobs.finish([job])


KIND = jobs.register(jobs.Kind("notice.email", send, batch=1, lease="webhook_lease", queue="courier"))
