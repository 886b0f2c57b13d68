"""The fold of a batch: one floor, every input in order, then the changes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from services.routing.decisions import waiting
from services.routing.decisions.floor import Floor
from services.routing.model import Changes, Facts
from shared.platform.outcome import Due, Received

Step = Callable[[Floor, Received], None]


def fold(facts: Facts, batch: Sequence[Received], steps: Mapping[str, Step], now: datetime) -> Changes:
    """Answer every event of a batch, in order."""
    floor = Floor(facts, now)
    for received in batch:
        steps[received.event.type](floor, received)
    return floor.changes()


def fold_dues(facts: Facts, dues: Sequence[Due], now: datetime) -> Changes:
    """Carry out every due row, in order."""
    floor = Floor(facts, now)
    for row in dues:
        waiting.due(floor, row)
    return floor.changes()
