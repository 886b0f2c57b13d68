"""Eight processes of routing on real servers: one agent with room for five, thousands of chats."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from ops.stack import Addresses
from ops.topics import create_topics, delete_topics
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatClose
from shared.contracts.chats import ChatAssigned, ChatFact
from shared.platform.database import Database
from shared.platform.settings import PlatformSettings
from tests import desk_events as desk
from tests.conftest import Installation, Processes, unique
from tests.processes import ServiceProcess
from tests.routing.wrongs import HELD_UNASSIGNED, MISCOUNTED, STUCK
from tests.topics import events_on, publish

pytestmark = [pytest.mark.long, pytest.mark.servers]

WORKERS, PARTITIONS = 8, 16
CHATS, CAPACITY, ROUNDS = 5_000, 5, 12
WAIT_SECONDS = 120.0
HELD = "select chat_id from chats where state = 'assigned' order by chat_id"


@pytest.fixture
async def installation(servers: Addresses, database_url: str) -> AsyncIterator[Installation]:
    """A desk with enough partitions for every worker to have two."""
    prefix = unique("eight-") + "."
    await create_topics(servers.kafka, prefix, partitions=PARTITIONS)
    yield Installation(
        PlatformSettings(
            kafka=servers.kafka,
            database_url=database_url,
            redis_url=servers.redis_url,
            topic_prefix=prefix,
        )
    )
    await delete_topics(servers.kafka, prefix)


class Tables:
    """Routing's tables, asked again and again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, query: str) -> Sequence[Any]:
        async with self._database.transaction() as tx:
            return (await tx.execute(text(query))).all()

    async def until(self, query: str, expected: int) -> None:
        """Wait until a count is as expected. Raises AssertionError with what it is instead."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := (await self.rows(query))[0][0]) != expected:
            assert time.monotonic() < deadline, f"{query}: {found} instead of {expected}"
            await asyncio.sleep(0.05)

    async def until_at_rest(self) -> None:
        """Wait until nothing is due now, nor left to be published."""
        await self.until("select count(*) from due where at <= now()", 0)
        await self.until("select count(*) from outbox", 0)

    async def have_nothing_wrong(self) -> None:
        for query in (MISCOUNTED, STUCK, HELD_UNASSIGNED, "select * from parked_records"):
            assert await self.rows(query) == []


@pytest.fixture
async def tables(installation: Installation) -> AsyncIterator[Tables]:
    database = Database(installation.settings.database_url, "routing", connections=2)
    yield Tables(database)
    await database.close()


async def workers(installation: Installation, processes: Processes) -> list[ServiceProcess]:
    """Start eight, with a department in which Ann is the only agent."""
    environment = {"CHATDESK_TOPIC_PARTITIONS": str(PARTITIONS)}
    started = [processes.start("routing", **environment) for _ in range(WORKERS)]
    for one in started:
        await asyncio.to_thread(one.until_ready)
    department = desk.a_department(max_wait_seconds=86_400)
    agent = desk.an_agent_document(capacity=CAPACITY)
    await publish(installation.settings, map(desk.an_event, [desk.a_tenant(), department, agent]))
    await publish(installation.settings, [desk.an_event(desk.agent_changed())])
    return started


async def test_eight_workers_never_exceed_a_capacity_nor_leave_anybody_beside_a_free_agent(
    installation: Installation, processes: Processes, tables: Tables
) -> None:
    settings = installation.settings
    started = await workers(installation, processes)
    await tables.until("select count(*) from agents where state = 'online' and capacity = 5", 1)
    before = [await asyncio.to_thread(one.metric, "chatdesk_records_read_total") for one in started]
    messages = [desk.an_event(desk.a_message(customer=f"+2782{n:07}")) for n in range(CHATS)]
    await publish(settings, messages)
    # Some of them twice, read by whoever has their partition.
    await publish(settings, messages[::50])
    await tables.until("select count(*) from chats", CHATS)
    after = [await asyncio.to_thread(one.metric, "chatdesk_records_read_total") for one in started]
    assert all(now > then for now, then in zip(after, before, strict=True)), "somebody had nothing to do"

    supervisor = Actor(role="supervisor", id="sue")
    for closed in range(CAPACITY, CAPACITY * (ROUNDS + 1), CAPACITY):
        await tables.until("select count(*) from chats where state = 'assigned'", CAPACITY)
        held = [chat_id for (chat_id,) in await tables.rows(HELD)]
        await publish(
            settings, [desk.an_event(ChatClose(by=supervisor, chat_id=chat_id)) for chat_id in held]
        )
        await tables.until("select count(*) from chats where state = 'closed'", closed)
    await tables.until("select count(*) from chats where state = 'assigned'", CAPACITY)
    await tables.until_at_rest()
    await tables.have_nothing_wrong()

    holders: dict[str, list[str]] = {}
    versions: dict[str, int] = {}
    for event in await events_on(settings, "chats.v1"):
        fact = event.data
        if not isinstance(fact, ChatFact):
            continue
        if fact.version == versions.get(fact.chat_id, 0):
            continue  # published again: somebody lost a lane
        assert fact.version == versions.get(fact.chat_id, 0) + 1
        versions[fact.chat_id] = fact.version
        if isinstance(fact, ChatAssigned):
            assert fact.agent_load is not None
            assert fact.agent_load <= CAPACITY
            holders.setdefault(fact.chat_id, []).append(str(fact.agent_id))
    assert len(versions) == CHATS
    assert len(holders) == CAPACITY * (ROUNDS + 1)
    assert all(agents == ["ann"] for agents in holders.values())
