"""The naive service: FastStream as its tutorial shows it, one message and one transaction at a time.

It pays for the same durability: schema, dedupe, locks, capacity, timers, outbox and order of effects. It
only does everything for one message before it looks at the next. What is left out costs nothing while
nothing fails: the relay that would send what a crash leaves in its outbox.
"""

import asyncio
import hashlib
import os
import sys
import time
import uuid
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import uvloop
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from pydantic import BaseModel

from bench.measured import Measured, tell
from bench.workload import DEPARTMENT
from shared.platform.clock import SystemClock
from shared.platform.settings import PlatformSettings

_CLOCK = SystemClock()
_ANSWER_TIMEOUT = timedelta(minutes=10)


class Content(BaseModel):
    """What was written."""

    kind: str
    text: str


class Message(BaseModel):
    """An inbound message."""

    channel: str
    business_address: str
    customer_address: str
    provider: str
    provider_message_id: str
    sent_at: datetime
    received_at: datetime
    content: Content


class Inbound(BaseModel):
    """Its envelope."""

    id: str
    source: str
    tenantid: str
    data: Message


class Naive:
    """Places one message after the other."""

    def __init__(self, pool: Any, broker: KafkaBroker, prefix: str) -> None:
        self._pool = pool
        self._publisher = broker.publisher(prefix + "chats.v1")

    async def receive(self, event: Inbound) -> None:
        """Place one message: one transaction, then publish, then forget what was published."""
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                outbox = await self._place(connection, event)
            for key, value in outbox:
                await self._publisher.publish(value, key=key.encode(), no_confirm=False)
            await connection.execute("delete from outbox where key = any($1)", [key for key, _ in outbox])

    async def _place(self, connection: Any, event: Inbound) -> list[tuple[str, dict[str, Any]]]:
        message = event.data
        digest = hashlib.blake2b(
            f"{event.tenantid}:{message.provider}:{message.provider_message_id}".encode(), digest_size=16
        ).digest()
        now = _CLOCK.now()
        if not await connection.fetchval(
            "insert into processed_events (digest, seen_at) values ($1, $2)"
            " on conflict do nothing returning 1",
            digest,
            now,
        ):
            return []
        pair = f"{event.tenantid}:{message.channel}:{message.business_address}:{message.customer_address}"
        await connection.execute("insert into pairs values ($1) on conflict do nothing", pair)
        await connection.fetch("select 1 from pairs where pair_key = $1 for update", pair)
        if await connection.fetchval("select 1 from chats where pair_key = $1 and state <> 'closed'", pair):
            return []
        await connection.fetch(
            "select 1 from departments where tenant_id = $1 and department_id = $2 for update",
            event.tenantid,
            DEPARTMENT,
        )
        agent = await connection.fetchval(
            "update agents set load = load + 1, last_assigned_at = $3 where tenant_id = $1 and agent_id ="
            " (select agent_id from agents where tenant_id = $1 and $2 = any(departments)"
            " and state = 'online' and load < capacity order by load, last_assigned_at nulls first limit 1)"
            " returning agent_id",
            event.tenantid,
            DEPARTMENT,
            now,
        )
        chat_id = str(uuid.uuid5(uuid.NAMESPACE_URL, pair))
        chat = {"chat_id": chat_id, "state": "assigned", "agent_id": agent, "department_id": DEPARTMENT}
        await connection.execute(
            "insert into chats (tenant_id, chat_id, pair_key, business_address, customer_address,"
            " customer_id, state, opened_at, version, assignment_version, department_id, agent_id, priority,"
            " opened_by, last_inbound_at, last_word) values"
            " ($1, $2, $3, $4, $5, $2, 'assigned', $6, 3, 1, $7, $8, 0, 'customer', $9, 'customer')",
            event.tenantid,
            chat_id,
            pair,
            message.business_address,
            message.customer_address,
            now,
            DEPARTMENT,
            agent,
            message.sent_at,
        )
        await connection.execute(
            "insert into due (kind, key, tenant_id, at, sweep) values ('answer_overdue', $1, $2, $3, false)"
            " on conflict (kind, key) do update set at = excluded.at",
            f"{event.tenantid}:{chat_id}",
            event.tenantid,
            message.received_at + _ANSWER_TIMEOUT,
        )
        outbox = [
            (pair, {"type": f"chatdesk.chat.{word}.v1", "tenantid": event.tenantid, "data": {**chat, **more}})
            for word, more in (
                ("opened", {}),
                ("message_added", message.model_dump(mode="json")),
                ("assigned", {}),
            )
        ]
        for key, value in outbox:
            await connection.execute(
                "insert into outbox (lane, topic, key, value, created_at) values (0, 'chats.v1', $1, $2, $3)",
                key,
                str(value).encode(),
                now,
            )
        return outbox


async def main(count: int) -> None:
    """Place ``count`` messages and print the measurement."""
    settings = PlatformSettings()
    broker = KafkaBroker(settings.kafka, logger=None, acks="all", enable_idempotence=True)
    pool = await asyncpg.create_pool(settings.database_url, server_settings={"search_path": "routing"})
    naive = Naive(pool, broker, settings.topic_prefix)
    finished = asyncio.Event()
    done = 0
    started = cpu = 0.0

    @broker.subscriber(
        settings.topic_prefix + "inbound-messages.v1",
        group_id=settings.topic_prefix + "naive",
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.NACK_ON_ERROR,
    )
    async def received(event: Inbound) -> None:
        nonlocal done, started, cpu
        if not started:
            started, cpu = time.perf_counter(), time.process_time()
        await naive.receive(event)
        done += 1
        if done == count:
            tell(Measured(done, time.perf_counter() - started, time.process_time() - cpu))
            finished.set()

    async with broker:
        await broker.start()
        await finished.wait()
    await pool.close()


if __name__ == "__main__":
    os.environ.setdefault("FASTSTREAM_LOG_LEVEL", "ERROR")
    uvloop.run(main(int(sys.argv[1])))
