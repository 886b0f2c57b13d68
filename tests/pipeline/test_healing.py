"""Which faults heal, which want a smaller batch, and what a log line may not say."""

import pytest
from sqlalchemy.exc import DBAPIError

from shared.platform.faults import Retryable, is_race, is_timeout, is_transient
from shared.platform.log import mask, masked


class DriverError(Exception):
    """What the database's driver raises."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def a_refusal(sqlstate: str) -> DBAPIError:
    return DBAPIError("select 1", {}, DriverError(sqlstate))


@pytest.mark.parametrize(
    ("error", "heals"),
    [
        (a_refusal("40P01"), True),
        (a_refusal("57P01"), True),
        (a_refusal("57014"), True),
        (a_refusal("23505"), False),
        (a_refusal("42P01"), False),
        (a_refusal("22P02"), False),
        (Retryable("soon"), True),
        (ConnectionRefusedError(), True),
        (OSError("multiple addresses refused"), True),
        (IsADirectoryError("/usr/share/zoneinfo/Europe"), False),
        (FileNotFoundError(), False),
        (KeyError("zone"), False),
        (TimeoutError(), True),
    ],
)
def test_what_may_heal_by_itself(error: Exception, heals: bool) -> None:
    assert is_transient(error) is heals


@pytest.mark.parametrize(
    ("sqlstate", "expected"), [("57014", True), ("55P03", True), ("25P04", True), ("40P01", False)]
)
def test_what_took_too_long_may_succeed_by_halves(sqlstate: str, expected: bool) -> None:
    assert is_timeout(a_refusal(sqlstate)) is expected


def test_a_unique_index_tells_a_race() -> None:
    assert is_race(a_refusal("23505"))
    assert not is_race(a_refusal("40P01"))


@pytest.mark.parametrize(
    "line",
    [
        "to +27821234567 now",
        "Key (pair_key)=(acme:whatsapp:+27110000000:+27821234567)",
        "call 0821234567",
        "27821234567",
    ],
)
def test_no_log_line_holds_a_number_to_call(line: str) -> None:
    assert "1234567" not in masked(line)


@pytest.mark.parametrize("line", ["offset 1234", "6f0a4c0e-3c52-5b0e-9c39-612345678901", "in 2026-11-22"])
def test_what_is_no_number_stays_readable(line: str) -> None:
    assert masked(line) == line


def test_a_masked_number_can_be_recognised_and_not_called() -> None:
    assert mask("+27821234567") == "+27…67"
