"""Publishing to and reading from the topics of a test's installation."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from ops.topics import read
from shared.contracts import catalogue, cloudevents
from shared.contracts.event import Event, Model
from shared.platform.settings import PlatformSettings

WAIT_SECONDS = 30.0


async def publish(settings: PlatformSettings, events: Iterable[Event[Model]]) -> None:
    """Publish events as another system would: structured, keyed."""
    await publish_raw(
        settings,
        [
            (catalogue.topic_of(event.type), catalogue.key_of(event).encode(), cloudevents.encode(event), [])
            for event in events
        ],
    )


async def publish_raw(
    settings: PlatformSettings,
    records: Iterable[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]],
    partition: int | None = None,
) -> None:
    """Publish bytes as they are: (topic, key, value, headers)."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, compression_type="lz4", max_request_size=4_000_000, linger_ms=5
    )
    await producer.start()
    try:
        sent = [
            await producer.send(
                settings.topic_prefix + topic, value, key=key, headers=headers, partition=partition
            )
            for topic, key, value, headers in records
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def events_on(settings: PlatformSettings, topic: str) -> list[Event[Model]]:
    """Return every event on a topic now, partition by partition, in order."""
    records = [record async for record in read(settings.kafka, settings.topic_prefix + topic)]
    return [
        cloudevents.decode(record.value, record.headers)
        for record in sorted(records, key=lambda r: (r.partition, r.offset))
        if record.value is not None
    ]


async def until_events(
    settings: PlatformSettings,
    topic: str,
    enough: Callable[[Sequence[Event[Any]]], bool],
    seconds: float = WAIT_SECONDS,
) -> list[Event[Any]]:
    """Read a topic again and again until it holds enough. Raises AssertionError with what it holds."""
    deadline = time.monotonic() + seconds
    while True:
        found: list[Event[Any]] = list(await events_on(settings, topic))
        if enough(found):
            return found
        if time.monotonic() > deadline:
            told = "\n".join(f"{event.type} {event.subject}" for event in found[-40:])
            raise AssertionError(f"{topic} holds {len(found)} events after {seconds} s:\n{told}")
        await asyncio.sleep(0.1)
