"""What a run left behind: everything the invariants are computed from, and nothing a service counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from shared.contracts.event import Event

Place: TypeAlias = tuple[str, int]
"""(topic, partition); topics without the prefix of the installation."""
Key: TypeAlias = tuple[str, str]
"""(tenant id, id)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic, decoded.

    ``written_at`` is when the broker took it (topics keep ``LogAppendTime``), rounded up. The commit that
    a service's event tells of lies between ``event.time`` and ``written_at`` of its first occurrence.
    """

    topic: str
    partition: int
    offset: int
    written_at: datetime
    value: bytes | None
    event: Event[Any] | None
    problem: str | None = None
    """Why it is no event; None for an event and for a tombstone."""
    key: str | None = None
    digest: bytes | None = None

    @property
    def where(self) -> str:
        """Where a person finds it."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Published:
    """One line of the driver's log: a record that Kafka acknowledged. ``repeat`` was sent on purpose."""

    topic: str
    partition: int
    offset: int
    event_id: str
    by: str
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the fake provider received it.

    ``taken`` means that the provider has the message, whatever it answered. ``answer`` is what the
    caller can know: ``unclear`` when the connection was cut or the answer says nothing.
    """

    at: datetime
    request: Key
    free_form: bool
    taken: bool
    answer: Literal["accepted", "declined", "unclear"]
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a service's ``positions``: at ``at`` every input had been read up to ``read_up_to``."""

    at: datetime
    read_up_to: datetime | None


@dataclass(frozen=True, slots=True)
class Parked:
    """A row of ``parked_records``; with ``blocks_key`` later events of its key wait behind it."""

    topic: str
    partition: int
    offset: int
    key: str
    blocks_key: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Books:
    """What the platform keeps in a service's schema."""

    handles: frozenset[str] = frozenset()
    """The wire types the service answers."""
    positions: Mapping[Place, int | None] = field(default_factory=dict)
    seen: frozenset[bytes] = frozenset()
    """Digests of what was handled, but for the service's own words read back."""
    echoed: Mapping[Key, int] = field(default_factory=dict)
    """The newest version read back of each thing the service says on a compacted topic."""
    parked: tuple[Parked, ...] = ()
    unsent: int = 0
    """Rows left in the outbox."""
    stuck: tuple[str, ...] = ()
    """Due rows that were put aside, as ``kind key``."""


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat in routing's schema."""

    pair_key: str
    state: str
    version: int
    assignment_version: int
    agent_id: str | None
    ticket_id: str | None
    offered_to: str | None = None
    wrapped_up_by: str | None = None


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A ticket in the schema of tickets."""

    pair_key: str
    state: str
    version: int
    agent_id: str | None


@dataclass(frozen=True, slots=True)
class Databases:
    """The rows of every service, by (tenant, id)."""

    chats: Mapping[Key, ChatRow] = field(default_factory=dict)
    loads: Mapping[Key, int] = field(default_factory=dict)
    """Each agent's load as routing keeps it."""
    tickets: Mapping[Key, TicketRow] = field(default_factory=dict)
    standings: Mapping[Key, tuple[str, int]] = field(default_factory=dict)
    """Each agent's state and version as presence keeps them."""
    sends: Mapping[Key, str] = field(default_factory=dict)
    """Each send request's state in outbound."""
    pairs: Mapping[Key, int] = field(default_factory=dict)
    """Each pair's version in outbound."""
    books: Mapping[str, Books] = field(default_factory=dict)
    """By service."""


@dataclass(frozen=True, slots=True)
class History:
    """One run, whole: taken after it was quiet, at ``taken_at``."""

    taken_at: datetime
    topics: Mapping[str, tuple[Record, ...]]
    """Each topic from its first to its last record; partition by partition, by offset."""
    published: tuple[Published, ...] = ()
    databases: Databases = Databases()
    calls: tuple[Call, ...] = ()
    """The fake provider's log, in the order of arrival."""
    readings: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)
    """By service, in the order of time, from looking again and again while the run went on."""
