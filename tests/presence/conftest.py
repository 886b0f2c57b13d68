"""Presence's own schema in a database of its own, and a corner of Redis."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from ops.stack import Addresses
from shared.platform.database import Database
from tests.conftest import Migrated, unique
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


@pytest.fixture
async def database(migrated: Migrated) -> AsyncIterator[Database]:
    opened = Database(await migrated("presence"), "presence")
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
