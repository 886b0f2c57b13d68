"""What a service hands to the platform, and what its handlers hand back.

A service is a table of the event types it handles and one `Handlers` object. The pipeline
(`shared.platform.pipeline`) decodes, deduplicates, opens the transaction, and after the handlers
have run saves what they returned: outgoing events, rejected inputs, timers.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.event import Event, Model
from shared.platform.records import Record


@dataclass(frozen=True, slots=True)
class Received:
    """One decoded record that nobody handled before, on its way into the fold."""

    event: Event[Model]
    record: Record


@dataclass(frozen=True, slots=True)
class Due:
    """A row that asks for work at a time.

    A *timer* waits until every input has been read up to ``at`` (system.md, 3); a *sweep* runs as
    soon as it is committed. ``(kind, key)`` is unique: scheduling it again replaces the earlier row.
    ``generation`` is filled in by the platform when the row is listed.
    """

    kind: str
    key: str
    tenant_id: str
    at: datetime
    sweep: bool = False
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """An input that never can be handled: it becomes a dead letter, alone, with its reason."""

    received: Received
    reason: str
    detail: str


@dataclass(slots=True)
class Outcome:
    """Everything a handler wants to happen, saved in its transaction by the pipeline.

    A fired due row is deleted after the handler ran unless it is scheduled again here.
    """

    outgoing: list[Event[Model]] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    schedule: list[Due] = field(default_factory=list)
    cancel: list[tuple[str, str]] = field(default_factory=list)


class Handlers(Protocol):
    """The shell of a service: gather facts, fold the decisions, save. No SQL, no clock, no retries."""

    async def handle(self, tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        """Handle one batch, in order, inside the pipeline's transaction."""
        ...

    async def fire(self, tx: AsyncConnection, dues: Sequence[Due], now: datetime) -> Outcome:
        """Handle timers and sweeps that are due, re-checking under locks what they were set for."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """One service, wired: its name is its schema, its consumer group and the source of its events."""

    name: str
    handlers: Handlers
    handles: Collection[str] = ()
    """The wire types its table answers; every other type in the catalogue passes by."""
