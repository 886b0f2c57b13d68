"""Takes records from the consumer so that none is lost over one that it cannot read.

aiokafka drains several partitions for one answer. When a record cannot be unpacked (its header's name is not
UTF-8), it raises, and what it had drained of other partitions before is gone, their positions moved on.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

NextOffset = Callable[[TopicPartition], int | None]


class HandOver:
    """Stands in for a consumer's ``getmany``. ``next_offset`` tells what a partition is to hand over next.

    After the first record that cannot be read, partitions are drained one by one, and the one that raises
    is paused: its record stands in the way of its own partition alone.
    """

    def __init__(self, consumer: AIOKafkaConsumer, next_offset: NextOffset) -> None:
        self._consumer = consumer
        self._getmany = consumer.getmany
        self._next_offset = next_offset
        self._apart = False
        self._turn = 0
        self.unreadable: set[TopicPartition] = set()
        self._log = structlog.get_logger()

    async def getmany(
        self, *, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """Return the next records by partition, none lost, whatever is raised."""
        if self._apart:
            return await self._one_by_one(timeout_ms, max_records)
        found: dict[TopicPartition, list[Any]] = {}
        try:
            found = await self._getmany(timeout_ms=timeout_ms, max_records=max_records)
        except ConsumerStoppedError:
            raise
        except Exception as error:
            for tp in self._consumer.assignment():
                self._take_back(tp)
            if isinstance(error, KafkaError):
                raise
            self._log.error("records_drained_apart", error=f"{type(error).__name__}: {error}"[:300])
            self._apart = True
        return found

    async def _one_by_one(self, timeout_ms: int, max_records: int | None) -> dict[TopicPartition, list[Any]]:
        places = sorted(self._consumer.assignment() - self._consumer.paused())
        for n in range(len(places)):
            tp = places[(self._turn + n) % len(places)]
            try:
                found: dict[TopicPartition, list[Any]] = await self._getmany(tp, max_records=max_records)
            except (ConsumerStoppedError, KafkaError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this partition's alone
                self._set_aside(tp, error)
            else:
                if found:
                    self._turn += n + 1
                    return found
        await asyncio.sleep(timeout_ms / 1000)
        return {}

    def _set_aside(self, tp: TopicPartition, error: Exception) -> None:
        self._take_back(tp)
        self._consumer.pause(tp)
        self.unreadable.add(tp)
        self._log.critical(
            "partition_unreadable",
            topic=tp.topic,
            partition=tp.partition,
            from_offset=self._next_offset(tp),
            error=f"{type(error).__name__}: {error}"[:300],
        )

    def _take_back(self, tp: TopicPartition) -> None:
        """Go back to what is to be handed over next; unknown while partitions are being taken up."""
        offset = self._next_offset(tp)
        if offset is not None:
            try:
                self._consumer.seek(tp, offset)
            except IllegalStateError:  # lost meanwhile
                self._log.info("seek_skipped", partition=tp.partition)
