from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


quarter_hours = st.integers(0, 95).map(lambda n: time(n // 4, n % 4 * 15))
days = st.lists(st.builds(Hours, quarter_hours, quarter_hours), max_size=2).map(tuple)
calendars = st.builds(
    Calendar,
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.tuples(*[days] * 7),
    st.lists(st.tuples(st.dates(date(2026, 3, 25), date(2026, 4, 2)), days), max_size=2).map(tuple),
)
moments = st.integers(0, 12 * 96).map(lambda n: datetime(2026, 3, 24, tzinfo=UTC) + timedelta(minutes=15 * n))


def open_by_the_clock(calendar: Calendar, moment: datetime) -> bool:
    """The oracle: look at the wall clock, for hours that begin and end where no clock jumps."""
    local = moment.astimezone(ZoneInfo(calendar.time_zone))
    today, yesterday = local.date(), local.date() - timedelta(days=1)
    exceptions = dict(calendar.exceptions)
    now = local.time()
    for hours in exceptions.get(today, calendar.week[today.weekday()]):
        if hours.start <= now and (now < hours.end or hours.end <= hours.start):
            return True
    late = exceptions.get(yesterday, calendar.week[yesterday.weekday()])
    return any(hours.end <= hours.start and now < hours.end for hours in late)


@settings(max_examples=300, deadline=None)
@given(calendars, moments)
def test_is_open_agrees_with_the_wall_clock(calendar: Calendar, moment: datetime) -> None:
    assert is_open(calendar, moment) == open_by_the_clock(calendar, moment)


@settings(max_examples=100, deadline=None)
@given(calendars, moments)
def test_next_open_and_next_close_are_the_first_changes(calendar: Calendar, moment: datetime) -> None:
    step = timedelta(minutes=15)
    opens, closes = next_open_at(calendar, moment), next_close_at(calendar, moment)
    for n in range(96):
        later = moment + n * step
        if opens is not None and later < opens:
            assert not open_by_the_clock(calendar, later)
        if is_open(calendar, moment) and (closes is None or later < closes):
            assert open_by_the_clock(calendar, later)
    if opens is not None:
        assert is_open(calendar, opens)
    if closes is not None:
        assert not is_open(calendar, closes)
