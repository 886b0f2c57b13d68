"""Waits until nothing moves any more: only then can a history be taken whole."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.demo.installation import PARTITIONS
from shared.contracts.topics import DEAD_LETTER_TOPICS, TOPICS
from shared.platform.clock import Clock
from shared.platform.settings import PlatformSettings

SOON = timedelta(seconds=15)
"""Timers due sooner than this are waited for."""
LOOK_SECONDS = 0.3
TELL_EVERY = 10
"""Looks between two words on what is still waited for."""
CALM_LOOKS = 3


class Settling:
    """Looks at positions, outboxes, timers and sends until all of them are at rest."""

    def __init__(
        self,
        database: asyncpg.Connection,
        consumer: AIOKafkaConsumer,
        prefix: str,
        services: Sequence[str],
        clock: Clock,
    ) -> None:
        self._database = database
        self._consumer = consumer
        self._prefix = prefix
        self._services = services
        self._clock = clock

    async def wait(
        self,
        seconds: float,
        tell: Callable[[str], None],
        *,
        flowing: Collection[str] = (),
        calm_looks: int = CALM_LOOKS,
    ) -> list[str]:
        """Wait, at most so many seconds. Returns what still moves: nothing, when all is well.

        So many looks in a row must find nothing to do, and nothing new but on the topics in ``flowing``.
        """
        deadline = self._clock.monotonic() + seconds
        places = [
            TopicPartition(self._prefix + topic.name, number)
            for topic in (*TOPICS, *DEAD_LETTER_TOPICS)
            if topic.name not in flowing
            for number in range(PARTITIONS)
        ]
        calm, before = 0, -1
        for look in itertools.count(1):
            ends = self._named(await self._consumer.end_offsets(places))
            moving = [line for name in self._services for line in await self._moving(name, ends)]
            moving += await self._unsent()
            total = sum(ends.values())
            calm = calm + 1 if not moving and total == before else 0
            before = total
            if calm >= calm_looks or self._clock.monotonic() > deadline:
                return moving
            if moving and look % TELL_EVERY == 0:
                tell(moving[-1])
            await asyncio.sleep(LOOK_SECONDS)
        raise AssertionError("counting never ends")

    def _named(self, ends: Mapping[TopicPartition, int]) -> dict[tuple[str, int], int]:
        return {(place.topic.removeprefix(self._prefix), place.partition): end for place, end in ends.items()}

    async def _moving(self, service: str, ends: Mapping[tuple[str, int], int]) -> list[str]:
        """Tell what one service still has to do. Schema names are ours, never input."""
        positions = await self._database.fetch(
            f"select topic, partition, next_offset from {service}.positions"
        )
        unread = sum(ends.get((topic, number), 0) > (at or 0) for topic, number, at in map(tuple, positions))
        unsaid = await self._database.fetchval(f"select count(*) from {service}.outbox")
        due = await self._database.fetchval(
            f"select count(*) from {service}.due where parked_reason is null and at < $1",
            self._clock.now() + SOON,
        )
        found = ((unread, "partitions to read"), (unsaid, "events to publish"), (due, "timers to fire"))
        return [f"{service} has {count} {what}" for count, what in found if count]

    async def _unsent(self) -> list[str]:
        waiting = await self._database.fetchval(
            "select count(*) from outbound.sends where state in ('queued', 'sending', 'in_doubt')"
        )
        return [f"outbound has {waiting} messages to send or to be sure of"] if waiting else []


@asynccontextmanager
async def settling(
    settings: PlatformSettings, services: Sequence[str], clock: Clock
) -> AsyncIterator[Settling]:
    """Open what it takes to look."""
    database = await asyncpg.connect(settings.database_url)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        yield Settling(database, consumer, settings.topic_prefix, services, clock)
    finally:
        await consumer.stop()
        await database.close()
