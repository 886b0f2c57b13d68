"""What every test of real servers stands on: fresh databases, fresh topics, services as processes."""

import asyncio
import hashlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis

from ops.serving import MIGRATED
from ops.stack import Addresses, ensure_up
from ops.topics import create_topics, delete_topics
from shared.platform.migrations import upgrade
from shared.platform.settings import PlatformSettings
from tests.processes import ServiceProcess

# A slow machine is no failure of a property.
hypothesis_settings.register_profile("desk", deadline=None, print_blob=True)
hypothesis_settings.load_profile("desk")

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
"""Of every topic of a test's installation: fewer than in production, so that topics are made quickly."""
_numbers = itertools.count()


@dataclass(frozen=True)
class Installation:
    """One desk of its own on the shared servers: a database, a topic prefix, all migrations applied."""

    settings: PlatformSettings

    def environment(self) -> dict[str, str]:
        """Return the variables that point a process at this installation."""
        return {
            "CHATDESK_KAFKA": self.settings.kafka,
            "CHATDESK_DATABASE_URL": self.settings.database_url,
            "CHATDESK_REDIS_URL": self.settings.redis_url,
            "CHATDESK_TOPIC_PREFIX": self.settings.topic_prefix,
            "CHATDESK_TOPIC_PARTITIONS": str(PARTITIONS),
        }


def pytest_configure(config: pytest.Config) -> None:
    """Start containers for the run if asked to; xdist's workers are children of ours and hear of them so."""
    asked = os.environ.get("TEST_SERVERS")
    if not asked or config.option.collectonly or hasattr(config, "workerinput"):
        return
    if asked != "containers":
        raise pytest.UsageError(f"TEST_SERVERS is `containers` or nothing, not {asked!r}")
    # Imported here alone: no other run needs a Docker client.
    from tests.containerised import NotHadError, started  # noqa: PLC0415

    # What ends a run from outside must not leave containers behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    running = ExitStack()
    try:
        os.environ |= running.enter_context(started())
    except NotHadError as refusal:
        raise pytest.UsageError(f"NOT RUN: {refusal}") from None
    config.add_cleanup(running.close)


def pytest_report_header() -> str:
    if os.environ.get("TEST_SERVERS"):
        return "servers: containers of this run's own"
    given = [
        name
        for name in ("CHATDESK_KAFKA", "CHATDESK_DATABASE_URL", "CHATDESK_REDIS_URL")
        if os.environ.get(name)
    ]
    return f"servers: {', '.join(given) + ' from the environment' if given else 'the local stack'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what did not run, whatever the options: a skipped test must not pass for a green one."""
    skipped = terminalreporter.getreports("skipped")
    if not skipped:
        return
    terminalreporter.section(f"NOT RUN: {len(skipped)}", red=True)
    for report in skipped:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"{report.nodeid}: {why.removeprefix('Skipped: ')}", red=True)


def unique(word: str) -> str:
    """Return a name no other test run uses."""
    return f"{word}{os.getpid()}x{next(_numbers)}x{time.time_ns() % 10**9}"


@pytest.fixture(scope="session")
def servers() -> Addresses:
    return ensure_up()


async def create_database(servers: Addresses, name: str, template: str = "template1") -> str:
    """Create a database and return its URL."""
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute(f"create database {name} template {template}")
    finally:
        await connection.close()
    return servers.database_url.rsplit("/", 1)[0] + "/" + name


async def drop_database(servers: Addresses, name: str) -> None:
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute(f"drop database if exists {name} with (force)")
    finally:
        await connection.close()


async def delete_keys(redis_url: str, prefix: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        if keys := [key async for key in redis.scan_iter(match=f"{prefix}*", count=1000)]:
            await redis.delete(*keys)


@pytest.fixture
async def database_url(servers: Addresses) -> AsyncIterator[str]:
    """A database of its own with every migration applied, dropped afterwards."""
    name = unique("test_")
    yield await create_database(servers, name, template=await template_database(servers))
    await drop_database(servers, name)


@pytest.fixture
async def empty_database_url(servers: Addresses) -> AsyncIterator[str]:
    """A database of its own without anything in it, dropped afterwards."""
    name = unique("test_")
    yield await create_database(servers, name)
    await drop_database(servers, name)


async def template_database(servers: Addresses) -> str:
    """Return the database that others are copied from, made once for each state of the migrations."""
    sources = [*ROOT.glob("services/*/migrations/versions/*.py"), ROOT / "shared/platform/tables.py"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()[:16]
    name = f"chatdesk_template_{digest}"
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute("select pg_advisory_lock(hashtext('chatdesk test template'))")
        if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
            unfinished = unique("unfinished_")
            url = await create_database(servers, unfinished)
            for service in MIGRATED:
                await asyncio.to_thread(upgrade, service, url)
            await connection.execute(f"alter database {unfinished} rename to {name}")
    finally:
        await connection.close()
    return name


@pytest.fixture
def migrated(database_url: str) -> "Migrated":
    return Migrated(database_url)


class Migrated:
    """This test's database, with the schemas of the services it names."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, *services: str) -> str:
        assert set(services) <= set(MIGRATED)
        return self.url


@pytest.fixture
async def installation(servers: Addresses, database_url: str) -> AsyncIterator[Installation]:
    """A desk of its own, removed afterwards: topics created, no schema yet (see `migrated`)."""
    prefix = unique("test-") + "."
    await create_topics(servers.kafka, prefix, partitions=PARTITIONS)
    yield Installation(
        PlatformSettings(
            kafka=servers.kafka,
            database_url=database_url,
            redis_url=servers.redis_url,
            topic_prefix=prefix,
        )
    )
    # A broker that keeps the topics of every test ever run no longer starts one day.
    await delete_topics(servers.kafka, prefix)
    await delete_keys(servers.redis_url, prefix)


@pytest.fixture
def processes(installation: Installation) -> Iterator["Processes"]:
    """Starts services as processes of their own, and stops what is left of them."""
    started = Processes(installation)
    yield started
    started.stop_all()


class Processes:
    """The service processes of one test."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._started: list[ServiceProcess] = []

    def start(self, service: str, **environment: str) -> ServiceProcess:
        """Start a service and return at once; `until_ready` waits for it."""
        process = ServiceProcess(service, self._installation.environment() | environment)
        self._started.append(process)
        return process

    def stop_all(self) -> None:
        """Stop what still runs."""
        for process in self._started:
            process.stop()
