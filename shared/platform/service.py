"""What a service hands to the platform.

A service is a table of the event types it handles and one `Handlers` object. The pipeline
(`shared.platform.pipeline`) decodes, deduplicates, opens the transaction, and after the handlers
have run saves what they returned: outgoing events, rejected inputs, timers.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.platform.outcome import Due, Outcome, Received


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
    repeatable: Collection[str] = ()
    """Types whose repeats do no harm here, so that nobody has to remember each of them."""
    refuses_to_go_back: bool = False
    """Whether its process ends when the database stands before what was read, as after a restore.

    For services whose effects are outside of the database: what was carried out since is not known here.
    """
