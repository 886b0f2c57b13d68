"""A steady flow of messages from a publisher of the worst manners."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from shared.contracts import cloudevents
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import INBOUND, pair_of
from tests.pipeline.installed import PARTITIONS, Counting
from tests.pipeline.waiting import PATIENCE_SECONDS, until_holds

CUSTOMERS = [f"+2782000{n:04}" for n in range(12)]

AHEAD = 60
"""Messages the publisher may be ahead of what is counted: enough to be in the middle of something always."""


class Flow:
    """A foreign publisher that sets no keys: each message goes to the next partition, whoever's it is."""

    def __init__(self, counting: Counting, patience: float = PATIENCE_SECONDS) -> None:
        self._counting = counting
        self._patience = patience
        self._places = itertools.cycle(range(PARTITIONS))
        self._stopping = asyncio.Event()
        self.sent: dict[str, list[str]] = {pair_of(customer): [] for customer in CUSTOMERS}

    @property
    def count(self) -> int:
        return sum(map(len, self.sent.values()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Flow"]:
        """Publish, steadily but no faster than it is counted, until the block ends."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            self._stopping.set()
            await task

    async def _run(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._counting.settings.kafka, enable_idempotence=True)
        await producer.start()
        try:
            while not self._stopping.is_set():
                await asyncio.gather(*[await self._send(producer, customer) for customer in CUSTOMERS])
                await until_holds(
                    self._counting.count, lambda found: found >= self.count - AHEAD, seconds=self._patience
                )
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer, customer: str) -> "asyncio.Future[object]":
        ids = self.sent[pair_of(customer)]
        ids.append(f"{customer}/{len(ids)}")
        value = cloudevents.encode(an_event(a_message(customer=customer, message_id=ids[-1])))
        topic = self._counting.settings.topic_prefix + INBOUND
        sent: asyncio.Future[object] = await producer.send(topic, value, partition=next(self._places))
        return sent

    async def until_more_is_counted(self, count: int = 120, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the service has counted so many messages more."""
        target = await self._counting.count() + count
        await self._counting.until_counted(target, seconds=seconds)
