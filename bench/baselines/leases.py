"""Heartbeats by hand: consume, one script call of Redis a batch, commit.

It keeps what presence keeps of a heartbeat: the session's lease, by agent; the agent's; and their newest
input. Nothing is judged, nobody's row is asked for, no record is checked.
"""

import json
import sys
import time
from datetime import datetime, timedelta

import uvloop
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis

from bench.measured import Measured, tell
from shared.platform.settings import PlatformSettings

BATCH = 2_000
"""As many records as the service takes at once."""
LEASE_MILLISECONDS = 300_000
_RENEW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = now + ARGV[1]
for _, beat in ipairs(cjson.decode(ARGV[2])) do
  local sessions = KEYS[1] .. beat[1]
  redis.call('ZADD', sessions, ends, beat[2])
  redis.call('PEXPIREAT', sessions, ends)
  redis.call('ZADD', KEYS[2], ends, beat[1])
  redis.call('ZADD', KEYS[3], now - beat[3], beat[1])
end
"""


async def main(count: int) -> None:
    """Consume ``count`` heartbeats and print the measurement."""
    settings = PlatformSettings()
    consumer = AIOKafkaConsumer(
        settings.topic_prefix + "agent-signals.v1",
        bootstrap_servers=settings.kafka,
        group_id=settings.topic_prefix + "raw-leases",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    redis: Redis = Redis.from_url(settings.redis_url)
    renew = redis.register_script(_RENEW)
    places = [f"{settings.topic_prefix}raw:{name}:" for name in ("sessions", "leases", "inputs")]
    async with consumer, redis:
        done = 0
        batch = await consumer.getmany(timeout_ms=10_000, max_records=BATCH)  # joining the group is no work
        started, cpu = time.perf_counter(), time.process_time()
        while True:
            beats = [_beat(record.value) for records in batch.values() for record in records]
            await renew(places, [LEASE_MILLISECONDS, json.dumps(beats)])
            await consumer.commit({tp: records[-1].offset + 1 for tp, records in batch.items() if records})
            done += len(beats)
            if done >= count:
                break
            batch = await consumer.getmany(timeout_ms=1_000, max_records=BATCH)
        tell(Measured(done, time.perf_counter() - started, time.process_time() - cpu))


def _beat(value: bytes) -> tuple[str, str, int]:
    """Return who beats, their session, and how many milliseconds ago they had input."""
    event = json.loads(value)
    said = event["data"]
    quiet = datetime.fromisoformat(event["time"]) - datetime.fromisoformat(said["active_at"])
    return said["agent_id"], said["session_id"], quiet // timedelta(milliseconds=1)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
