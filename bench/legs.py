"""The legs of a round: routing itself, and the baselines, each as one process on a fresh desk."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench import stage, workload
from bench.measured import Measured, told
from ops.stack import Addresses
from ops.stack.ports import free_port
from shared.platform.settings import PlatformSettings

PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


class LegFailedError(Exception):
    """A leg did not do its work; the message says what is missing."""


@dataclass(frozen=True)
class Sizes:
    """How many messages each leg is measured over."""

    routing: int = 20_000
    baseline: int = 20_000
    naive: int = 1_000


Leg = Callable[[Addresses, Sizes, Path], Awaitable[Measured]]


async def routing(addresses: Addresses, sizes: Sizes, _: Path) -> Measured:
    """Measure the real service, one process, everything on, until the last assignment is published."""
    async with stage.desk(addresses) as settings:
        await stage.publish(settings, workload.setting())
        await stage.publish(settings, workload.messages(sizes.routing))
        return await run_routing(settings, sizes.routing)


async def run_routing(settings: PlatformSettings, count: int) -> Measured:
    """Run routing on a desk where ``count`` new pairs wait, from its first commit until all is published.

    What was done is read from the store. Raises LegFailedError when it is not what had to be done.
    """
    connection = await asyncpg.connect(settings.database_url)
    try:
        service = "from ops.cli import main; main()"
        async with _process(
            settings, "-c", service, "run", "routing", "--port", str(free_port("bench"))
        ) as process:
            before = await _until(connection, process, 1)
            started, cpu = time.perf_counter(), _cpu_seconds(process.pid)
            done = await _until(connection, process, count)
            await _until_published(connection)
            measured = Measured(done - before, time.perf_counter() - started, _cpu_seconds(process.pid) - cpu)
        await _prove(connection, count)
    finally:
        await connection.close()
    return measured


async def kafka_loop(addresses: Addresses, sizes: Sizes, sample: Path) -> Measured:
    """Measure B1."""
    async with stage.desk(addresses) as settings:
        await stage.publish(settings, workload.messages(sizes.baseline))
        return await _baseline(settings, "kafka_loop", sizes.baseline, sample)


async def rows(addresses: Addresses, sizes: Sizes, sample: Path) -> Measured:
    """Measure B2."""
    async with stage.desk(addresses) as settings:
        return await _baseline(settings, "rows", sizes.baseline, sample)


async def codec(addresses: Addresses, sizes: Sizes, sample: Path) -> Measured:
    """Measure B3."""
    settings = PlatformSettings(kafka=addresses.kafka, database_url=addresses.database_url)
    return await _baseline(settings, "codec", sizes.baseline, sample)


async def naive(addresses: Addresses, sizes: Sizes, sample: Path) -> Measured:
    """Measure the naive service, on the floor that routing has."""
    async with stage.desk(addresses) as settings:
        await stage.publish(settings, workload.messages(sizes.naive))
        connection = await asyncpg.connect(settings.database_url)
        try:
            await connection.execute(
                "insert into routing.agents (tenant_id, agent_id, capacity, departments, state)"
                " select $1, 'agent-' || n, $2, array[$3], 'online' from generate_series(1, $4::int) as n",
                workload.TENANT,
                workload.CAPACITY,
                workload.DEPARTMENT,
                workload.AGENTS,
            )
            await connection.execute(
                "insert into routing.departments values ($1, $2)", workload.TENANT, workload.DEPARTMENT
            )
            measured = await _baseline(settings, "naive", sizes.naive, sample)
            await _prove(connection, sizes.naive)
        finally:
            await connection.close()
        return measured


LEGS: dict[str, Leg] = {
    "routing": routing,
    "kafka_loop": kafka_loop,
    "rows": rows,
    "codec": codec,
    "naive": naive,
}


async def _baseline(settings: PlatformSettings, name: str, count: int, sample: Path) -> Measured:
    async with _process(settings, "-m", f"bench.baselines.{name}", str(count), str(sample)) as process:
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, _ = await process.communicate()
        if process.returncode:
            raise LegFailedError(f"{name} ended with {process.returncode}")
        return told(output.decode())


@asynccontextmanager
async def _process(settings: PlatformSettings, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = os.environ | {
        "CHATDESK_KAFKA": settings.kafka,
        "CHATDESK_DATABASE_URL": settings.database_url,
        "CHATDESK_REDIS_URL": settings.redis_url,
        "CHATDESK_TOPIC_PREFIX": settings.topic_prefix,
        "CHATDESK_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _until(connection: asyncpg.Connection, process: asyncio.subprocess.Process, count: int) -> int:
    """Wait until so many assignments are committed, and return how many there are then."""
    # Loads are as many rows as there are agents: asking for them costs the leg nothing that shows.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (done := await connection.fetchval("select coalesce(sum(load), 0) from routing.agents")) < count:
        if process.returncode is not None or time.monotonic() > deadline:
            raise LegFailedError(f"routing assigned {done} of {count} and ended with {process.returncode}")
        await asyncio.sleep(_POLL_SECONDS)
    return int(done)


async def _until_published(connection: asyncpg.Connection) -> None:
    while await connection.fetchval("select exists(select from routing.outbox)"):  # noqa: ASYNC110 - theirs
        await asyncio.sleep(_POLL_SECONDS)


async def _prove(connection: asyncpg.Connection, count: int) -> None:
    """Judge the work by the store: every pair has one chat, every chat an agent, nobody has too many."""
    found = await connection.fetchrow(
        "select count(*) filter (where state = 'assigned') as assigned, count(distinct pair_key) as pairs,"
        " (select max(load) from routing.agents) as most, (select count(*) from routing.outbox) as unsent"
        " from routing.chats"
    )
    expected = {"assigned": count, "pairs": count, "unsent": 0}
    if dict(found) | expected != dict(found) or found["most"] > workload.CAPACITY:
        raise LegFailedError(f"the store says {dict(found)} instead of {expected}")


def _cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
