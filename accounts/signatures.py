"""Signed requests: a key that was stolen is worth nothing without the secret that signs (docs/api.md, "Signed requests").

    X-Signature: t=<unix time>,v1=<hex HMAC-SHA256 of "t.METHOD.path?query.sha256(body)">

The path is percent-encoded anew from its decoded form, so that client and server agree whatever was escaped on the
way; the query stands as it was sent. A signature is taken once, within WINDOW of its time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections import OrderedDict
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import counters
from core import crypto
from core.errors import Refusal
from core.requests import hold_body

HEADER = "HTTP_X_SIGNATURE"
WINDOW = 300  # seconds by which the caller's clock may differ
LARGEST = 64 * 1024 * 1024  # the largest body that any address takes
_FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})\Z")

_seen: OrderedDict[str, float] = OrderedDict()
_seen_lock = threading.Lock()
SEEN_HERE = 50_000  # signatures that this process remembers itself


class Unsigned(Refusal):
    """The key demands a signature, and there is none, or none that holds."""

    status = 401


def sign(secret: str, at: int, method: str, path: str, query: str, body: bytes) -> str:
    """The header's value for a request; `path` decoded, `query` as sent, without the question mark."""
    target = quote(path, safe="/") + (f"?{query}" if query else "")
    text = f"{at}.{method}.{target}.{hashlib.sha256(body).hexdigest()}"
    return f"t={at},v1={hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()}"


def context(key_id: Any) -> str:
    """To which row and column a sealed signing secret is bound."""
    return f"api_key:{key_id}:signing"


def opened(key_id: Any, sealed: bytes) -> str:
    """The secret with which a key's requests are signed. Raises Unreadable."""
    return crypto.unseal(sealed, context(key_id))


def check(request: HttpRequest, secret: str) -> None:
    """Refuse with 401 unless this request was signed with the secret, just now, and not used before. Reads the body
    once, up to LARGEST (413 beyond), and leaves it for the view as if nobody had."""
    given = request.META.get(HEADER, "")
    if not given:
        raise Unsigned("signature_required", _("This key signs its requests: X-Signature is missing."))
    form = _FORM.match(given)
    # Without a secret (its seal doesn't open) nothing may hold: anybody can sign with an empty one.
    if not secret or form is None or abs(time.time() - int(form[1])) > WINDOW:
        raise _wrong()
    digest = hold_body(request, LARGEST)
    target = quote(request.path, safe="/")
    if query := request.META.get("QUERY_STRING", ""):
        target += f"?{query}"
    text = f"{form[1]}.{request.method}.{target}.{digest}"
    if not hmac.compare_digest(hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest(), form[2]):
        raise _wrong()
    # Remembered only once it holds: a wrong one must neither fill the memory nor use up the right one.
    if not _first_time(form[2]):
        raise _wrong()


def _wrong() -> Unsigned:
    # One sentence for wrong, old and used before: which of them it was is of use to nobody honest who reads the docs.
    return Unsigned(
        "signature_invalid", _("The signature doesn't hold: wrong, older than five minutes, or used before.")
    )


def _first_time(signature: str) -> bool:
    now = time.monotonic()
    with _seen_lock:
        if _seen.get(signature, 0.0) > now:
            return False
        _seen[signature] = now + 2 * WINDOW
        while len(_seen) > SEEN_HERE or (_seen and next(iter(_seen.values())) <= now):
            _seen.popitem(last=False)
    try:
        # The other processes; while Valkey is away each remembers its own, so that a replay needs another process.
        return bool(counters.ask(lambda client: client.set(f"mj:sig:{signature}", 1, nx=True, ex=2 * WINDOW)))
    except counters.Away:
        return True


def forget() -> None:
    """Drop what this process remembers of signatures."""
    with _seen_lock:
        _seen.clear()
