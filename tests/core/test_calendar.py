"""Working days in Shanghai, with holidays and make-up days (调休)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import calendar
from core.models import CalendarDay

MONDAY = date(2026, 11, 23)


@pytest.fixture
def table(db):
    """An empty table, and `table({day: working})` to fill it."""
    CalendarDay.objects.all().delete()

    def fill(days):
        CalendarDay.objects.all().delete()
        CalendarDay.objects.bulk_create([CalendarDay(date=day, working=working) for day, working in days.items()])

    return fill


def at(day, hour=12):
    return datetime(day.year, day.month, day.day, hour, tzinfo=calendar.SHANGHAI)


def last_day(end):
    """The working day at whose end a limit runs out."""
    assert end.timetz().replace(tzinfo=None).isoformat() == "00:00:00"
    return end.date() - timedelta(days=1)


@pytest.mark.parametrize(("offset", "working"), [(0, True), (4, True), (5, False), (6, False)])
def test_weekdays_are_worked_and_weekends_are_not(table, offset, working):
    assert calendar.is_working_day(MONDAY + timedelta(days=offset)) is working


def test_holidays_and_make_up_days_overrule_the_week(table):
    table({MONDAY: False, MONDAY + timedelta(days=5): True})
    assert calendar.is_working_day(MONDAY) is False
    assert calendar.is_working_day(MONDAY + timedelta(days=5)) is True


@pytest.mark.parametrize(
    ("days", "exceptions", "ends"),
    [
        (1, {}, MONDAY + timedelta(days=1)),
        (5, {}, MONDAY + timedelta(days=7)),
        (1, {MONDAY + timedelta(days=1): False}, MONDAY + timedelta(days=2)),
        (5, {MONDAY + timedelta(days=5): True}, MONDAY + timedelta(days=5)),
        (5, {MONDAY + timedelta(days=5): True, MONDAY + timedelta(days=1): False}, MONDAY + timedelta(days=7)),
        (0, {}, MONDAY),
    ],
)
def test_working_days_are_counted_from_the_day_after(table, days, exceptions, ends):
    table(exceptions)
    assert last_day(calendar.add_working_days(at(MONDAY), days)) == ends


def test_the_day_is_shanghais_and_not_greenwichs(table):
    late = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)  # Monday, 00:30 in Shanghai
    assert last_day(calendar.add_working_days(late, 1)) == MONDAY + timedelta(days=1)


def test_the_spring_festival_of_2026_as_it_was_published(table):
    calendar.seed_holidays()
    assert calendar.is_working_day(date(2026, 2, 17)) is False  # New Year's Day of the lunar calendar, a Tuesday
    assert calendar.is_working_day(date(2026, 2, 28)) is True  # a Saturday that makes up for it
    assert last_day(calendar.add_working_days(at(date(2026, 2, 13)), 1)) == date(
        2026, 2, 14
    )  # Saturday, made up before
    assert last_day(calendar.add_working_days(at(date(2026, 2, 14)), 1)) == date(2026, 2, 24)


def test_what_people_edited_stays_when_the_table_is_filled_again(table):
    table({date(2026, 2, 17): True})
    assert calendar.seed_holidays() > 30
    assert calendar.seed_holidays() == 0
    assert calendar.is_working_day(date(2026, 2, 17)) is True


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.integers(0, 30),
    start=st.integers(0, 20),
    odd=st.dictionaries(st.integers(0, 60), st.booleans(), max_size=25),
)
def test_any_limit_holds_exactly_its_working_days(table, days, start, odd):
    table({MONDAY + timedelta(days=n): working for n, working in odd.items()})
    first = MONDAY + timedelta(days=start)
    end = last_day(calendar.add_working_days(at(first), days))
    counted = [
        first + timedelta(days=n)
        for n in range(1, (end - first).days + 1)
        if calendar.is_working_day(first + timedelta(days=n))
    ]
    assert len(counted) == days
    assert end == (counted[-1] if counted else first)


def test_a_long_holiday_does_not_end_the_count_early(table):
    table({MONDAY + timedelta(days=n): False for n in range(60)})
    assert last_day(calendar.add_working_days(at(MONDAY), 1)) == MONDAY + timedelta(days=60)


def test_a_range_of_days_is_whole_days_in_shanghai():
    start, end = calendar.day_range(MONDAY, MONDAY + timedelta(days=1))
    assert start.astimezone(UTC) == datetime(2026, 11, 22, 16, tzinfo=UTC)
    assert end - start == timedelta(days=1)
