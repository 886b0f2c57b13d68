"""The counting service, or its reading alone, inside the test: its parts and its clock can be reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.platform.app import _Assembly
from shared.platform.clock import Clock, SystemClock
from shared.platform.service import Service
from tests.pipeline import counting as service
from tests.pipeline.installed import Counting

STOP_SECONDS = 20


def assembled(counting: Counting, clock: Clock | None = None, batch_records: int = 1000) -> _Assembly:
    """Put the service together as `build` does, and keep its parts."""
    return _Assembly(
        Service(service.NAME, service.Counting(), handles=service.HANDLES),
        counting.settings.model_copy(update={"batch_records": batch_records}),
        (),
        clock or SystemClock(),
    )


@asynccontextmanager
async def running(
    counting: Counting, *, clock: Clock | None = None, batch_records: int = 1000
) -> AsyncIterator[_Assembly]:
    """Run the whole service until the block ends, then stop it as a signal would."""
    parts = assembled(counting, clock, batch_records)
    async with parts.app.start_lifespan_context():
        yield parts


@asynccontextmanager
async def reading(counting: Counting, *, batch_records: int = 1000) -> AsyncIterator[_Assembly]:
    """Run the service's reading alone: no lanes, no timers, nothing that ends the process on a failure."""
    parts = assembled(counting, None, batch_records)
    stopping = asyncio.Event()
    assert parts._reader is not None
    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(parts._broker.start())
        watching = tasks.create_task(parts._reader.watch(stopping))
        try:
            yield parts
        finally:
            stopping.set()
            await asyncio.wait([watching])  # as the service does: what watches ends before what it watches
            async with asyncio.timeout(STOP_SECONDS):
                # A consumer stopped while it joins its group never gets to the end of its start.
                await asyncio.wait([starting])
                await parts._broker.stop()
    await parts._publisher.close()
    await parts._database.close()
