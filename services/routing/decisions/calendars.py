"""Business hours (docs/rules.md, 4): several intervals a day, past midnight, exceptions, DST changes."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from services.routing.model import Calendar, Hours

_LOOK_AHEAD_DAYS = 366
"""A calendar that does not open within a year never does."""


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Say whether the calendar is open at an instant (aware). An interval holds its start, not its end."""
    return any(start <= at < end for start, end in _intervals(calendar, at, days=1))


def next_open_at(calendar: Calendar, at: datetime) -> datetime | None:
    """Return the next instant (UTC) at which the calendar is open: now when it is; None when never."""
    if is_open(calendar, at):
        return at
    starts = (start for start, end in _intervals(calendar, at, days=_LOOK_AHEAD_DAYS) if start > at)
    return next(starts, None)


def next_close_at(calendar: Calendar, at: datetime) -> datetime | None:
    """Return when an open calendar closes (UTC), or None when it is closed or never closes."""
    closes: datetime | None = None
    for start, end in _intervals(calendar, at, days=_LOOK_AHEAD_DAYS):
        if end <= at:
            continue
        if start > (closes or at):
            return closes
        closes = max(end, closes or end)
    return None if closes is None or closes > at + timedelta(days=_LOOK_AHEAD_DAYS - 1) else closes


def _intervals(calendar: Calendar, at: datetime, *, days: int) -> Iterator[tuple[datetime, datetime]]:
    """Yield the open intervals, ordered by start, from the day before ``at`` on, as UTC instants."""
    zone = ZoneInfo(calendar.time_zone)
    exceptions = dict(calendar.exceptions)
    first = at.astimezone(zone).date() - timedelta(days=1)
    for offset in range(days + 2):
        day = first + timedelta(days=offset)
        hours = exceptions.get(day, calendar.week[day.weekday()])
        yield from sorted(
            interval for one in hours if (interval := _instants(one, day, zone))[0] < interval[1]
        )


def _instants(hours: Hours, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Turn wall-clock hours into instants; a time that DST skips is the moment the clock jumped past it."""
    last = day + timedelta(days=1) if hours.end <= hours.start else day
    start = datetime.combine(day, hours.start, zone)
    end = datetime.combine(last, hours.end, zone)
    return (_instant(start, zone), _instant(end, zone))


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    instant = wall.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    # The wall time does not exist. Its two readings lie on either side of the jump, an equal distance
    # from their wall times; the jump itself is where the later offset begins to hold.
    return _jump(wall, zone)


def _jump(wall: datetime, zone: ZoneInfo) -> datetime:
    low = wall.replace(fold=1).astimezone(UTC) - timedelta(hours=3)
    high = wall.replace(fold=0).astimezone(UTC) + timedelta(hours=3)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == before else (low, middle)
    return high.replace(microsecond=0)
