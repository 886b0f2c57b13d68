"""What goes into a fold and what comes out of it: values only, so that decisions may speak of them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from shared.contracts.event import Event, Model
from shared.platform.records import Record


class Received(NamedTuple):
    """One decoded record that nobody handled before, on its way into the fold."""

    event: Event[Model]
    record: Record


@dataclass(frozen=True, slots=True)
class Due:
    """A row that asks for work at a time.

    A *timer* waits until every input has been read up to ``at`` (docs/pipeline.md, 5); a *sweep* runs
    as soon as it is committed. ``(kind, key)`` is unique: scheduling it again replaces the earlier row.
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


@dataclass(frozen=True, slots=True)
class End:
    """The end of a key on a compacted topic: a record without a value, after which the topic forgets it."""

    topic: str
    key: str


@dataclass(slots=True)
class Outcome:
    """Everything a handler wants to happen, saved in its transaction by the pipeline.

    A fired due row is deleted after the handler ran unless it is scheduled again here.
    """

    outgoing: list[Event[Model]] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    schedule: list[Due] = field(default_factory=list)
    cancel: list[tuple[str, str]] = field(default_factory=list)
    ended: list[End] = field(default_factory=list)
