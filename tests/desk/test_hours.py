"""A calendar whose hours overlap is refused, with the interval that is at fault."""

import pytest

from services.desk.decisions.hours import mistakes
from tests.desk.builders import a_calendar

ALLOWED = "hours may touch and may not overlap"


def hours(*intervals: str) -> list[dict[str, str]]:
    return [dict(zip(("from", "to"), one.split("-"), strict=True)) for one in intervals]


def special(date: str, *intervals: str) -> dict[str, object]:
    return {"date": date, "intervals": hours(*intervals)}


@pytest.mark.parametrize(
    ("week", "exceptions"),
    [
        pytest.param({"mon": hours("09:00-12:00", "12:00-17:00")}, [], id="touching intervals"),
        pytest.param({"mon": hours("13:00-17:00", "09:00-12:00")}, [], id="not in their order"),
        pytest.param({"mon": hours("22:00-02:00"), "tue": hours("02:00-04:00")}, [], id="touching at night"),
        pytest.param({"sun": hours("00:00-00:00"), "mon": hours("00:00-00:00")}, [], id="whole days"),
        pytest.param(
            {"mon": hours("22:00-02:00"), "tue": []},
            [],
            id="a night before a closed day",
        ),
        pytest.param(
            {"mon": hours("00:00-00:00")},
            [special("2027-01-04", "09:00-12:00"), special("2027-01-05", "09:00-12:00")],
            id="special hours in a row",
        ),
        pytest.param(
            {}, [special("0001-01-01", "09:00-09:00"), special("9999-12-31", "09:00-09:00")], id="ends"
        ),
    ],
)
def test_hours_that_do_not_overlap_are_fine(week: dict[str, object], exceptions: list[object]) -> None:
    assert list(mistakes(a_calendar(week=week, exceptions=exceptions))) == []


@pytest.mark.parametrize(
    ("week", "exceptions", "path", "message"),
    [
        pytest.param(
            {"mon": hours("09:00-13:00", "12:00-17:00")},
            [],
            ("week", "mon", 1),
            "12:00 to 17:00 overlaps 09:00 to 13:00",
            id="two of a day",
        ),
        pytest.param(
            {"mon": hours("09:00-12:00", "09:00-12:00")},
            [],
            ("week", "mon", 1),
            "09:00 to 12:00 overlaps 09:00 to 12:00",
            id="the same twice",
        ),
        pytest.param(
            {"mon": hours("22:00-03:00"), "tue": hours("02:00-04:00")},
            [],
            ("week", "mon", 0),
            "22:00 to 03:00 runs into 02:00 to 04:00 of the next day",
            id="a night into the next day",
        ),
        pytest.param(
            {"sun": hours("22:00-03:00"), "mon": hours("00:00-00:00")},
            [],
            ("week", "sun", 0),
            "22:00 to 03:00 runs into 00:00 to 00:00 of the next day",
            id="Sunday's night into Monday",
        ),
        pytest.param(
            {"sun": hours("22:00-03:00")},
            [special("2027-01-04", "02:00-10:00")],
            ("exceptions", 0, "intervals", 0),
            "22:00 to 03:00 runs into 02:00 to 10:00 of the next day",
            id="an ordinary night into special hours",
        ),
        pytest.param(
            {"tue": hours("08:00-10:00")},
            [special("2027-01-04", "20:00-09:00")],
            ("exceptions", 0, "intervals", 0),
            "20:00 to 09:00 runs into 08:00 to 10:00 of the next day",
            id="a special night into ordinary hours",
        ),
        pytest.param(
            {},
            [special("2027-01-05", "08:00-10:00"), special("2027-01-04", "20:00-09:00")],
            ("exceptions", 1, "intervals", 0),
            "20:00 to 09:00 runs into 08:00 to 10:00 of the next day",
            id="one special night into another day's hours",
        ),
        pytest.param(
            {},
            [special("2027-01-05", "08:00-10:00", "09:00-12:00")],
            ("exceptions", 0, "intervals", 1),
            "09:00 to 12:00 overlaps 08:00 to 10:00",
            id="two of a special day",
        ),
    ],
)
def test_overlapping_hours_are_refused_where_they_are(
    week: dict[str, object], exceptions: list[object], path: tuple[str | int, ...], message: str
) -> None:
    assert list(mistakes(a_calendar(week=week, exceptions=exceptions))) == [(path, f"{message}: {ALLOWED}")]


def test_a_long_interval_is_compared_with_all_that_begin_within_it() -> None:
    week = {"mon": hours("09:00-17:00", "10:00-11:00", "16:00-18:00")}
    assert [path for path, _ in mistakes(a_calendar(week=week))] == [("week", "mon", 1), ("week", "mon", 2)]
