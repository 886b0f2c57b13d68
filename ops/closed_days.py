"""Holidays as exceptions of a calendar: of a country, or all-day events of an iCalendar file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

_LARGEST = 1_000_000
_EARLIEST_YEAR = 1900
_MOST_RECURRING = 500
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_DAY = timedelta(days=1)


class BadHolidays(Exception):  # noqa: N818 - it is the wish or the file that is bad
    """The holidays cannot be told; the message says why and what would do."""


@dataclass(slots=True)
class Found:
    """The closed dates of a year with their names, and what was passed by, in words."""

    dates: dict[date, str] = field(default_factory=dict)
    passed_by: list[str] = field(default_factory=list)

    def add(self, day: date, name: str) -> None:
        """Add a date; one with two names keeps both."""
        names = self.dates.get(day, "")
        if name not in names.split("; "):
            self.dates[day] = f"{names}; {name}" if names else name


def of_country(country: str, subdivision: str | None, year: int) -> Found:
    """Return a country's public holidays. Raises BadHolidays for a place or year that nobody knows."""
    import holidays  # noqa: PLC0415 - other commands need not wait for it

    countries = holidays.list_supported_countries(include_aliases=False)
    if country not in countries:
        raise BadHolidays(f"--country: must be an ISO code such as DE, not {country!r}; {_list(countries)}")
    parts = countries[country]
    if subdivision is not None and subdivision not in parts:
        raise BadHolidays(f"--subdivision: {country} has no {subdivision!r}; {_list(parts)}")
    # The plain lists, not what a country adds for banks or schools; days in lieu are among them.
    days = holidays.country_holidays(country, subdiv=subdivision, years=year)
    if not days:
        raise BadHolidays(f"--year: no holidays of {country} are known for {year}")
    found = Found()
    for day, name in sorted(days.items()):
        found.add(day, name)
    return found


def of_file(content: bytes, year: int) -> Found:
    """Return the all-day events of a year. Raises BadHolidays for a file that cannot be read as iCalendar."""
    from icalendar import Calendar  # noqa: PLC0415 - as above

    if len(content) > _LARGEST:
        raise BadHolidays(f"has {len(content)} bytes, and may have at most {_LARGEST}")
    try:
        calendars = Calendar.from_ical(content.decode("utf-8-sig"), multiple=True)
        events = [event for one in calendars for event in one.walk("VEVENT")]
    except (ValueError, IndexError, KeyError, RecursionError) as error:
        raise BadHolidays(f"is no iCalendar file: {error}") from None
    if not events:
        raise BadHolidays("has no events")
    return _Reading(year, _moved(events)).read(events)


def _moved(events: list[Any]) -> set[tuple[str, date]]:
    """Return the occurrences of a series that have an event of their own, by the series and their date."""
    return {
        (str(event.get("UID", "")), event["RECURRENCE-ID"].dt)
        for event in events
        if isinstance(getattr(event.get("RECURRENCE-ID"), "dt", None), date)
    }


@dataclass(slots=True)
class _Reading:
    """One pass over a file's events."""

    year: int
    moved: set[tuple[str, date]]
    found: Found = field(default_factory=Found)
    recurring: int = 0

    def read(self, events: list[Any]) -> Found:
        for event in events:
            try:
                self._event(event)
            except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
                self.found.passed_by.append(f"{_name(event)}: cannot be read: {error}")
        return self.found

    def _event(self, event: Any) -> None:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            return
        start = event["DTSTART"].dt
        if isinstance(start, datetime) or not isinstance(start, date):
            self.found.passed_by.append(f"{_name(event)}: is not all-day ({start})")
            return
        length = _length(event, start)
        for first in self._starts(event, start, length):
            for day in _within(self.year, first, length):
                self.found.add(day, _name(event))

    def _starts(self, event: Any, start: date, length: timedelta) -> Iterator[date]:
        if "RECURRENCE-ID" in event:
            yield start
            return
        uid = str(event.get("UID", ""))
        gone = _dates(event, "EXDATE")
        for first in {start, *self._recurrences(event, start, length), *_dates(event, "RDATE")}:
            if first not in gone and (uid, first) not in self.moved:
                yield first

    def _recurrences(self, event: Any, start: date, length: timedelta) -> list[date]:
        rules = event.get("RRULE", [])
        expanded: list[date] = []
        for rule in rules if isinstance(rules, list) else [rules]:
            self.recurring += 1
            frequency = str(rule["FREQ"][0]).upper()
            if frequency not in _FREQUENCIES:
                raise ValueError(f"an all-day event recurs {', '.join(_FREQUENCIES)}, not {frequency}")
            if start.year < _EARLIEST_YEAR or self.recurring > _MOST_RECURRING:
                raise ValueError(f"recurs since before {_EARLIEST_YEAR}, or is beyond {_MOST_RECURRING} such")
            expanded += _expanded(rule, start, date(self.year, 1, 1) - length, date(self.year, 12, 31))
        return expanded


def _expanded(rule: Any, start: date, first: date, last: date) -> list[date]:
    from dateutil.rrule import rrulestr  # noqa: PLC0415 - as above

    # Days have no zone, so neither has an end of the series that is written as a moment.
    text = rule.to_ical().decode()
    until = rule.get("UNTIL")
    if until:
        ends = until[0].date() if isinstance(until[0], datetime) else until[0]
        text = ";".join(part for part in text.split(";") if not part.upper().startswith("UNTIL="))
        last = min(last, ends)
    days = rrulestr(text, dtstart=datetime.combine(start, time()))
    return [
        one.date()
        for one in days.between(datetime.combine(first, time()), datetime.combine(last, time()), inc=True)
    ]


def _length(event: Any, start: date) -> timedelta:
    """Return how many days an event has; its end is the day after the last."""
    if "DTEND" in event:
        end: date = event["DTEND"].dt
        if isinstance(end, datetime):
            raise ValueError("begins on a day and ends at a moment")
        return max(_DAY, end - start)
    duration: timedelta = getattr(event.get("DURATION"), "dt", _DAY)
    return max(_DAY, timedelta(days=duration.days))


def _dates(event: Any, name: str) -> set[date]:
    lists = event.get(name, [])
    return {
        one.dt
        for each in (lists if isinstance(lists, list) else [lists])
        for one in each.dts
        if isinstance(one.dt, date) and not isinstance(one.dt, datetime)
    }


def _within(year: int, first: date, length: timedelta) -> Iterator[date]:
    day, end = max(first, date(year, 1, 1)), min(first + length, date(year, 12, 31) + _DAY)
    while day < end:
        yield day
        day += _DAY


def _name(event: Any) -> str:
    return " ".join(str(event.get("SUMMARY", "without a name")).split())


def _list(names: Mapping[str, Any] | list[str]) -> str:
    return f"there is {', '.join(names) or 'none'}"
