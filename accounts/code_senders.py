"""Who carries a one-time code to a mobile number: the operator's SMS gateway, or the console of a demonstration."""

from __future__ import annotations

import sys
from typing import Protocol

import httpx
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import numbers
from core.options import option


class NotSent(Exception):
    """The code didn't leave; the message is a code without anything personal."""


class CodeSender(Protocol):
    """Carries a code. `reference` is the same for every attempt at one sending, so that a gateway can leave out what it
    sent already. Raises NotSent."""

    def send(self, *, number: str, code: str, reference: str) -> None:
        """Send, within the option `verifier_timeout`."""


class GatewaySender:
    """An SMS gateway over HTTP (docs/identity-verifier.md): one POST, any 2xx answer means taken."""

    def __init__(self, url: str, key: str):
        self.url, self.key = url, key

    def send(self, *, number: str, code: str, reference: str) -> None:
        """Hand the message over; redirects are not followed and the answer's body is not read."""
        message = {"reference": reference, "to": f"+86{number}", "code": code, "text": text_of(code)}
        headers = {"authorization": f"Bearer {self.key}", "user-agent": "Mingjian-Codes/1"}
        try:
            with httpx.Client(follow_redirects=False, timeout=option("verifier_timeout"), trust_env=False) as client:
                with client.stream("POST", self.url, json=message, headers=headers) as answer:
                    status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as away:
            raise NotSent(type(away).__name__) from None
        if not 200 <= status < 300:
            raise NotSent(f"answered_{status}")


class ConsoleSender:
    """Writes the code to the worker's standard output: for a demonstration only, on one's own machine."""

    def send(self, *, number: str, code: str, reference: str) -> None:
        """One line, the number masked."""
        sys.stdout.write(f"one-time code for {numbers.masked(number)}: {code}\n")
        sys.stdout.flush()


def text_of(code: str) -> str:
    """The words of the message, in the installation's language: a job serves nobody's browser."""
    with translation.override(settings.LANGUAGE_CODE):
        return _("Your code is %(code)s, valid for %(minutes)d minutes. Tell it to nobody.") % {
            "code": code,
            "minutes": max(1, int(option("code_lifetime")) // 60),
        }


def sender() -> CodeSender | None:
    """The sender of this installation: the gateway where one is set, the console of a demonstration, else nobody; then
    a mobile number waits for an identity admin."""
    if settings.SMS_GATEWAY_URL:
        return GatewaySender(settings.SMS_GATEWAY_URL, settings.SMS_GATEWAY_KEY)
    return ConsoleSender() if settings.DEMO else None


def only_the_code_decides() -> bool:
    """Whether a mobile number waits for its code while that can be entered. In a demonstration either may decide."""
    return bool(settings.SMS_GATEWAY_URL)
