"""Sends outbox rows to Kafka so that the first occurrence of every event is in order per key and topic.

One record batch per partition is built by hand and awaited before the next, because an idempotent
producer that lost a batch for good goes on behind the gap (aiokafka #1017): at most one batch is ever
unacknowledged per partition, and after any failure the producer is built anew.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError
from aiokafka.partitioner import murmur2

from shared.contracts.cloudevents import CONTENT_TYPE
from shared.platform.faults import Retryable
from shared.platform.journal import OutboxRow

_HEADERS = [("content-type", CONTENT_TYPE.encode())]
_LARGEST_BATCH = 900_000
"""Bytes before compression. A batch of records often goes to one partition whole, since chats share the
partition of the messages they answer: large, and below the broker's 1 MB."""
_LARGEST_REQUEST = 1_100_000
_REQUEST_TIMEOUT_MS = 5_000
_METADATA_SECONDS, _ABSENT_SECONDS = 1.0, 5.0
"""How long to ask for a topic's partitions, and how long not to ask again for one that is not there."""

Place = tuple[str, int]


@lru_cache(maxsize=65_536)
def _hash(key: bytes) -> int:
    """Return Kafka's murmur2, as every Java client places keys; remembered, for it is slow in Python."""
    return int(murmur2(key)) & 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Published:
    """What one round achieved: the rows Kafka acknowledged, and what went wrong with the others."""

    acknowledged: tuple[OutboxRow, ...]
    failure: BaseException | None = None


class Publisher(Protocol):
    """Where the lanes send their rows."""

    async def publish(self, rows: Sequence[OutboxRow]) -> Published:
        """Send a prefix of each partition's rows, in order, and wait for the acknowledgements."""
        ...


class KafkaPublisher:
    """The publisher on a real broker. Not for use by two tasks at once."""

    def __init__(self, bootstrap: str, topic_prefix: str) -> None:
        self._bootstrap = bootstrap
        self._prefix = topic_prefix
        self._producer: AIOKafkaProducer | None = None
        self._absent_until: dict[str, float] = {}

    async def publish(self, rows: Sequence[OutboxRow]) -> Published:
        """Send at most one record batch per partition; rows that did not fit wait for the next round.

        Never raises for a broker's fault: the failure is part of the answer, the producer is rebuilt.
        """
        try:
            producer = await self._connected()
            batches, failure = await self._fill(producer, rows)
            sent = await asyncio.gather(
                *(self._send(producer, place, batch) for place, (batch, _) in batches.items()),
                return_exceptions=True,
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing is known to have arrived
            await self._discard()
            return Published((), error)
        acknowledged: list[OutboxRow] = []
        lost = [result for result in sent if isinstance(result, BaseException)]
        for (_, held), result in zip(batches.values(), sent, strict=True):
            if result not in lost:
                acknowledged.extend(held)
        if lost:
            await self._discard()
        return Published(tuple(acknowledged), lost[0] if lost else failure)

    async def close(self) -> None:
        """Stop the producer."""
        await self._discard()

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                max_batch_size=_LARGEST_BATCH,
                max_request_size=_LARGEST_REQUEST,
                linger_ms=0,
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _fill(
        self, producer: AIOKafkaProducer, rows: Sequence[OutboxRow]
    ) -> tuple[dict[Place, tuple[Any, list[OutboxRow]]], Exception | None]:
        """Fill one batch for each partition. A topic that is not there costs nobody but its own rows."""
        batches: dict[Place, tuple[Any, list[OutboxRow]]] = {}
        full: set[Place] = set()
        partitions: dict[str, list[int]] = {}
        for row in rows:
            if row.topic not in partitions:
                partitions[row.topic] = await self._partitions(producer, row.topic)
            if not (numbers := partitions[row.topic]):
                continue
            key = row.key.encode()
            place = (row.topic, numbers[_hash(key) % len(numbers)])
            if place in full:
                continue
            batch, held = batches.setdefault(place, (producer.create_batch(), []))
            if batch.append(key=key, value=row.value, timestamp=None, headers=_HEADERS) is None:
                full.add(place)
            else:
                held.append(row)
        absent = [self._prefix + topic for topic, numbers in partitions.items() if not numbers]
        return batches, _absence(absent) if absent else None

    async def _partitions(self, producer: AIOKafkaProducer, topic: str) -> list[int]:
        """Return a topic's partitions; none if it is not there, which is asked again only after a while."""
        now = asyncio.get_running_loop().time()
        if now < self._absent_until.get(topic, now):
            return []
        try:
            async with asyncio.timeout(_METADATA_SECONDS):
                return sorted(await producer.partitions_for(self._prefix + topic))
        except (TimeoutError, UnknownTopicOrPartitionError, TopicAuthorizationFailedError):
            self._absent_until[topic] = now + _ABSENT_SECONDS
            return []

    async def _send(self, producer: AIOKafkaProducer, place: Place, batch: Any) -> None:
        topic, partition = place
        batch.close()
        await (await producer.send_batch(batch, self._prefix + topic, partition=partition))

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # Stopping flushes; what cannot be flushed stays in the outbox and is sent again.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_REQUEST_TIMEOUT_MS / 1000):
                    await producer.stop()


def _absence(topics: Sequence[str]) -> Retryable:
    return Retryable(f"topic {', '.join(topics)} does not exist: run `chatdesk topics apply`")
