"""Whether a calendar's hours can be kept: a known zone, no date twice, no overlapping intervals. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.contracts.directory import CalendarDocument, Interval

_Path: TypeAlias = tuple[str | int, ...]
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_MINUTES_A_DAY = 24 * 60
_ALLOWED = "hours may touch and may not overlap"


@dataclass(frozen=True, slots=True)
class _Day:
    """The hours of a date or weekday, and where in the document they are."""

    path: _Path
    intervals: Sequence[Interval]


def mistakes(calendar: CalendarDocument) -> Iterator[tuple[_Path, str]]:
    """Yield what is wrong with a calendar by itself: the field and what would do."""
    if not _is_time_zone(calendar.time_zone):
        yield ("time_zone",), f"{calendar.time_zone!r} is no IANA time zone such as Europe/Berlin"
    week = [_Day(("week", name), getattr(calendar.week, name)) for name in _WEEKDAYS]
    for nth, day in enumerate(week):
        yield from _within(day)
        yield from _overnight(day, week[(nth + 1) % len(week)])
    yield from _in_exceptions(calendar, week)


def _in_exceptions(calendar: CalendarDocument, week: Sequence[_Day]) -> Iterator[tuple[_Path, str]]:
    found: dict[date, _Day] = {}
    for nth, exception in enumerate(calendar.exceptions):
        if exception.date in found:
            yield ("exceptions", nth, "date"), f"'{exception.date}' is in exceptions twice"
        else:
            found[exception.date] = _Day(("exceptions", nth, "intervals"), exception.intervals)
    for on, day in found.items():
        yield from _within(day)
        if on > date.min and on - _DAY not in found:
            yield from _overnight(week[(on - _DAY).weekday()], day)
        if on < date.max:
            yield from _overnight(day, found.get(on + _DAY, week[(on.weekday() + 1) % len(week)]))


def _within(day: _Day) -> Iterator[tuple[_Path, str]]:
    """Compare each interval of a day with the one that starts before it."""
    if len(day.intervals) <= 1:
        return
    (_, before), *rest = sorted(enumerate(day.intervals), key=lambda one: (one[1].from_, _end(one[1])))
    for nth, interval in rest:
        if _minutes(interval.from_) < _end(before):
            yield (*day.path, nth), f"{_shown(interval)} overlaps {_shown(before)}: {_ALLOWED}"
        before = max(before, interval, key=_end)


def _overnight(day: _Day, following: _Day) -> Iterator[tuple[_Path, str]]:
    """Compare what crosses midnight with the hours of the next day; told at the exception, if one is."""
    for nth, night in enumerate(day.intervals):
        for other, interval in enumerate(following.intervals):
            if _minutes(interval.from_) < _end(night) - _MINUTES_A_DAY:
                message = f"{_shown(night)} runs into {_shown(interval)} of the next day: {_ALLOWED}"
                is_told_there = following.path[0] == "exceptions" and day.path[0] == "week"
                yield (*following.path, other) if is_told_there else (*day.path, nth), message


def _end(interval: Interval) -> int:
    """Minutes after the midnight before the interval."""
    start, end = _minutes(interval.from_), _minutes(interval.to)
    return end if end > start else end + _MINUTES_A_DAY


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _shown(interval: Interval) -> str:
    return f"{interval.from_} to {interval.to}"


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
