"""Tracebacks for the log without the words of the database: its errors quote the row (`Key (name)=(…) already exists`,
`Failing row contains (…)`, security.md finding 9), and a value may hold line breaks, so that no pattern over the finished
text could be trusted."""

from __future__ import annotations

import re
import sys
import traceback
from typing import Any

_DATABASE = ("psycopg", "django.db.utils")
_QUOTED = re.compile(r"(?<=: )[\"'].*", re.S)


def processor(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    """structlog's `format_exc_info`, with the words of database errors left out."""
    given = event.pop("exc_info", None)
    if given:
        exc = given if isinstance(given, BaseException) else given[1] if isinstance(given, tuple) else sys.exc_info()[1]
        event["exception"] = text(exc) if exc is not None else "MISSING"
    return event


def text(exc: BaseException) -> str:
    """The traceback of an exception and of what caused it."""
    whole = traceback.TracebackException.from_exception(exc)
    _without_words(whole, set())
    return "".join(whole.format()).rstrip("\n")


def _without_words(part: traceback.TracebackException | None, seen: set[int]) -> None:
    if part is None or id(part) in seen:
        return
    seen.add(id(part))
    # Python 3.13 has the name and warns of the class; before it there is the class only.
    kind = getattr(part, "exc_type_str", "") or str(getattr(part.exc_type, "__module__", ""))
    if kind.startswith(_DATABASE):
        # The first line names table and constraint; what follows, and what it quotes after a colon, are values.
        part._str = _QUOTED.sub("…", str(part._str).split("\n", 1)[0])  # type: ignore[attr-defined]
    part.__notes__ = None  # type: ignore[assignment]
    for further in (part.__cause__, part.__context__, *(part.exceptions or ())):
        _without_words(further, seen)
