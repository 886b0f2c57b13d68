"""A record that the client itself cannot unpack stops its own partition, and costs nobody else anything."""

import struct
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from ops.stack import Addresses
from shared.contracts import cloudevents
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import INBOUND, messages, pair_of
from tests.pipeline.installed import Counting, installed
from tests.pipeline.waiting import until_holds

pytestmark = [pytest.mark.servers, pytest.mark.long]

CRC_AT, CHECKED_FROM = 17, 21
NAME, NO_TEXT = b"name", b"\xff\xfe\xff\xfe"


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    async with installed(servers) as counting:
        yield counting


async def send_unreadable(counting: Counting, partition: int) -> None:
    """Publish a record whose header's name is not UTF-8, as a client that takes any bytes may."""
    producer = AIOKafkaProducer(bootstrap_servers=counting.settings.kafka)
    await producer.start()
    try:
        batch = producer.create_batch()
        value = cloudevents.encode(an_event(a_message("unreadable")))
        batch.append(key=None, value=value, timestamp=None, headers=[(NAME.decode(), b"")])
        written = bytearray(bytes(batch._build()).replace(NAME + b"\x00", NO_TEXT + b"\x00"))
        struct.pack_into(">I", written, CRC_AT, calc_crc32c(bytes(written[CHECKED_FROM:])))
        batch._buffer = written
        topic = counting.settings.topic_prefix + INBOUND
        await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


async def test_neighbours_lose_nothing(counting: Counting) -> None:
    """All of it is there at once: the client drains other partitions before it comes to the record."""
    process = await counting.start().ready()
    customers = [f"+2782000010{n}" for n in (1, 2, 3)]
    with process.frozen():
        for partition, customer in enumerate(customers, start=1):
            said = messages(20, customer=customer)
            values = [cloudevents.encode(an_event(one)) for one in said]
            await counting.send(INBOUND, values, partition=partition)
        await send_unreadable(counting, 0)
    await counting.until_counted(60)
    assert await counting.counted() == {
        pair_of(customer): [f"m{n}" for n in range(1, 21)] for customer in customers
    }
    await until_holds(process.status, lambda status: status == 503)
    assert process.checks()["records"] is False
    assert '"partition_unreadable"' in process.log
    assert process.alive
