"""Business hours against an oracle that looks at the clock on the wall minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from services.routing.decisions.calendars import is_open, next_close_at, next_open_at
from services.routing.model import Calendar, Hours

MINUTE = timedelta(minutes=1)
WALKED = timedelta(days=5)
CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Africa/Johannesburg", date(2026, 6, 1)),  # No change at all.
    ("Asia/Kathmandu", date(2026, 12, 31)),  # Nor here, at +05:45.
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # By half an hour.
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("America/St_Johns", date(2010, 3, 14)),  # At one minute past midnight: back into the day before.
    ("America/St_Johns", date(2010, 11, 7)),
    ("America/Havana", date(2026, 11, 1)),  # From 01:00 to 00:00: midnight twice.
    ("Asia/Beirut", date(2021, 10, 31)),  # From midnight to 23:00.
    ("America/Santiago", date(2026, 9, 6)),  # There is no midnight.
    ("Pacific/Apia", date(2011, 12, 30)),  # There is no such day.
]


@cache
def walk(zone: str, around: date) -> tuple[tuple[datetime, datetime], ...]:
    """Every minute of five days about a change, as an instant and as the wall clock shows it."""
    start = datetime.combine(around, time(), UTC) - timedelta(days=2)
    minutes = [start + n * MINUTE for n in range(int(WALKED / MINUTE))]
    return tuple((one, one.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for one in minutes)


def shows_open(calendar: Calendar, wall: datetime) -> bool:
    """The oracle: is the time on the wall within hours of today, or of yesterday past midnight?"""
    exceptions = dict(calendar.exceptions)
    for day in (wall.date(), wall.date() - timedelta(days=1)):
        for hours in exceptions.get(day, calendar.week[day.weekday()]):
            start = datetime.combine(day, hours.start)
            end = datetime.combine(day, hours.end)
            if end <= start:
                end += timedelta(days=1)
            if start <= wall < end:
                return True
    return False


times = st.one_of(
    st.sampled_from([time(0), time(0, 1), time(1), time(1, 30), time(2), time(2, 30), time(3), time(23, 59)]),
    st.builds(time, st.integers(0, 23), st.integers(0, 59)),
)
some_hours = st.lists(st.builds(Hours, times, times), max_size=3).map(tuple)
touching = st.tuples(times, times, times).map(lambda t: (Hours(t[0], t[1]), Hours(t[1], t[2])))
whole = times.map(lambda one: (Hours(one, one),))
days = st.one_of(some_hours, touching, whole, st.just(()))
weeks = st.one_of(st.tuples(*[days] * 7), days.map(lambda day: (day,) * 7))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Calendar, date, int]:
    """A calendar, the change about which to look, and the minute of the walk at which to begin."""
    zone, around = draw(st.sampled_from(CHANGES))
    dates = st.integers(-3, 4).map(lambda n: around + timedelta(days=n))
    exceptions = draw(st.lists(st.tuples(dates, days), max_size=5, unique_by=lambda one: one[0]))
    calendar = Calendar(zone, draw(weeks), tuple(exceptions))
    return calendar, around, draw(st.integers(0, int(WALKED / MINUTE) - 1))


def a_case(zone: str, around: date, start: str, end: str, begin: int = 0) -> tuple[Calendar, date, int]:
    hours = Hours(time.fromisoformat(start), time.fromisoformat(end))
    return Calendar(zone, ((hours,),) * 7), around, begin


@settings(max_examples=250, deadline=None)
@given(cases())
@example(a_case("Europe/Berlin", date(2026, 10, 25), "18:00", "02:30"))
@example(a_case("Europe/Berlin", date(2026, 10, 25), "02:30", "10:00", 2880 + 45))
@example(a_case("Europe/Berlin", date(2026, 10, 25), "02:30", "10:00", 2880 + 75))
@example(a_case("Europe/Berlin", date(2026, 3, 29), "02:15", "02:45", 2880))
@example(a_case("America/St_Johns", date(2010, 11, 7), "00:00", "23:30", 2880 + 140))
@example(a_case("Pacific/Apia", date(2011, 12, 30), "22:00", "02:00", 2000))
def test_the_walk_finds_the_same_openings_and_closings(case: tuple[Calendar, date, int]) -> None:
    calendar, around, begin = case
    walked = walk(calendar.time_zone, around)[begin:]
    shown = [shows_open(calendar, wall) for _, wall in walked]
    now, end = walked[0][0], walked[-1][0]
    opens, closes = next_open_at(calendar, now), next_close_at(calendar, now)

    first_open = next((one for (one, _), opened in zip(walked, shown, strict=True) if opened), None)
    assert opens == first_open or (first_open is None and (opens is None or opens > end))
    if shown[0]:
        first_closed = next((one for (one, _), opened in zip(walked, shown, strict=True) if not opened), None)
        assert closes == first_closed or (first_closed is None and (closes is None or closes > end))
    else:
        assert closes is None
    for (one, _), opened in list(zip(walked, shown, strict=True))[::17]:
        assert is_open(calendar, one) is opened


@settings(max_examples=40, deadline=None)
@given(cases(), st.integers(20, 60))
def test_far_changes_are_found_and_nothing_changes_before(
    case: tuple[Calendar, date, int], away: int
) -> None:
    """An exception weeks later, after ordinary ones that are passed by; the walk is by quarters of hours."""
    calendar, around, begin = case
    assume(calendar.time_zone != "America/St_Johns")  # Its clocks change at one minute past the hour.
    hours = (Hours(time(9), time(17, 15)),)
    far = (*calendar.exceptions, (around + timedelta(days=away), hours))
    rounded = tuple(tuple(quarter(one) for one in day) for day in calendar.week)
    calendar = Calendar(
        calendar.time_zone, rounded, tuple((day, tuple(quarter(one) for one in of)) for day, of in far)
    )
    zone = ZoneInfo(calendar.time_zone)
    start = walk(calendar.time_zone, around)[begin - begin % 15][0]
    quarters = [start + n * 15 * MINUTE for n in range(96 * 70)]
    shown = [shows_open(calendar, one.astimezone(zone).replace(tzinfo=None)) for one in quarters]

    change = next((one for one, opened in zip(quarters, shown, strict=True) if opened is not shown[0]), None)
    expected = next_close_at(calendar, start) if shown[0] else next_open_at(calendar, start)
    assert expected == change or (change is None and (expected is None or expected > quarters[-1]))


def quarter(hours: Hours) -> Hours:
    return Hours(*(one.replace(minute=one.minute // 15 * 15) for one in (hours.start, hours.end)))
