"""Presence's own schema in a database, and a corner of Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from ops.stack import Addresses
from shared.platform.database import Database
from tests.conftest import create_database, drop_database, unique
from tests.conftest import template_database as template
from tests.desk_events import a_tenant, an_agent_document
from tests.presence.harness import Presence, World, connected


@pytest.fixture
async def redis(servers: Addresses) -> AsyncIterator[Redis]:
    async with connected(servers.redis_url) as client:
        yield client


@pytest.fixture
async def prefix(redis: Redis) -> AsyncIterator[str]:
    """A prefix for keys that nobody else uses; what bears it is deleted afterwards."""
    name = unique("test-") + "."
    yield name
    if keys := await redis.keys(f"{name}*"):
        await redis.delete(*keys)


@pytest.fixture(scope="session")
def shared_database_url(servers: Addresses) -> Iterator[str]:
    """One database for all these tests: making one takes longer than most of them."""
    name = unique("test_presence_")
    yield asyncio.run(_copied_from_template(servers, name))
    asyncio.run(drop_database(servers, name))


async def _copied_from_template(servers: Addresses, name: str) -> str:
    return await create_database(servers, name, template=await template(servers))


@pytest.fixture
async def database(shared_database_url: str) -> AsyncIterator[Database]:
    """Presence's schema with empty tables."""
    opened = Database(shared_database_url, "presence")
    async with opened.transaction() as tx:
        await tx.execute(text("truncate agents, sessions, tenants, known_agents"))
    yield opened
    await opened.close()


@pytest.fixture
async def world(database: Database, redis: Redis, prefix: str) -> World:
    return World(database, redis, prefix)


@pytest.fixture
async def presence(world: World) -> Presence:
    """A replica that has heard signals, and held leases, for an hour; ann and ben are in the directory."""
    replica = world.replica()
    await replica.hear(
        a_tenant(lease_seconds=60, grace_seconds=30), an_agent_document("ann"), an_agent_document("ben")
    )
    await replica.sweep()
    await world.pass_time(3600)
    return replica
