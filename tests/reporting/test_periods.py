"""Periods as people write them (contract.md ruling 13)."""

from datetime import UTC, datetime

import pytest

from core.errors import Refusal
from reporting.periods import check_period, read_moment, rfc3339, shanghai_day


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", datetime(2026, 2, 28, 16, tzinfo=UTC)),
        ("2026-03-01T00:00:00Z", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T08:30:00+08:00", datetime(2026, 3, 1, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_date_is_a_day_of_shanghai_and_a_time_names_its_zone(text, expected):
    assert read_moment(text, "from") == expected


@pytest.mark.parametrize(
    "text", ["", "2026-02-30", "2026-03-01T00:00:00", "yesterday", "2026-3-1", "20260301", "9" * 99]
)
def test_anything_else_is_refused_by_its_field(text):
    with pytest.raises(Refusal) as refused:
        read_moment(text, "to")
    assert refused.value.errors[0]["field"] == "to"


def test_a_period_without_length_is_refused():
    day = read_moment("2026-03-01", "from")
    with pytest.raises(Refusal):
        check_period(day, day)


def test_a_moment_is_written_in_utc_and_its_day_in_shanghai():
    late = datetime(2026, 2, 28, 23, 59, 59, 5, tzinfo=UTC)
    assert (rfc3339(late), shanghai_day(late)) == ("2026-02-28T23:59:59.000005Z", "2026-03-01")
