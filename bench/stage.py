"""Where the legs run: servers of the benchmark's own, and a fresh desk on them for each run of a leg."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaProducer

from ops.stack import Addresses, LocalStack
from ops.topics import create_topics, delete_topics
from shared.contracts import catalogue, cloudevents
from shared.contracts.event import Event, Model
from shared.platform.migrations import upgrade
from shared.platform.settings import PlatformSettings

_numbers = itertools.count(1)


@contextmanager
def servers() -> Iterator[Addresses]:
    """Start Kafka, PostgreSQL and Redis on spare ports of 127.0.0.1; nothing is left of them afterwards."""
    with tempfile.TemporaryDirectory(prefix="chatdesk-bench-") as folder:
        # PostgreSQL drops root's rights and must be able to enter.
        Path(folder).chmod(0o755)
        stack = LocalStack(Path(folder) / "stack")
        try:
            standing = stack.start(["kafka", "postgres", "redis"])
            yield Addresses(
                kafka=standing["kafka"].address,
                database_url=standing["postgres"].address,
                redis_url=standing["redis"].address,
                chosen=tuple(server.chosen for server in standing.values()),
            )
        finally:
            stack.reset()


@asynccontextmanager
async def desk(addresses: Addresses) -> AsyncIterator[PlatformSettings]:
    """A desk with routing's schema and every topic as the catalogue has it, removed afterwards."""
    number = next(_numbers)
    name, prefix = f"bench_{number}", f"bench-{number}."
    await _administer(addresses, f"create database {name}")
    url = addresses.database_url.rsplit("/", 1)[0] + f"/{name}"
    settings = PlatformSettings(
        kafka=addresses.kafka, database_url=url, redis_url=addresses.redis_url, topic_prefix=prefix
    )
    await create_topics(addresses.kafka, prefix)
    try:
        await asyncio.to_thread(upgrade, "routing", url)
        yield settings
    finally:
        await _administer(addresses, f"drop database {name} with (force)")
        await delete_topics(addresses.kafka, prefix)


async def publish(settings: PlatformSettings, events: Iterable[Event[Model]]) -> None:
    """Publish events as another system would."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, compression_type="lz4", max_batch_size=262_144, linger_ms=5
    )
    async with producer:
        sent = [
            await producer.send(
                settings.topic_prefix + catalogue.topic_of(event.type),
                cloudevents.encode(event),
                key=catalogue.key_of(event).encode(),
            )
            for event in events
        ]
        await asyncio.gather(*sent)


async def _administer(addresses: Addresses, statement: str) -> None:
    connection = await asyncpg.connect(addresses.database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
