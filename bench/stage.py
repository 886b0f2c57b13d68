"""Where the legs run: servers of the benchmark's own, and a fresh desk on them for each run of a leg."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
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


Fill = Callable[[asyncpg.Connection], Awaitable[None]]
"""Puts rows into routing's schema."""


@asynccontextmanager
async def stored(addresses: Addresses, fill: Fill) -> AsyncIterator[str]:
    """The name of a database with routing's schema and rows, to make desks from; removed afterwards."""
    name = f"bench_stored_{next(_numbers)}"
    await _administer(addresses, f"create database {name}")
    try:
        url = _url(addresses, name)
        await asyncio.to_thread(upgrade, "routing", url)
        connection = await asyncpg.connect(url, server_settings={"search_path": "routing"})
        try:
            await fill(connection)
            await connection.execute("vacuum analyze")
        finally:
            await connection.close()
        yield name
    finally:
        await _administer(addresses, f"drop database {name} with (force)")


@asynccontextmanager
async def desk(
    addresses: Addresses, template: str | None = None, *, service: str = "routing"
) -> AsyncIterator[PlatformSettings]:
    """A desk with a service's schema and every topic as the catalogue has it, removed afterwards.

    It begins as a copy of the database ``template``, where one is named.
    """
    number = next(_numbers)
    name, prefix = f"bench_{number}", f"bench-{number}."
    copied = f" template {template} strategy file_copy" if template else ""
    await _administer(addresses, f"create database {name}{copied}")
    url = _url(addresses, name)
    settings = PlatformSettings(
        kafka=addresses.kafka, database_url=url, redis_url=addresses.redis_url, topic_prefix=prefix
    )
    await create_topics(addresses.kafka, prefix)
    try:
        await asyncio.to_thread(upgrade, service, url)
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


def _url(addresses: Addresses, database: str) -> str:
    return addresses.database_url.rsplit("/", 1)[0] + f"/{database}"


async def _administer(addresses: Addresses, statement: str) -> None:
    connection = await asyncpg.connect(addresses.database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
