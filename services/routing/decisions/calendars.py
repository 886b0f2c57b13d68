"""Business hours (docs/rules.md, 4): open exactly while the clock on the wall shows a time within the hours.

Hours are compared on the wall clock; only the moment of a change is turned into an instant. So a time that
a DST change skips is the moment of that change, and one that it repeats counts both times.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.routing.model import Calendar, Hours

_DAY = timedelta(days=1)
_WEEK_AND_A_DAY = 8
_SET_BACK_AT_MOST = timedelta(hours=25)
"""No clock is set back by more than a day."""
_LAST_DAY = date(9999, 12, 29).toordinal()


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Say whether the calendar is open at an instant (aware). An interval holds its start, not its end."""
    return _shows_open(calendar, _wall(at, ZoneInfo(calendar.time_zone)))


def next_open_at(calendar: Calendar, at: datetime) -> datetime | None:
    """Return the next instant (UTC) at which the calendar is open: ``at`` when it is; None when never."""
    return at if is_open(calendar, at) else _next_change(calendar, at, is_open_now=False)


def next_close_at(calendar: Calendar, at: datetime) -> datetime | None:
    """Return when an open calendar closes (UTC), or None when it is closed or never closes."""
    return _next_change(calendar, at, is_open_now=True) if is_open(calendar, at) else None


def _next_change(calendar: Calendar, at: datetime, *, is_open_now: bool) -> datetime | None:
    """Go from one possible change to the next, till one is: a DST change may hide a turn or bring one."""
    zone = ZoneInfo(calendar.time_zone)
    moment = at
    while True:
        wall = _wall(moment, zone)
        turn = _closing(calendar, wall) if is_open_now else _opening(calendar, wall)
        turns_at = None if turn is None else _shown_at(turn, zone, after=moment)
        set_back = _set_back_at(zone, moment)
        if set_back is not None and (turns_at is None or set_back < turns_at):
            moment = set_back
        elif turns_at is not None:
            moment = turns_at
        else:
            return None
        if is_open(calendar, moment) != is_open_now:
            return moment


def _shows_open(calendar: Calendar, wall: datetime) -> bool:
    today, now = wall.date(), wall.time()
    for hours in _hours(calendar, today):
        if hours.start <= now and (now < hours.end or hours.end <= hours.start):
            return True
    return any(
        hours.end <= hours.start and now < hours.end for hours in _hours(calendar, today - timedelta(days=1))
    )


def _opening(calendar: Calendar, wall: datetime) -> datetime | None:
    """Return the wall time at which a closed calendar opens, were no clock ever changed."""
    for day in _days(calendar, wall.date()):
        for start, _ in _intervals(calendar, day):
            if start > wall:
                return start
    return None


def _closing(calendar: Calendar, wall: datetime) -> datetime | None:
    """Return the wall time at which an open calendar closes, were no clock ever changed."""
    reach, expected = wall, wall.date().toordinal() - 1
    for day in _days(calendar, wall.date()):
        if reach < datetime.fromordinal(expected):
            return reach
        if day > expected:
            # Weeks were passed by that are like the last one, which was open throughout; so is this day.
            reach = datetime.fromordinal(day) + _DAY
        for start, end in _intervals(calendar, day):
            if start > reach:
                return reach
            reach = max(reach, end)
        expected = day + 1
    return None


def _days(calendar: Calendar, today: date) -> Iterator[int]:
    """Yield the days to look at, as ordinals: from yesterday on all of a week, and those around exceptions.

    What a week of ordinary days does, the next one does too: it is passed by up to two days before the next
    exception. So the cost is bounded by the number of exceptions.
    """
    day = yesterday = today.toordinal() - 1
    specials = [one for known in calendar.by_date if (one := known.toordinal()) > yesterday]
    for special in (yesterday, *specials):
        # Yesterday reaches into today; the day after an exception is touched by it.
        end = min(special + _WEEK_AND_A_DAY, _LAST_DAY) + 1
        yield from range(max(day, special - 2), end)
        day = max(day, end)


def _intervals(calendar: Calendar, ordinal: int) -> list[tuple[datetime, datetime]]:
    """Return a day's intervals in wall time, by their starts."""
    day = date.fromordinal(ordinal)
    return sorted(
        (
            datetime.combine(day, hours.start),
            datetime.combine(day, hours.end) + (_DAY if hours.end <= hours.start else timedelta()),
        )
        for hours in _hours(calendar, day)
    )


def _hours(calendar: Calendar, day: date) -> tuple[Hours, ...]:
    exception = calendar.by_date.get(day)
    return calendar.week[day.weekday()] if exception is None else exception


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def _shown_at(wall: datetime, zone: ZoneInfo, *, after: datetime) -> datetime:
    """Return the first instant after another at which the clock shows this time or has jumped past it."""
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if _wall(first, zone) != wall:
        # The clock skips it. Its two readings lie on either side of the jump.
        return _jump_at(zone, wall.replace(tzinfo=zone, fold=1).astimezone(UTC), first)
    return first if first > after else wall.replace(tzinfo=zone, fold=1).astimezone(UTC)


def _set_back_at(zone: ZoneInfo, moment: datetime) -> datetime | None:
    """Return when the clock is next set back, if that is near enough to show what it showed before."""
    near = moment + _SET_BACK_AT_MOST
    return _jump_at(zone, moment, near) if _offset(near, zone) < _offset(moment, zone) else None


def _jump_at(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Find the one change of offset between two instants; they happen at whole seconds."""
    low, high = before.astimezone(UTC).replace(microsecond=0), after.astimezone(UTC)
    offset = _offset(before, zone)
    seconds, known = 0, int((high - low).total_seconds()) + 1
    while known - seconds > 1:
        middle = (seconds + known) // 2
        if _offset(low + timedelta(seconds=middle), zone) == offset:
            seconds = middle
        else:
            known = middle
    return low + timedelta(seconds=known)


def _offset(at: datetime, zone: ZoneInfo) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
