"""Periods as people write them: `[from, to)`, dates are days of Asia/Shanghai (contract.md ruling 13)."""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext_lazy as _

from core.calendar import SHANGHAI
from core.errors import Refusal, field_error


def read_moment(text: str, field: str) -> datetime:
    """A `YYYY-MM-DD` (the day's first moment in Shanghai) or an RFC 3339 time. Refuses anything else, by its field."""
    try:
        if len(text) == 10 and (day := parse_date(text)):
            return start_of(day)
        moment = parse_datetime(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        detail = _("“%(text)s” is neither a date (2026-01-31) nor a time with its zone (2026-01-31T08:00:00Z).")
        raise _wrong(field, "invalid", detail % {"text": text[:40]})
    return moment


def start_of(day: date) -> datetime:
    """The first moment of a day in Shanghai."""
    return datetime.combine(day, datetime.min.time(), tzinfo=SHANGHAI)


def check_period(start: datetime, end: datetime) -> None:
    """Refuses a period that ends before it begins, or is empty."""
    if start >= end:
        raise _wrong("to", "period_order", _("The period must end after it begins; its end is not part of it."))


def rfc3339(moment: datetime | None) -> str | None:
    """The moment in UTC as RFC 3339 writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def shanghai_day(moment: datetime | None) -> str | None:
    """The day in Shanghai."""
    return moment.astimezone(SHANGHAI).date().isoformat() if moment else None


def _wrong(field: str, code: str, detail: object) -> Refusal:
    return Refusal("fields_invalid", detail, errors=[field_error(field, code, detail)])
