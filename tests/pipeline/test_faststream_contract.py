"""What we rely on of FastStream and aiokafka beyond their manuals: when an update breaks it, this says so."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.structs import ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from ops.stack import Addresses
from shared.platform.reading import _pass_through, _raw
from tests.pipeline.builders import INBOUND
from tests.pipeline.here import reading
from tests.pipeline.installed import installed
from tests.pipeline.waiting import until_holds
from tests.topics import publish_raw


def a_raw_record(**fields: Any) -> ConsumerRecord[Any, Any]:
    given = {"topic": "t", "partition": 0, "offset": 0, "key": None, "value": b"{", "headers": ()} | fields
    return ConsumerRecord(
        timestamp=0,
        timestamp_type=0,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        **given,
    )


@pytest.mark.parametrize(
    "record",
    [
        a_raw_record(headers=(("trace", None),)),
        a_raw_record(headers=(("trace", b"\xff"),)),
        a_raw_record(value=None),
        a_raw_record(value=b"\xff"),
    ],
    ids=["null header", "header that is no text", "tombstone", "value that is no text"],
)
async def test_parser_hands_records_over_untouched(record: ConsumerRecord[Any, Any]) -> None:
    records = (a_raw_record(), record)
    message = await _raw(records)
    assert message.raw_message is records
    assert await _pass_through(message) is records


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self) -> None:
        self.assigned: set[TopicPartition] = set()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.assigned -= revoked

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.assigned |= assigned


@pytest.mark.servers
async def test_batch_subscriber_calls_our_parts_and_commits_nothing_itself(servers: Addresses) -> None:
    """A handler that raises loses nothing but its call, and no offset moves: both are ours to see to."""
    async with installed(servers) as counting:
        topic = counting.settings.topic_prefix + INBOUND
        broker = KafkaBroker(servers.kafka, apply_types=False, allow_auto_create_topics=False, logger=None)
        listener, heard = Listener(), list[Sequence[Any]]()
        subscriber = broker.subscriber(
            topic,
            group_id=counting.group,
            batch=True,
            batch_timeout_ms=10,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            parser=_raw,
            decoder=_pass_through,
            listener=listener,
            no_reply=True,
        )

        async def handle(records: Sequence[Any]) -> None:
            heard.append(records)
            raise ValueError("the handler raises")

        subscriber(handle)
        assert subscriber.consumer is None
        await broker.start()
        try:
            assert isinstance(subscriber.consumer, AIOKafkaConsumer)
            await publish_raw(
                counting.settings,
                [(INBOUND, None, b"one", [("trace", None)]), (INBOUND, None, b"two", [])],  # type: ignore[list-item]
                partition=0,
            )
            await until_holds(lambda: number_of(heard), lambda found: found == 2)
            assert {record.topic for batch in heard for record in batch} == {topic}
            assert listener.assigned == subscriber.consumer.assignment()
            assert await subscriber.consumer.committed(TopicPartition(topic, 0)) is None
            await subscriber.consumer.commit({TopicPartition(topic, 0): 1})
            assert await subscriber.consumer.committed(TopicPartition(topic, 0)) == 1
        finally:
            await broker.stop()
        assert subscriber.consumer is None


async def number_of(batches: Sequence[Sequence[Any]]) -> int:
    return sum(map(len, batches))


@pytest.mark.servers
async def test_our_subscriber_is_set_as_the_stack_notes_say(servers: Addresses) -> None:
    async with installed(servers) as counting, reading(counting) as parts:
        consumer = await consumer_of(parts)
        assert consumer._enable_auto_commit is False
        assert consumer._isolation_level == "read_committed"
        assert consumer._session_timeout_ms == 6000
        assert consumer._heartbeat_interval_ms == 2000


async def consumer_of(parts: Any) -> Any:
    async def found() -> Any:
        return parts._reader._subscriber.consumer

    async with asyncio.timeout(30):
        return await until_holds(found, lambda consumer: consumer is not None)
