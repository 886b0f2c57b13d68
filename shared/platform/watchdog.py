"""Tells a consumer that is stuck from one that has nothing to do, or waits on purpose.

After a broker's trouble a consumer may never fetch again, or never come back from a rejoin, while its
heartbeats go on and nothing it offers in public says so (aiokafka #1154). Restarted, it reads on from the
positions; so the remedy is that the process ends.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

Place = tuple[str, int]
APART_SECONDS = 15.0
"""Looks further apart say nothing together: the broker was away meanwhile, or this process was frozen."""
FOR_ONE_PLACE = 10
"""How much more patience a single partition is due while others are read: their backlog may go first."""


@dataclass(slots=True)
class Stillness:
    """For how long looks have found the same."""

    seconds: float = 0.0
    found: Hashable = None

    def add(self, passed: float, found: Hashable) -> float:
        """Count the time since the last look, unless something else is found than then."""
        self.seconds = self.seconds + passed if found == self.found else 0.0
        self.found = found
        return self.seconds


@dataclass(slots=True)
class Watchdog:
    """Counts for how long a consumer owes progress and makes none; ``patience`` is in seconds of looking."""

    patience: float
    _looked_at: float | None = None
    _batches: Stillness = field(default_factory=Stillness)
    _rejoin: Stillness = field(default_factory=Stillness)
    _places: dict[Place, Stillness] = field(default_factory=dict)

    def excuse(self) -> None:
        """Forget what was counted: what holds us up is our own choice."""
        self._looked_at = None
        self._batches = Stillness()
        self._rejoin = Stillness()
        self._places.clear()

    def working(self, now: float) -> None:
        """Count nothing for now: a batch is running, and waits in place for whatever it needs."""
        self._passed(now)

    def unread(self, now: float, begun: int, nexts: Mapping[Place, int]) -> frozenset[Place]:
        """Return the places at which reading is stuck.

        ``nexts`` are the places whose log goes on behind what was read, with the next offset of each;
        ``begun`` counts the batches. All of them are stuck when no batch begins at all, one of them when
        it alone stays where it is for a long time.
        """
        passed = self._passed(now)
        self._rejoin = Stillness()
        self._places = {place: self._places.get(place, Stillness()) for place in nexts}
        for place, offset in nexts.items():
            self._places[place].add(passed, offset)
        if not nexts:
            self._batches = Stillness()
        elif self._batches.add(passed, begun) >= self.patience:
            return frozenset(nexts)
        return frozenset(
            place for place, still in self._places.items() if still.seconds >= FOR_ONE_PLACE * self.patience
        )

    def without_assignment(self, now: float, assignments: int) -> bool:
        """Say whether the group owes us an answer for too long; the broker answers others meanwhile."""
        passed = self._passed(now)
        self._batches = Stillness()
        self._places.clear()
        return self._rejoin.add(passed, assignments) >= self.patience

    def _passed(self, now: float) -> float:
        if self._looked_at is None or now - self._looked_at > APART_SECONDS:
            self.excuse()
            self._looked_at = now
        passed, self._looked_at = now - self._looked_at, now
        return passed
