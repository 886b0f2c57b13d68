from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.routing.decisions.calendars import is_open, next_close_at, next_open_at
from services.routing.model import Calendar, Hours
from tests.routing.builders import a_calendar

MONDAY = date(2026, 11, 16)


def at(clock: str, day: date = MONDAY, zone: str = "UTC") -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("08:59", False), ("09:00", True), ("16:59", True), ("17:00", False), ("23:00", False)],
)
def test_an_interval_holds_its_start_and_not_its_end(clock: str, expected: bool) -> None:
    assert is_open(a_calendar("09:00", "17:00"), at(clock)) is expected


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("21:59", False), ("22:00", True), ("23:59", True), ("01:59", True), ("02:00", False)],
)
def test_an_interval_may_cross_midnight(clock: str, expected: bool) -> None:
    assert is_open(a_calendar("22:00", "02:00"), at(clock)) is expected


def test_an_exception_beats_the_week_and_an_empty_one_is_closed() -> None:
    calendar = a_calendar(exceptions=((MONDAY, ()),))
    assert not is_open(calendar, at("12:00"))
    assert next_open_at(calendar, at("12:00")) == at("09:00", MONDAY + timedelta(days=1))


def test_an_empty_week_never_opens_and_a_whole_one_never_closes() -> None:
    never = Calendar("UTC", ((),) * 7)
    always = a_calendar("00:00", "00:00")
    assert next_open_at(never, at("12:00")) is None
    assert is_open(always, at("00:00"))
    assert next_close_at(always, at("12:00")) is None


def test_touching_intervals_close_once() -> None:
    day = (Hours(time(9), time(12)), Hours(time(12), time(17)))
    assert next_close_at(Calendar("UTC", (day,) * 7), at("10:00")) == at("17:00")


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", date(2026, 3, 29)),
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/New_York", date(2026, 3, 8)),
    ],
)
def test_hours_follow_the_wall_clock_over_both_dst_changes(zone: str, day: date) -> None:
    calendar = a_calendar("09:00", "17:00", zone)
    assert next_open_at(calendar, at("00:30", day, zone)) == at("09:00", day, zone)
    assert next_close_at(calendar, at("09:00", day, zone)) == at("17:00", day, zone)


def test_an_opening_that_dst_skips_happens_when_the_clock_jumps() -> None:
    calendar = a_calendar("02:30", "12:00", "Europe/Berlin")
    jump = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert next_open_at(calendar, jump - timedelta(minutes=10)) == jump
    assert not is_open(calendar, jump - timedelta(seconds=1))


def test_hours_that_end_within_a_repeated_hour_hold_both_times() -> None:
    calendar = a_calendar("18:00", "02:30", "Europe/Berlin")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    set_back = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    assert next_close_at(calendar, first - timedelta(hours=1)) == first
    assert next_open_at(calendar, first) == set_back
    assert next_close_at(calendar, set_back) == set_back + timedelta(minutes=30)


def test_a_day_from_a_time_to_the_same_time_is_24_hours() -> None:
    monday_only = Calendar("UTC", ((Hours(time(9), time(9)),), *((),) * 6))
    assert next_close_at(monday_only, at("09:00")) == at("09:00", MONDAY + timedelta(days=1))


@pytest.mark.parametrize(
    ("exceptions", "clock", "expected"),
    [
        pytest.param(((MONDAY, ()),), "01:00", True, id="the night before a holiday ends on the holiday"),
        pytest.param(((MONDAY, ()),), "23:00", False, id="a holiday's own night does not begin"),
        pytest.param(
            ((MONDAY - timedelta(days=1), ()),), "01:00", False, id="no night comes out of a holiday"
        ),
        pytest.param(
            ((MONDAY - timedelta(days=1), (Hours(time(22), time(4)),)),), "03:00", True, id="a longer night"
        ),
    ],
)
def test_an_exception_speaks_for_what_begins_on_its_date(
    exceptions: tuple[tuple[date, tuple[Hours, ...]], ...], clock: str, expected: bool
) -> None:
    assert is_open(a_calendar("22:00", "02:00", exceptions=exceptions), at(clock)) is expected


def test_one_day_a_week_opens_a_week_later() -> None:
    monday_only = Calendar("UTC", ((Hours(time(9), time(17)),), *((),) * 6))
    assert next_open_at(monday_only, at("17:00")) == at("09:00", MONDAY + timedelta(days=7))
    holiday = replace(monday_only, exceptions=((MONDAY + timedelta(days=7), ()),))
    assert next_open_at(holiday, at("17:00")) == at("09:00", MONDAY + timedelta(days=14))


@pytest.mark.parametrize("years", [1, 3, 70])
def test_a_far_exception_is_found_however_far(years: int) -> None:
    far = MONDAY.replace(year=MONDAY.year + years)
    opens_once = Calendar("UTC", ((),) * 7, ((far, (Hours(time(9), time(10)),)),))
    closes_once = a_calendar("00:00", "00:00", exceptions=((far, ()),))
    assert next_open_at(opens_once, at("12:00")) == at("09:00", far)
    assert next_close_at(closes_once, at("12:00")) == at("00:00", far)


def test_holidays_next_to_each_other_are_passed_over() -> None:
    holidays = tuple((MONDAY + timedelta(days=n), ()) for n in range(10))
    assert next_open_at(a_calendar(exceptions=holidays), at("12:00")) == at(
        "09:00", MONDAY + timedelta(days=10)
    )


def test_the_first_and_the_last_day_there_are_do_no_harm() -> None:
    calendar = Calendar("Pacific/Apia", ((),) * 7, tuple((day, ()) for day in (date.min, date.max)))
    assert next_open_at(calendar, at("12:00")) is None
