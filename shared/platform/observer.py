"""Asks the broker beside the group: where logs end, and whether it answers at all."""

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition


class Observer:
    """A consumer without a group, started when it is first needed. Not for use by two tasks at once."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer: AIOKafkaConsumer | None = None

    async def log_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Ask the broker where the logs end, including what an open transaction hides from our consumer.

        A message behind one cannot be read yet; to its own consumer the log would end before it.
        """
        if not places:
            return {}
        ends: dict[TopicPartition, int] = await (await self._started()).end_offsets(places)
        return ends

    async def readable_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Ask how far a consumer that waits for open transactions can read."""
        reader = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, isolation_level="read_committed"
        )
        try:
            await reader.start()
            ends: dict[TopicPartition, int] = await reader.end_offsets(places)
        finally:
            await reader.stop()
        return ends

    async def must_answer(self) -> None:
        """Ask the broker for anything. Raises KafkaError when it has no answer."""
        await (await self._started()).topics()

    async def close(self) -> None:
        """Let go of the broker; the next question starts anew."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer
