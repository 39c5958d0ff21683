"""Names under which an account would pass for somebody it is not (GEN-10): a body of the party or the state, the media,
or the platform. A person's account may not carry one; an organisation's may, and whoever verifies it is told."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from core.errors import Refusal, field_error
from governance.models import Service

log = structlog.get_logger("display_names")
SHIPPED = Path(__file__).resolve().parent / "data" / "reserved_names.txt"
LOOK_AGAIN = 30.0
_BETWEEN = re.compile(r"[\W_]+")


class Reserved(NamedTuple):
    """The words of the list and its exceptions, each as names are compared."""

    words: tuple[str, ...]
    exceptions: tuple[str, ...]


_state: tuple[float, Any, Reserved] = (0.0, None, Reserved((), ()))


def folded(name: str) -> str:
    """A name as it is compared: one width, one case, without what stands between characters (spaces, dots, marks that
    nobody sees)."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) not in ("Cf", "Mn"))
    return _BETWEEN.sub("", visible.casefold())


def reserved_word(name: str, service: Service) -> str:
    """The reserved word that a name holds, or "". The names of the service and its provider are reserved as a whole."""
    wanted = folded(name)
    for own in (service.name, service.name_en, service.provider.name, service.provider.name_en):
        if own and wanted == folded(own):
            return own
    words, exceptions = _words()
    for exception in exceptions:
        wanted = wanted.replace(exception, " ")
    return next((word for word in words if word in wanted), "")


def refuse_reserved(*, kind: str, name: str, service: Service) -> None:
    """Refuse a person's name that holds a reserved word with 422 `display_name_reserved`."""
    if kind == "person" and reserved_word(name, service):
        raise Refusal(
            "display_name_reserved",
            _("This name would pass for an authority, the media or the platform."),
            errors=[field_error("display_name", "display_name_reserved", _("Choose another name."))],
        )


def finding(user: User) -> str:
    """The reserved word in a user's name, for whoever verifies the account; "" where there is none."""
    return reserved_word(user.display_name, user.service)


def forget() -> None:
    """Drop what this process remembers of the list."""
    global _state
    _state = (0.0, None, Reserved((), ()))


def _words() -> Reserved:
    global _state
    looked, stamp, known = _state
    if looked and time.monotonic() - looked < LOOK_AGAIN:
        return known
    path = Path(settings.RESERVED_NAMES or SHIPPED)
    try:
        found = os.stat(path)
        now = (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
        if now != stamp:
            known = read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as wrong:
        # The words that were read before stay in force; without any, the shipped list does.
        log.error("reserved_names_unreadable", error=type(wrong).__name__)
        now = stamp
        known = known if known.words else read(SHIPPED.read_text(encoding="utf-8"))
    _state = (time.monotonic(), now, known)
    return known


def read(text: str) -> Reserved:
    """The words and exceptions of a list, in the form of the shipped one."""
    words: list[str] = []
    exceptions: list[str] = []
    for line in text.splitlines():
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        into = exceptions if entry.startswith("-") else words
        if word := folded(entry):
            into.append(word)
    return Reserved(tuple(words), tuple(exceptions))
