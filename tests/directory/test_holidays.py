"""Holidays of a country and of an iCalendar file, printed as exceptions for a tenant's file."""

from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ops.closed_days import BadHolidays, of_country, of_file
from ops.directory import app
from ops.tenant_file import read_tenant_file
from shared.contracts.directory import CalendarDocument

FILE = """\
tenant: {id: acme, name: Acme, first_line_department: service}
calendars:
  - id: office
    time_zone: Europe/Berlin
    week: {}
    exceptions:
      - {date: 2027-12-25, intervals: [{from: 10:00, to: 12:00}]}
"""


def an_event(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VEVENT", *lines, "END:VEVENT"])


def a_file(*events: str) -> bytes:
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *events, "END:VCALENDAR", ""]).encode()


def days(*dates: str) -> list[date]:
    return [date.fromisoformat(one) for one in dates]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["holidays", *arguments])


def test_a_country_and_a_part_of_it_have_their_days() -> None:
    assert date(2027, 3, 8) in of_country("DE", "BE", 2027).dates
    assert date(2027, 3, 8) not in of_country("DE", "BY", 2027).dates


@pytest.mark.parametrize(
    ("country", "subdivision", "year", "message"),
    [
        ("XX", None, 2027, "--country: must be an ISO code such as DE, not 'XX'; there is "),
        ("DE", "ZZ", 2027, "--subdivision: DE has no 'ZZ'; there is BB, BE, "),
        ("DE", None, 1901, "--year: no holidays of DE are known for 1901"),
    ],
)
def test_an_unknown_country_part_or_year_is_told(
    country: str, subdivision: str | None, year: int, message: str
) -> None:
    with pytest.raises(BadHolidays) as caught:
        of_country(country, subdivision, year)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(["DTSTART;VALUE=DATE:20270501"], ["2027-05-01"], id="a day"),
        pytest.param(["DTSTART;VALUE=DATE:20260501"], [], id="a day of another year"),
        pytest.param(
            ["DTSTART;VALUE=DATE:20270501", "DTEND;VALUE=DATE:20270503"],
            ["2027-05-01", "2027-05-02"],
            id="two",
        ),
        pytest.param(
            ["DTSTART;VALUE=DATE:20270501", "DURATION:P2D"], ["2027-05-01", "2027-05-02"], id="a duration"
        ),
        pytest.param(
            ["DTSTART;VALUE=DATE:20261230", "DTEND;VALUE=DATE:20270103"],
            ["2027-01-01", "2027-01-02"],
            id="over the turn of the year",
        ),
        pytest.param(["DTSTART;VALUE=DATE:20200501", "RRULE:FREQ=YEARLY"], ["2027-05-01"], id="every year"),
        pytest.param(
            ["DTSTART;VALUE=DATE:20251231", "DTEND;VALUE=DATE:20260102", "RRULE:FREQ=YEARLY"],
            ["2027-01-01", "2027-12-31"],
            id="every turn of the year",
        ),
        pytest.param(
            ["DTSTART;VALUE=DATE:20200501", "RRULE:FREQ=YEARLY;UNTIL=20260601T000000Z"],
            [],
            id="until last year",
        ),
        pytest.param(["DTSTART;VALUE=DATE:20200501", "RRULE:FREQ=YEARLY;COUNT=7"], [], id="seven times"),
        pytest.param(
            ["DTSTART;VALUE=DATE:20201126", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH"],
            ["2027-11-25"],
            id="the fourth Thursday",
        ),
        pytest.param(
            ["DTSTART;VALUE=DATE:20200501", "RRULE:FREQ=YEARLY", "EXDATE;VALUE=DATE:20270501"],
            [],
            id="not this",
        ),
        pytest.param(
            ["DTSTART;VALUE=DATE:20200501", "RDATE;VALUE=DATE:20270502"], ["2027-05-02"], id="a date more"
        ),
        pytest.param(["DTSTART;VALUE=DATE:20270501", "STATUS:CANCELLED"], [], id="called off"),
    ],
)
def test_all_day_events_are_closed_dates(lines: list[str], expected: list[str]) -> None:
    found = of_file(a_file(an_event("UID:1", "SUMMARY:Off", *lines)), 2027)
    assert (sorted(found.dates), found.passed_by) == (days(*expected), [])


def test_an_occurrence_that_was_moved_counts_where_it_went() -> None:
    series = an_event("UID:1", "SUMMARY:Off", "DTSTART;VALUE=DATE:20200501", "RRULE:FREQ=YEARLY")
    moved = an_event(
        "UID:1", "SUMMARY:Off", "RECURRENCE-ID;VALUE=DATE:20270501", "DTSTART;VALUE=DATE:20270503"
    )
    assert sorted(of_file(a_file(series, moved), 2027).dates) == days("2027-05-03")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["DTSTART;TZID=Europe/Berlin:20270501T100000"], "Party: is not all-day (2027-05-01 10:00:00+02:00)"),
        (["DTSTART:20270501T000000Z"], "Party: is not all-day (2027-05-01 00:00:00+00:00)"),
        ([], "Party: cannot be read: "),
        (
            ["DTSTART;VALUE=DATE:20270501", "RRULE:FREQ=SECONDLY"],
            "Party: cannot be read: an all-day event recurs YEARLY, MONTHLY, WEEKLY, DAILY, not SECONDLY",
        ),
        (
            ["DTSTART;VALUE=DATE:00010101", "RRULE:FREQ=DAILY"],
            "Party: cannot be read: recurs since before 1900",
        ),
        (["DTSTART;VALUE=DATE:20270501", "DTEND:20270502T100000Z"], "Party: cannot be read: begins on a day"),
    ],
)
def test_what_is_no_closed_day_is_passed_by_aloud(lines: list[str], told: str) -> None:
    found = of_file(a_file(an_event("SUMMARY:Party", *lines)), 2027)
    assert found.dates == {}
    assert found.passed_by[0].startswith(told)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no events"),
        (a_file(), "has no events"),
        (b"date,name\n2027-05-01,Labour Day\n", "is no iCalendar file: "),
        (b"\xff\xfe\x00", "is no iCalendar file: "),
        (b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n", ""),
        (b"x" * 1_000_001, "has 1000001 bytes, and may have at most 1000000"),
    ],
    ids=["nothing", "no events", "a table", "no text", "cut off", "too large"],
)
def test_a_file_that_is_no_calendar_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(BadHolidays) as caught:
        of_file(content, 2027)
    assert str(caught.value).startswith(message)


def test_what_is_printed_goes_into_the_file_and_is_not_printed_again(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(FILE, encoding="utf-8")
    wish = ["--country", "de", "--year", "2027", "--beside", str(file), "--calendar", "office"]

    first = run(*wish)
    file.write_text(FILE + first.stdout, encoding="utf-8")
    second = run(*wish)

    calendar = read_tenant_file(file.read_text(encoding="utf-8")).documents[1]
    assert isinstance(calendar, CalendarDocument)
    dates = [exception.date for exception in calendar.exceptions]
    assert sorted(dates) == sorted(of_country("DE", None, 2027).dates)
    assert calendar.exceptions[0].intervals, "what a person wrote for a date stays"
    assert (second.exit_code, second.stdout) == (0, "")
    assert "0 dates; 9 are in the file and stay as they are" in second.stderr


def test_a_hostile_name_stays_within_its_comment(tmp_path: Path) -> None:
    file = tmp_path / "days.ics"
    file.write_bytes(
        a_file(an_event("SUMMARY:Off\\n- date: 2027-01-02\x1b[2J", "DTSTART;VALUE=DATE:20270501"))
    )
    assert run("--ics", str(file), "--year", "2027").stdout == (
        "      - date: 2027-05-01   # Off - date: 2027-01-02\\x1b[2J\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a --country, an iCalendar file by --ics, or both"),
        (["--ics", "/nowhere.ics"], "/nowhere.ics: No such file or directory"),
        (["--subdivision", "BE"], "name a --country, an iCalendar file by --ics, or both"),
        (["--country", "DE", "--calendar", "office"], "--beside and --calendar go together"),
        (
            ["--country", "DE", "--beside", "/no.yaml", "--calendar", "x"],
            "/no.yaml: No such file or directory",
        ),
    ],
)
def test_a_wish_that_cannot_be_met_is_told_in_a_sentence(arguments: list[str], message: str) -> None:
    result = run("--year", "2027", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{message}\n")
