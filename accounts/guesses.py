"""Wrong passwords and codes are counted: by account, by address, by browser. Beyond a limit tries must wait, longer each
time up to a longest (ASVS 6.1.1, 6.3.1).

A try is written down before it is made, so that a thousand at once are a thousand tries. What must wait is not tried and
not counted: hammering makes no wait longer. So that nobody can be locked out by strangers for good, a browser in which
the person signed in before carries a signed cookie and has a count of its own, which strangers can't use up.
"""

from __future__ import annotations

import ipaddress
import math
import secrets
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.db.models import ExpressionWrapper, F, fields
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts.models import GuessCount, Staff
from core import alarms, crypto
from core.errors import Refusal
from core.models import Alarm
from core.options import option
from core.requests import client_address

FIRST_WAIT = 30
FORGOTTEN = timedelta(hours=24)  # a count that rested this long begins anew
COOKIE_AGE = 180 * 24 * 3600
COOKIE_PEOPLE = 8  # who share a desk
SALT = "accounts.known_browser"


class Try(NamedTuple):
    """One try that was written down: what it counts against, and each count's limit."""

    limits: dict[str, float]
    about: Staff | None


def password_try(request: HttpRequest, username: str) -> Try:
    """Write down that somebody tries a password. Raises Refusal (429) while tries must wait, the same for a name that
    exists and one that doesn't."""
    name = username.casefold()
    if browser := _known_browser(request, name):
        limits = {f"browser:{browser}": option("guesses_per_account")}
    else:
        limits = {
            f"account:{_digest(name)}": option("guesses_per_account"),
            f"address:{_digest(_network(request))}": option("guesses_per_address"),
        }
    _write_down(limits)
    return Try(limits, Staff.objects.filter(username=username).first())


def code_try(request: HttpRequest, staff: Staff) -> Try:
    """Write down that somebody tries a code of a second factor. Raises Refusal (429) while tries must wait."""
    browser = _known_browser(request, staff.username.casefold())
    limits = {f"code:{browser or _digest(str(staff.pk))}": option("guesses_of_codes")}
    _write_down(limits)
    return Try(limits, staff)


def was_right(tried: Try) -> None:
    """The try was no guess: its counts end, but for that of the address, where others may be guessing."""
    with transaction.atomic():
        mine = [key for key in tried.limits if not key.startswith("address:")]
        GuessCount.objects.filter(key__in=mine).delete()
        for key in tried.limits.keys() - set(mine):
            row = GuessCount.objects.select_for_update().filter(key=key).first()
            if row is not None and row.failures:
                row.failures -= 1
                row.wait_until = None if row.failures < tried.limits[key] else row.wait_until
                row.save(update_fields=["failures", "wait_until"])


def was_wrong(tried: Try) -> None:
    """The try was a guess. Rings once it made the account wait."""
    rows = GuessCount.objects.filter(key__in=list(tried.limits), wait_until__gt=Now())
    if tried.about and any(not row.key.startswith("address:") for row in rows):
        ring(tried.about)


def ring(staff: Staff) -> None:
    """Say that somebody is guessing at this account, unless that is said already and nobody has looked."""
    subject = f"staff:{staff.pk}"
    with transaction.atomic():
        # One alarm, however many guess at the same moment.
        Staff.objects.select_for_update().get(pk=staff.pk)
        if not Alarm.objects.filter(kind="guessing", subject=subject, seen_at=None).exists():
            alarms.ring(
                kind="guessing", subject=subject, by="system:sign_in", detail="the account is locked for a while"
            )


def tidy() -> int:
    """Remove counts that begin anew anyway; returns how many."""
    return GuessCount.objects.filter(last_at__lt=Now() - FORGOTTEN).delete()[0]


def remember_browser(request: HttpRequest, response: HttpResponse, staff: Staff) -> None:
    """Give the browser in which somebody just signed in the cookie by which it is known."""
    known = {name: nonce for name, nonce in _cookie(request).items() if name != _name(staff.username.casefold())}
    while len(known) >= COOKIE_PEOPLE:
        known.pop(next(iter(known)))
    known[_name(staff.username.casefold())] = secrets.token_urlsafe(12)
    response.set_cookie(
        cookie_name(),
        signing.dumps(known, salt=SALT, compress=True),
        max_age=COOKIE_AGE,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def cookie_name() -> str:
    """The cookie of known browsers, bound to the host where that is possible."""
    return "__Host-known" if settings.HTTPS else "known"


def _write_down(limits: dict[str, float]) -> None:
    keys = sorted(limits)  # one order for everybody: two tries never wait for each other in a circle
    with transaction.atomic():
        GuessCount.objects.bulk_create([GuessCount(key=key) for key in keys], ignore_conflicts=True)
        rows = list(
            GuessCount.objects.select_for_update()
            .filter(key__in=keys)
            .annotate(
                waits=ExpressionWrapper(F("wait_until") - Now(), output_field=fields.DurationField()),
                rested=ExpressionWrapper(Now() - F("last_at"), output_field=fields.DurationField()),
            )
            .order_by("key")
        )
        longest = max((row.waits.total_seconds() for row in rows if row.waits), default=0)
        if longest > 0:
            raise _must_wait(math.ceil(longest))
        for row in rows:
            _count(row, limits[row.key])


def _count(row: Any, limit: float) -> None:
    row.failures = 1 if row.rested > FORGOTTEN else row.failures + 1
    beyond = row.failures - limit
    wait = min(FIRST_WAIT * 2 ** min(beyond, 30), option("guess_wait")) if beyond >= 0 else 0
    row.last_at = Now()
    row.wait_until = Now() + timedelta(seconds=wait) if wait else None
    row.save(update_fields=["failures", "last_at", "wait_until"])


def _must_wait(seconds: int) -> Refusal:
    return Refusal(
        "too_many_tries",
        _("There were too many wrong tries. Nothing is tried until the wait is over, not even what is right."),
        status=429,
        retry_after=seconds,
    )


def _known_browser(request: HttpRequest, name: str) -> str:
    nonce = _cookie(request).get(_name(name), "")
    return _digest(f"{name}\x00{nonce}") if nonce else ""


def _cookie(request: HttpRequest) -> dict[str, str]:
    try:
        known = signing.loads(request.COOKIES.get(cookie_name(), ""), salt=SALT, max_age=COOKIE_AGE)
    except signing.BadSignature:
        return {}
    return known if isinstance(known, dict) else {}


def _name(name: str) -> str:
    return _digest(name)[:24]


def _digest(value: str) -> str:
    return crypto.digest(value, "guesses").hex()[:48]


def _network(request: HttpRequest) -> str:
    # Whoever has one IPv6 address has 2^64 of them.
    address = client_address(request)
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else address
