"""E-mail, where the installation has a server for it (`EMAIL_URL`). Only jobs of the courier send: a slow mail server
must hold up no request, and a letter that could not be sent is tried again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import translation

from core import jobs

log = structlog.get_logger("mail")
AT_ONCE = 50  # addresses a message: servers refuse long lists


def configured() -> bool:
    """Whether there is a mail server."""
    return bool(settings.MAIL)


def send(*, to: Sequence[str], subject: str, text: str) -> int:
    """Send one text to people who don't learn each other's addresses; returns how many. Raises what the server says
    (OSError, smtplib.SMTPException); a line break in the subject is refused by Django (BadHeaderError)."""
    addresses = sorted({address for address in to if address})
    for start in range(0, len(addresses), AT_ONCE):
        EmailMessage(subject=subject, body=text, bcc=addresses[start : start + AT_ONCE]).send()
    return len(addresses)


def address(path: str, base: str = "") -> str:
    """The address of a page for a letter: under `PUBLIC_URL`, else under `base`, else the path alone."""
    return (settings.PUBLIC_URL or base).rstrip("/") + path


def sends(letter: Callable[[jobs.Claimed], None]) -> Callable[[Sequence[jobs.Claimed]], dict[int, str]]:
    """The run of a kind of job that sends letters: outside of any transaction, in the house's language. A job that was
    cut off between sending and finishing sends twice: better than never."""

    def run(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
        failed = {}
        for job in claimed:
            try:
                with translation.override(settings.LANGUAGE_CODE):
                    letter(job)
            except Exception as exc:
                # What a server answers may hold the address, so only the kind of failure is kept.
                log.warning("letter_failed", kind=letter.__name__, job=job.id, error=type(exc).__name__)
                failed[job.id] = type(exc).__name__
                continue
            with transaction.atomic():
                if jobs.still_ours([job]):
                    jobs.finish([job])
        return failed

    return run
