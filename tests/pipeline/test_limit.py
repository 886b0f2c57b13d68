"""When a partition brings too many dead letters: as a table, without a database."""

from dataclasses import dataclass, field

import pytest

from shared.platform.limit import BEHIND, MOST, MOST_IN_A_ROW, WINDOW, counts, limit_reached


@dataclass(frozen=True)
class Case:
    """Offsets of dead letters, and with which of the new ones the limit is reached."""

    new: list[int]
    reached: int | None
    earlier: list[int] = field(default_factory=list)


def every(step: int, count: int, start: int = 0) -> list[int]:
    return list(range(start, start + step * count, step))


CASES = {
    "nothing new, whatever was before": Case([], None, earlier=every(1, 50)),
    "one": Case([7], None),
    "one less than the most": Case(every(2, MOST - 1), None),
    "the most": Case(every(2, MOST), 2 * (MOST - 1)),
    "more than the most stops at the most": Case(every(2, MOST + 9), 2 * (MOST - 1)),
    "the last of the most, the others earlier": Case([100], 100, earlier=every(2, MOST - 1)),
    "the first of the window still counts": Case([WINDOW - 1], WINDOW - 1, earlier=every(2, MOST - 1)),
    "what left the window counts no more": Case([WINDOW], None, earlier=every(2, MOST - 1)),
    "the most, spread too far": Case(every(WINDOW // (MOST - 1) + 1, MOST), None),
    "one less than a row": Case(every(1, MOST_IN_A_ROW - 1), None),
    "a row": Case(every(1, MOST_IN_A_ROW, 30), 30 + MOST_IN_A_ROW - 1),
    "a row with a hole": Case([n for n in range(MOST_IN_A_ROW + 1) if n != 5], None),
    "a row that began earlier": Case([9], 9, earlier=every(1, MOST_IN_A_ROW - 1)),
    "a row that a new one completes in its middle": Case([4, 20], None, earlier=[*range(4), *range(5, 10)]),
    "what was put aside before counts once": Case(every(2, MOST - 1), None, earlier=every(2, MOST - 1)),
    "in whatever order they are told": Case(list(reversed(every(2, MOST))), 2 * (MOST - 1)),
    "later letters are no earlier ones": Case([0], None, earlier=every(2, MOST, start=10)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_limit(case: Case) -> None:
    assert limit_reached(case.earlier, case.new) == case.reached


def test_what_waits_behind_a_parked_event_does_not_count() -> None:
    assert not counts(BEHIND)
    assert all(map(counts, ("handler_failed", "version_gap", "broken_json", "unknown_tenant")))
