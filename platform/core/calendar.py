"""Working days in Asia/Shanghai, by an editable table of holidays and make-up working days (law.md doubt 13)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from core.models import CalendarDay

SHANGHAI = ZoneInfo("Asia/Shanghai")


def is_working_day(day: date) -> bool:
    """A weekday, unless the table says otherwise."""
    exception = CalendarDay.objects.filter(date=day).values_list("working", flat=True).first()
    return day.weekday() < 5 if exception is None else exception


def add_working_days(start: datetime, days: int) -> datetime:
    """The end (24:00 in Shanghai) of the `days`-th working day after the day of `start`."""
    day = start.astimezone(SHANGHAI).date()
    # All that lie ahead: the table is small, and a window would let a long closure end the count inside it.
    exceptions = dict(CalendarDay.objects.filter(date__gt=day).values_list("date", "working"))
    left = days
    while left > 0:
        day += timedelta(days=1)
        if exceptions.get(day, day.weekday() < 5):
            left -= 1
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), tzinfo=SHANGHAI)


def day_range(first: date, last: date) -> tuple[datetime, datetime]:
    """`[from, to)` of whole Shanghai days, from the first through the day before `last`."""
    start = datetime.combine(first, datetime.min.time(), tzinfo=SHANGHAI)
    return start, datetime.combine(last, datetime.min.time(), tzinfo=SHANGHAI)


def seed_holidays() -> int:
    """Fill the table from the published holidays that the library knows; what people edited stays. Returns how many
    days were added."""
    import chinese_calendar

    days = [
        CalendarDay(date=day, working=False, note=str(name))
        for day, name in chinese_calendar.constants.holidays.items()
    ] + [
        CalendarDay(date=day, working=True, note=str(name)) for day, name in chinese_calendar.constants.workdays.items()
    ]
    before = CalendarDay.objects.count()
    CalendarDay.objects.bulk_create([d for d in days if d.date.year >= 2025], ignore_conflicts=True)
    return CalendarDay.objects.count() - before
