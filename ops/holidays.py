"""`chatdesk directory holidays`: holidays as exceptions for a tenant's file."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from ops.closed_days import BadHolidays, Found, of_country, of_file
from ops.printable import printable
from ops.tenant_file import BadFile, read_tenant_file
from shared.contracts.directory import CalendarDocument


def holidays(
    *,
    year: Annotated[int, typer.Option(min=1900, max=9998, help="The year whose holidays are wanted.")],
    country: Annotated[str | None, typer.Option(help="A country's ISO code, such as DE.")] = None,
    subdivision: Annotated[str | None, typer.Option(help="A part of the country, such as BE.")] = None,
    ics: Annotated[Path | None, typer.Option(help="An iCalendar file with all-day events.")] = None,
    beside: Annotated[Path | None, typer.Option(help="A tenant's file: leave out its dates.")] = None,
    calendar: Annotated[str | None, typer.Option(help="The calendar in that file.")] = None,
) -> None:
    """Print holidays as closed dates, to be put under a calendar's `exceptions`. Nothing is written."""
    try:
        found = _found(country, subdivision, ics, year)
        kept = _kept(beside, calendar)
    except BadHolidays as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for one in found.passed_by:
        typer.echo(f"passed by: {printable(one)}", err=True)
    for day, name in sorted(found.dates.items()):
        if day not in kept:
            typer.echo(f"      - date: {day}   # {printable(name)}")
    there = len(found.dates.keys() & kept)
    typer.echo(f"{len(found.dates) - there} dates; {there} are in the file and stay as they are", err=True)


def _found(country: str | None, subdivision: str | None, ics: Path | None, year: int) -> Found:
    if country is None and ics is None:
        raise BadHolidays("name a --country, an iCalendar file by --ics, or both")
    if subdivision is not None and country is None:
        raise BadHolidays("--subdivision: needs a --country")
    found = Found() if country is None else of_country(country.upper(), subdivision, year)
    if ics is not None:
        try:
            events = of_file(ics.read_bytes(), year)
        except OSError as error:
            raise BadHolidays(f"{ics}: {error.strerror}") from None
        except BadHolidays as error:
            raise BadHolidays(f"{ics}: {error}") from None
        for day, name in events.dates.items():
            found.add(day, name)
        found.passed_by += events.passed_by
    return found


def _kept(file: Path | None, calendar: str | None) -> set[date]:
    """Return the dates for which somebody wrote hours already."""
    if file is None and calendar is None:
        return set()
    if file is None or calendar is None:
        raise BadHolidays("--beside and --calendar go together")
    try:
        documents = read_tenant_file(file.read_text(encoding="utf-8")).documents
    except OSError as error:
        raise BadHolidays(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadHolidays(f"{file}: is not text in UTF-8") from None
    except BadFile as error:
        raise BadHolidays("\n".join(f"{file}:{one.line}: {one}" for one in error.mistakes)) from None
    calendars = {one.id: one for one in documents if isinstance(one, CalendarDocument)}
    if calendar not in calendars:
        there = ", ".join(calendars) or "none"
        raise BadHolidays(f"--calendar: there is no {calendar!r} in {file}; there is {there}")
    return {exception.date for exception in calendars[calendar].exceptions}
