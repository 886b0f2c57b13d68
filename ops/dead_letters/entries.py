"""What services have put aside, as an operator sees it, and which of it he means."""

from dataclasses import dataclass
from datetime import datetime

from ops.refusal import Refusal
from shared.platform.asides import Waiting, in_order


@dataclass(frozen=True, slots=True)
class Entry:
    """One record that a service has put aside."""

    service: str
    id: int
    tenant_id: str
    key: str
    blocks_key: bool
    topic: str
    partition: int
    offset: int
    subject: str | None
    version: int | None
    reason: str
    detail: str
    attempts: int
    parked_at: datetime
    asked: str | None
    asked_by: str | None
    asked_why: str | None
    dropped_at: datetime | None

    @property
    def name(self) -> str:
        """How commands name it: service and number."""
        return f"{self.service}/{self.id}"

    @property
    def place(self) -> str:
        """Where the record is in Kafka."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records an operator means; what is left out does not narrow it."""

    names: tuple[str, ...] = ()
    service: str | None = None
    tenant: str | None = None
    key: str | None = None
    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    dropped: bool = False

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return self == Wanted(dropped=self.dropped)

    def covers(self, one: Entry) -> bool:
        """Say whether a record is meant."""
        asked = (
            (self.names and one.name, self.names),
            (self.service, (one.service,)),
            (self.tenant, (one.tenant_id,)),
            (self.key, (one.key,)),
            (self.topic, (one.topic,)),
            (self.reason, (one.reason,)),
        )
        fits = all(value in found for value, found in asked if value)
        return (
            fits
            and (self.since is None or one.parked_at >= self.since)
            and (one.dropped_at is not None) == self.dropped
        )


@dataclass(frozen=True, slots=True)
class Group:
    """What is told together: a parked key, or records of one place that failed for one reason."""

    service: str
    key: str
    blocks_key: bool
    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """The record that comes first when it is replayed."""
        return self.entries[0]

    @property
    def oldest(self) -> datetime:
        """When the oldest was put aside."""
        return min(one.parked_at for one in self.entries)


def grouped(entries: list[Entry]) -> list[Group]:
    """Group records, each group in the order of its replay, the group that waits longest first."""
    found: dict[tuple[str, str, bool, str], list[Entry]] = {}
    for one in entries:
        found.setdefault(
            (one.service, one.key, one.blocks_key, "" if one.blocks_key else one.reason), []
        ).append(one)
    groups = [
        Group(service, key, blocks, _ordered(queue)) for (service, key, blocks, _), queue in found.items()
    ]
    return sorted(groups, key=lambda group: (group.oldest, group.service, group.key))


def whole_keys(entries: list[Entry], wanted: Wanted) -> list[Entry]:
    """Return what is meant, and with any record of a parked key all of it: a key is replayed in order."""
    meant = [one for one in entries if wanted.covers(one)]
    keys = {(one.service, one.key) for one in meant if one.blocks_key}
    names = {one.name for one in meant}
    return [
        one for one in entries if one.name in names or (one.blocks_key and (one.service, one.key) in keys)
    ]


def require_found(wanted: Wanted, entries: list[Entry]) -> None:
    """Refuse names of records that are not there."""
    there = {one.name for one in entries}
    unknown = [name for name in wanted.names if name not in there]
    if unknown:
        raise Refusal("\n".join(f"there is no dead letter {name}" for name in unknown))


def _ordered(queue: list[Entry]) -> tuple[Entry, ...]:
    by_id = {one.id: one for one in queue}
    order = in_order([Waiting(one.id, one.subject, one.version) for one in sorted(queue, key=_id)])
    return tuple(by_id[one.id] for one in order)


def _id(one: Entry) -> int:
    return one.id
