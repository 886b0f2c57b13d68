"""B1: a raw aiokafka loop, consume → produce → commit in batches of 500; no database, nothing decoded.

For each message it sends what routing published for one.
"""

import asyncio
import sys
import time
from itertools import cycle
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.measured import Measured, tell
from bench.sample import load
from shared.platform.settings import PlatformSettings

BATCH = 500


async def main(count: int, path: Path) -> None:
    """Consume ``count`` messages and print the measurement."""
    settings = PlatformSettings()
    answers = cycle(load(path).published)
    consumer = AIOKafkaConsumer(
        settings.topic_prefix + "inbound-messages.v1",
        bootstrap_servers=settings.kafka,
        group_id=settings.topic_prefix + "kafka-loop",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        max_batch_size=262_144,
        linger_ms=5,
    )
    target = settings.topic_prefix + "chats.v1"
    async with consumer, producer:
        done = 0
        first = await consumer.getmany(timeout_ms=10_000, max_records=BATCH)  # joining the group is no work
        started, cpu = time.perf_counter(), time.process_time()
        batch = first
        while True:
            sent = []
            for records in batch.values():
                for _ in records:
                    sent += [await producer.send(target, value, key=key) for key, value in next(answers)]
                done += len(records)
            await asyncio.gather(*sent)
            await consumer.commit({tp: records[-1].offset + 1 for tp, records in batch.items() if records})
            if done >= count:
                break
            batch = await consumer.getmany(timeout_ms=1_000, max_records=BATCH)
        tell(Measured(done, time.perf_counter() - started, time.process_time() - cpu))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
