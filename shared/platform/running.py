"""What background work of a service may use: transactions, the clock, how far was read, when to stop."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.platform.clock import Clock
from shared.platform.journal import Journal
from shared.platform.outcome import Outcome
from shared.platform.pipeline import Pipeline, Transactions


class Running:
    """A service that runs, as its dispatchers and sweepers see it."""

    def __init__(
        self,
        *,
        clock: Clock,
        transactions: Transactions,
        journal: Journal,
        pipeline: Pipeline,
        topics: Iterable[str],
        wake: Callable[[], None],
        owner: str,
    ) -> None:
        self.clock = clock
        self.transaction: Callable[[], AbstractAsyncContextManager[AsyncConnection]] = transactions
        self.wake = wake
        self.owner = owner
        """Names this process, one incarnation of it, in leases."""
        self.stopping = asyncio.Event()
        self._journal = journal
        self._pipeline = pipeline
        self._topics = tuple(topics)

    async def save(self, tx: AsyncConnection, outcome: Outcome) -> None:
        """Put outgoing events, timers and dead letters into this transaction; call `wake` after it."""
        await self._pipeline.save(tx, outcome, self.clock.now())

    async def read_up_to(self, topics: Iterable[str] | None = None) -> datetime | None:
        """Return the time up to which these inputs of the service, or all, have been read; None: unknown."""
        async with self.transaction() as tx:
            return await self._journal.read_up_to(tx, self._topics if topics is None else topics)

    async def wait(self, seconds: float) -> None:
        """Rest so many seconds, or until the service stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
