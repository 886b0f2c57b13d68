"""Waits until nothing moves any more: only then can a history be taken whole."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from datetime import timedelta

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contracts.topics import DEAD_LETTER_TOPICS, TOPICS
from shared.platform.clock import Clock
from shared.platform.settings import PlatformSettings

SOON = timedelta(seconds=15)
"""Timers due sooner than this are waited for."""
LOOK_SECONDS = 0.3
TELL_EVERY = 10
"""Looks between two words on what is still waited for."""
CALM_LOOKS = 3
"""So many looks in a row must find nothing to do, and nothing new."""


class Settling:
    """Looks at positions, outboxes, timers and sends until all of them are at rest."""

    def __init__(
        self, settings: PlatformSettings, services: Sequence[str], clock: Clock, tell: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._services = services
        self._clock = clock

    async def wait(self, seconds: float) -> list[str]:
        """Wait, at most so many seconds. Returns what still moves: nothing, when all is well."""
        deadline = self._clock.monotonic() + seconds
        database = await asyncpg.connect(self._settings.database_url)
        consumer = AIOKafkaConsumer(bootstrap_servers=self._settings.kafka, enable_auto_commit=False)
        await consumer.start()
        calm, before, moving = 0, -1, list[str]()
        try:
            for look in itertools.count(1):
                ends = await self._ends(consumer)
                moving = [
                    line for name in self._services for line in await self._moving(database, name, ends)
                ]
                moving += await _unsent(database)
                total = sum(ends.values())
                calm = calm + 1 if not moving and total == before else 0
                before = total
                if calm >= CALM_LOOKS or self._clock.monotonic() > deadline:
                    break
                if moving and look % TELL_EVERY == 0:
                    self._tell(moving[-1])
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await consumer.stop()
            await database.close()
        return moving

    async def _ends(self, consumer: AIOKafkaConsumer) -> dict[tuple[str, int], int]:
        prefix = self._settings.topic_prefix
        metadata = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - the public way needs a group
        places = [
            TopicPartition(prefix + topic.name, number)
            for topic in (*TOPICS, *DEAD_LETTER_TOPICS)
            for number in metadata.partitions_for_topic(prefix + topic.name) or ()
        ]
        ends = await consumer.end_offsets(places)
        return {(place.topic.removeprefix(prefix), place.partition): end for place, end in ends.items()}

    async def _moving(
        self, database: asyncpg.Connection, service: str, ends: dict[tuple[str, int], int]
    ) -> list[str]:
        """Tell what one service still has to do. Schema names are ours, never input."""
        positions = await database.fetch(f"select topic, partition, next_offset from {service}.positions")
        unread = sum(ends.get((topic, number), 0) > (at or 0) for topic, number, at in map(tuple, positions))
        unsaid = await database.fetchval(f"select count(*) from {service}.outbox")
        due = await database.fetchval(
            f"select count(*) from {service}.due where parked_reason is null and at < $1",
            self._clock.now() + SOON,
        )
        found = ((unread, "partitions to read"), (unsaid, "events to publish"), (due, "timers to fire"))
        return [f"{service} has {count} {what}" for count, what in found if count]


async def _unsent(database: asyncpg.Connection) -> list[str]:
    waiting = await database.fetchval(
        "select count(*) from outbound.sends where state in ('queued', 'sending', 'in_doubt')"
    )
    return [f"outbound has {waiting} messages to send or to be sure of"] if waiting else []
