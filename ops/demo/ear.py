"""Listens to what the services tell while the demo runs."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.demo.installation import PARTITIONS
from shared.contracts import cloudevents
from shared.contracts.errors import Rejected
from shared.contracts.event import Event
from shared.platform.settings import PlatformSettings

TOPICS = ("directory.v1", "chats.v1", "tickets.v1", "deliveries.v1", "agents.v1")


async def listen(settings: PlatformSettings, hear: Callable[[Event[Any], datetime], None]) -> None:
    """Hand over every event of these topics, and when the broker had it, until cancelled."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [
            TopicPartition(settings.topic_prefix + topic, number)
            for topic in TOPICS
            for number in range(PARTITIONS)
        ]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while True:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    # What cannot be read is the checker's to complain of.
                    with contextlib.suppress(Rejected):
                        event = cloudevents.decode(record.value, record.headers)
                        hear(event, datetime.fromtimestamp(record.timestamp / 1000, UTC))
            await asyncio.sleep(0)
    finally:
        await consumer.stop()
