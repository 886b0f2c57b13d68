"""A desk of its own for one run: a database, a prefix for its topics, and nothing left of it afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from ops.demo.services import NAMES
from ops.stack import Addresses
from ops.topics import create_topics, delete_topics
from services.desk.app import Applied, Directory, Invalid, Left, open_directory
from shared.contracts.directory import DirectoryDocument
from shared.platform.migrations import upgrade
from shared.platform.redis_client import connect
from shared.platform.settings import PlatformSettings

PARTITIONS = 4

_REDIS_SECONDS = 5.0


class SetupFailedError(Exception):
    """The directory of the demo was not taken; the message says why."""


@asynccontextmanager
async def installation(addresses: Addresses, name: str) -> AsyncIterator["Installation"]:
    """Create an installation; `Installation.keep` says whether it stays when the block ends."""
    url = addresses.database_url.rsplit("/", 1)[0] + f"/{name}"
    settings = PlatformSettings(
        kafka=addresses.kafka,
        database_url=url,
        redis_url=addresses.redis_url,
        topic_prefix=f"{name.replace('_', '-')}.",
        log_level="INFO",
    )
    here = Installation(settings)
    try:
        await _administer(addresses, f'create database "{name}"')
        # The broker's own time in every record: the checker reads from it when something was there.
        await create_topics(
            settings.kafka,
            settings.topic_prefix,
            partitions=PARTITIONS,
            configs={"message.timestamp.type": "LogAppendTime"},
        )
        for service in NAMES:
            await asyncio.to_thread(upgrade, service, url)
        yield here
    finally:
        if not here.keep:
            await _remove(addresses, settings, name)


class Installation:
    """One desk on shared servers."""

    def __init__(self, settings: PlatformSettings) -> None:
        self.settings = settings
        self.keep = False

    def environment(self) -> dict[str, str]:
        """Return the variables that point a process at this installation."""
        return {
            "CHATDESK_KAFKA": self.settings.kafka,
            "CHATDESK_DATABASE_URL": self.settings.database_url,
            "CHATDESK_REDIS_URL": self.settings.redis_url,
            "CHATDESK_TOPIC_PREFIX": self.settings.topic_prefix,
            "CHATDESK_TOPIC_PARTITIONS": str(PARTITIONS),
        }

    async def describe(self, tenant_id: str, documents: list[DirectoryDocument]) -> None:
        """Put the tenant's documents into the desk's store and see them out to their topic."""
        async with open_directory(self.settings) as directory:
            await _apply(directory, tenant_id, documents)


async def _apply(directory: Directory, tenant_id: str, documents: list[DirectoryDocument]) -> None:
    plan = await directory.plan(tenant_id, documents)
    if isinstance(plan, Invalid):
        raise SetupFailedError("; ".join(problem.message for problem in plan.problems))
    applied = await directory.apply(plan)
    if not isinstance(applied, Applied):
        raise SetupFailedError(f"the directory was not taken: {applied}")
    left = await directory.publish()
    if not isinstance(left, Left):
        raise SetupFailedError(f"{left.rows} documents could not be published: {left.reason}")


async def _remove(addresses: Addresses, settings: PlatformSettings, name: str) -> None:
    await _administer(addresses, f'drop database if exists "{name}" with (force)')
    await delete_topics(settings.kafka, settings.topic_prefix)
    redis = connect(settings.redis_url, _REDIS_SECONDS)
    try:
        keys = [key async for key in redis.scan_iter(match=f"{settings.topic_prefix}*")]
        if keys:
            await redis.delete(*keys)
    finally:
        await redis.aclose()


async def _administer(addresses: Addresses, statement: str) -> None:
    connection = await asyncpg.connect(addresses.database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
