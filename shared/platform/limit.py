"""How many dead letters a partition may bring before it is paused (docs/pipeline.md, 4). Pure."""

from collections.abc import Collection, Iterable

MOST = 20
WINDOW = 1_000
"""Offsets back from a dead letter, itself included, in which others count beside it."""
MOST_IN_A_ROW = 10
REACHED = f"{MOST} dead letters within {WINDOW} records, or {MOST_IN_A_ROW} in a row"
BEHIND = "behind_parked"
"""The reason of an event that waits behind a parked one: it is no fault of its own, and does not count."""


def counts(reason: str) -> bool:
    """Say whether a dead letter of this reason counts towards the limit."""
    return reason != BEHIND


def limit_reached(earlier: Collection[int], new: Iterable[int]) -> int | None:
    """Return the offset of the first new dead letter with which its partition reaches the limit, if any.

    Both are offsets of dead letters that count; one that is in both was put aside before and counts once.
    In a row means at consecutive offsets: across gaps (of transactions, say) only the window counts.
    """
    seen = set(earlier)
    for offset in sorted(set(new) - seen):
        seen.add(offset)
        recent = sum(1 for one in seen if offset - WINDOW < one <= offset)
        in_a_row = all(offset - n in seen for n in range(MOST_IN_A_ROW))
        if recent >= MOST or in_a_row:
            return offset
    return None
