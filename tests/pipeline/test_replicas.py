"""Several processes of one service: they share partitions and lanes, come, go and die, and nothing shows."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.platform.tables import LANES
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import pair_of
from tests.pipeline.installed import PARTITIONS, Counting, installed
from tests.pipeline.waiting import until_holds

pytestmark = pytest.mark.servers

CUSTOMERS = [f"+2782000{n:04}" for n in range(12)]


class Flow:
    """A foreign publisher that sets no keys: each message goes to the next partition, whoever's it is."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
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
        producer = AIOKafkaProducer(bootstrap_servers=self._counting.settings.kafka)
        await producer.start()
        try:
            while not self._stopping.is_set():
                await asyncio.gather(*[await self._send(producer, customer) for customer in CUSTOMERS])
                await until_holds(self._counting.count, lambda found: found >= self.count - 240)
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer, customer: str) -> "asyncio.Future[object]":
        ids = self.sent[pair_of(customer)]
        ids.append(f"{customer}/{len(ids)}")
        value = cloudevents.encode(an_event(a_message(customer=customer, message_id=ids[-1])))
        topic = self._counting.settings.topic_prefix + "inbound-messages.v1"
        sent: asyncio.Future[object] = await producer.send(topic, value, partition=next(self._places))
        return sent

    async def until_more_is_counted(self, count: int = 120) -> None:
        """Wait until the service has counted so many messages more."""
        target = await self._counting.count() + count
        await self._counting.until_counted(target)


async def held_lanes(counting: Counting) -> list[int]:
    """Return how many lanes each living owner holds, the smallest share first."""
    rows = await counting.rows(
        "select count(*) from lanes where leased_until > now() and owner is not null group by owner"
    )
    return sorted(count for (count,) in rows)


async def test_processes_come_go_and_die_under_a_flow_of_unkeyed_records(servers: Addresses) -> None:
    async with installed(servers) as counting:
        first = await counting.start().ready()
        async with Flow(counting).running() as flow:
            await flow.until_more_is_counted()
            assert await held_lanes(counting) == [LANES]

            second = await counting.start().ready()
            await until_holds(lambda: second.measured("records_read_total"), bool)
            await until_holds(lambda: held_lanes(counting), lambda held: held == [LANES // 2, LANES // 2])
            repeated = await second.measured("records_repeated_total")
            await second.stopped()
            await flow.until_more_is_counted()
            await until_holds(lambda: held_lanes(counting), lambda held: held == [LANES])
            assert repeated + await first.measured("records_repeated_total") == 0

            third = await counting.start().ready()
            await until_holds(lambda: held_lanes(counting), lambda held: held == [LANES // 2, LANES // 2])
            third.kill()
            await flow.until_more_is_counted()
        await until_holds(lambda: held_lanes(counting), lambda held: held == [LANES])
        await counting.prove(flow.sent, ordered=False)
        assert await first.stopped() in {0, -signal.SIGTERM}
