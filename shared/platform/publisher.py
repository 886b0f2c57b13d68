"""Sends outbox rows to Kafka so that the first occurrence of every event is in order per key and topic.

Record batches are built by hand and each is awaited before its partition's next, because an idempotent
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
Filled = tuple[Any, list[OutboxRow]]
"""A record batch of the client's, and the rows that are in it."""


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
        """Send each partition's rows in order, and wait for the acknowledgements; a failure ends its part."""
        ...


class KafkaPublisher:
    """The publisher on a real broker. Not for use by two tasks at once."""

    def __init__(self, bootstrap: str, topic_prefix: str) -> None:
        self._bootstrap = bootstrap
        self._prefix = topic_prefix
        self._producer: AIOKafkaProducer | None = None
        self._absent_until: dict[str, float] = {}

    async def publish(self, rows: Sequence[OutboxRow]) -> Published:
        """Send every partition its batches, one after the other, the partitions side by side.

        Never raises for a broker's fault: the failure is part of the answer, the producer is rebuilt.
        """
        acknowledged: list[OutboxRow] = []
        try:
            producer = await self._connected()
            batches, failure = await self._fill(producer, rows)
            sent = await asyncio.gather(
                *(self._send(producer, place, filled, acknowledged) for place, filled in batches.items()),
                return_exceptions=True,
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing is known to have arrived
            await self._discard()
            return Published((), error)
        if lost := [result for result in sent if result is not None]:
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
                compression_type="zstd",
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
    ) -> tuple[dict[Place, list[Filled]], Exception | None]:
        """Fill batches for each partition. A topic that is not there costs nobody but its own rows."""
        batches: dict[Place, list[Filled]] = {}
        partitions: dict[str, list[int]] = {}
        for row in rows:
            if row.topic not in partitions:
                partitions[row.topic] = await self._partitions(producer, row.topic)
            if not (numbers := partitions[row.topic]):
                continue
            key = row.key.encode()
            place = (row.topic, numbers[_hash(key) % len(numbers)])
            filled = batches.setdefault(place, [])
            if not filled or not _fits(filled[-1], key, row):
                filled.append((producer.create_batch(), []))
                _fits(filled[-1], key, row)  # an empty batch takes a row of any size
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

    async def _send(
        self, producer: AIOKafkaProducer, place: Place, filled: Sequence[Filled], into: list[OutboxRow]
    ) -> None:
        """Send a partition's batches in order; the first that is not acknowledged is the last to be sent."""
        topic, partition = place
        for batch, held in filled:
            batch.close()
            await (await producer.send_batch(batch, self._prefix + topic, partition=partition))
            into.extend(held)

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # Stopping flushes; what cannot be flushed stays in the outbox and is sent again.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_REQUEST_TIMEOUT_MS / 1000):
                    await producer.stop()


def _fits(filled: Filled, key: bytes, row: OutboxRow) -> bool:
    """Put a row into a batch if it fits; a batch that is full takes no more."""
    batch, held = filled
    if batch.append(key=key, value=row.value, timestamp=None, headers=_HEADERS) is None:
        return False
    held.append(row)
    return True


def _absence(topics: Sequence[str]) -> Retryable:
    return Retryable(f"topic {', '.join(topics)} does not exist: run `chatdesk topics apply`")
