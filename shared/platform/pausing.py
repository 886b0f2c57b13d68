"""Which partitions of this process are paused at the limit of dead letters, as the database has it."""

from collections.abc import Iterable, Mapping, Sequence

from shared.platform import metrics
from shared.platform.limit import REACHED
from shared.platform.parking import Place
from shared.platform.records import Record


class Pausing:
    """The paused partitions of one process."""

    def __init__(self) -> None:
        self._places: set[Place] = set()

    def __bool__(self) -> bool:
        return bool(self._places)

    def __contains__(self, place: Place) -> bool:
        return place in self._places

    def __str__(self) -> str:
        """Say what is paused and what to do, in one line."""
        paused = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(self._places))
        return f"{paused} paused: {REACHED}; see `chatdesk dead-letters`"

    def begin(self, places: Iterable[Place]) -> None:
        """Remember that these partitions are paused."""
        for topic, partition in places:
            self._places.add((topic, partition))
            metrics.PARTITION_PAUSED.labels(topic, str(partition)).set(1)

    def end(self, places: Iterable[Place]) -> None:
        """Forget partitions that were resumed, or that are ours no more."""
        for topic, partition in places:
            if (topic, partition) in self._places:
                self._places.remove((topic, partition))
                metrics.PARTITION_PAUSED.labels(topic, str(partition)).set(0)

    def places(self) -> frozenset[Place]:
        """Return which of ours are paused now."""
        return frozenset(self._places)

    def left(self, records: Sequence[Record], stops: Mapping[Place, int]) -> list[Record]:
        """Return the records that were handled, where reading stopped in some of their partitions."""
        return [one for one in records if one.offset < stops.get((one.topic, one.partition), one.offset + 1)]
