"""The ten invariants of the desk (docs/rules.md, 10) as one program over a history."""

from collections.abc import Callable

from ops.checker.history import History
from ops.checker.invariants.assignments import assignments
from ops.checker.invariants.capacity import capacity
from ops.checker.invariants.contact_window import contact_window
from ops.checker.invariants.delivery_status import delivery_status
from ops.checker.invariants.effects import effects
from ops.checker.invariants.inbound_once import inbound_once
from ops.checker.invariants.nobody_stuck import nobody_stuck
from ops.checker.invariants.one_open import one_open
from ops.checker.invariants.records import records
from ops.checker.invariants.sends import sends
from ops.checker.story import Story
from ops.checker.verdict import Verdict

__all__ = ["INVARIANTS", "History", "Story", "Verdict", "check"]

INVARIANTS: tuple[Callable[[Story], Verdict], ...] = (
    inbound_once,
    assignments,
    capacity,
    one_open,
    contact_window,
    sends,
    delivery_status,
    effects,
    nobody_stuck,
    records,
)


def check(history: History) -> list[Verdict]:
    """Judge a history by every invariant, in their order."""
    story = Story(history)
    return [judge(story) for judge in INVARIANTS]
