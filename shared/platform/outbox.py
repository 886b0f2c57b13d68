"""A service's outbox as a program beside the service uses it: put events in, and see them out."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.event import Event, Model
from shared.platform.clock import Clock
from shared.platform.database import Database
from shared.platform.journal import Journal, OutboxRow
from shared.platform.lanes import POLL_SECONDS, Lanes
from shared.platform.letters import outbox_row
from shared.platform.outcome import End
from shared.platform.publisher import KafkaPublisher, Published
from shared.platform.settings import PlatformSettings

TRIES = 3
"""How often we try ourselves, each time until nothing goes any more."""
PATIENCE_SECONDS = 15.0
"""Longer than the lease of a service that was killed, whose lanes are then free."""


@dataclass(frozen=True, slots=True)
class Left:
    """Everything is published: ``by_us``, or, where anything was waiting, by the running service."""

    by_us: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """Events are committed and not published yet; ``reason`` is the last fault, if there was one."""

    rows: int
    reason: str | None


class Outbox:
    """The outbox in a service's schema, for one command that is run while the service may run or not."""

    def __init__(self, database: Database, settings: PlatformSettings, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._journal = Journal()
        self._publisher = _Remembering(KafkaPublisher(settings.kafka, settings.topic_prefix))
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{clock.now().timestamp():.6f}"

    async def say(self, tx: AsyncConnection, events: Sequence[Event[Model] | End]) -> None:
        """Put these into the outbox of this transaction; the caller holds the rows of their keys."""
        await self._journal.say(tx, [outbox_row(event) for event in events], self._clock.now())

    async def see_out(self, patience: float = PATIENCE_SECONDS) -> Left | Waiting:
        """Wait until everything is published, by the service where one runs, else by ourselves."""
        rows, tries = await self._rows(), 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while rows and tries < TRIES:
                    if await self._is_drained():
                        await asyncio.sleep(POLL_SECONDS)
                    else:
                        tries += 1
                        await self._drain()
                    rows = await self._rows()
        return Waiting(rows, self._publisher.failure) if rows else Left(by_us=tries > 0)

    async def close(self) -> None:
        """Let go of the broker."""
        await self._publisher.close()

    async def _drain(self) -> None:
        """Take the lanes, send what can be sent, and give them back."""
        stopping = asyncio.Event()
        stopping.set()
        lanes = Lanes(self._owner, self._database.transaction, self._publisher, self._clock)
        await lanes.run(stopping)

    async def _rows(self) -> int:
        async with self._database.transaction() as tx:
            rows: int = (await tx.execute(text("select count(*) from outbox"))).scalar_one()
        return rows

    async def _is_drained(self) -> bool:
        """Say whether a process of the service has claimed lanes lately."""
        async with self._database.transaction() as tx:
            owners = text("select exists (select from lane_owners where seen_until >= now())")
            return bool((await tx.execute(owners)).scalar_one())


class _Remembering:
    """A publisher that keeps its last fault, so that a command can tell people what it was."""

    def __init__(self, publisher: KafkaPublisher) -> None:
        self._publisher = publisher
        self.failure: str | None = None

    async def publish(self, rows: Sequence[OutboxRow]) -> Published:
        published = await self._publisher.publish(rows)
        if published.failure is not None:
            self.failure = str(published.failure)
        return published

    async def close(self) -> None:
        await self._publisher.close()
