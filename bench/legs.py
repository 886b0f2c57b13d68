"""The legs of a round: routing itself, and the baselines, each as one process on a fresh desk."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench import stage, workload
from bench.measured import Measured, told
from ops.stack import Addresses
from ops.stack.ports import free_port
from shared.platform.settings import PlatformSettings

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.02
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
        measured = await run_routing(settings, sizes.routing)
    if not measured.messages:
        raise LegFailedError(f"all {sizes.routing} messages were one batch: nothing was left to measure")
    return measured


async def run_routing(settings: PlatformSettings, count: int) -> Measured:
    """Run routing on a desk where ``count`` new pairs wait, from its first commit until all is published.

    What was done is read from the store. Raises LegFailedError when it is not what had to be done.
    """
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with routing_process(settings, free_port("bench")) as running:
            before = await _until(connection, running, 1)
            started, cpu = time.perf_counter(), cpu_seconds(running.pid)
            done = await _until(connection, running, count)
            await until_published(connection)
            measured = Measured(done - before, time.perf_counter() - started, cpu_seconds(running.pid) - cpu)
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
    async with process(settings, "-m", f"bench.baselines.{name}", str(count), str(sample)) as running:
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, _ = await running.communicate()
        if running.returncode:
            raise LegFailedError(f"{name} ended with {running.returncode}")
        return told(output.decode())


def routing_process(
    settings: PlatformSettings, port: int
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Run routing itself as a process of its own."""
    service = "from ops.cli import main; main()"
    return process(settings, "-c", service, "run", "routing", "--port", str(port))


@asynccontextmanager
async def process(settings: PlatformSettings, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Python on a desk, as a process that is gone afterwards."""
    environment = os.environ | {
        "CHATDESK_KAFKA": settings.kafka,
        "CHATDESK_DATABASE_URL": settings.database_url,
        "CHATDESK_REDIS_URL": settings.redis_url,
        "CHATDESK_TOPIC_PREFIX": settings.topic_prefix,
        "CHATDESK_LOG_LEVEL": "ERROR",
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
            await running.wait()


async def _until(connection: asyncpg.Connection, process: asyncio.subprocess.Process, count: int) -> int:
    """Wait until so many assignments are committed, and return how many there are then."""
    # Loads are as many rows as there are agents: asking for them costs the leg nothing that shows.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (done := await connection.fetchval("select coalesce(sum(load), 0) from routing.agents")) < count:
        if process.returncode is not None or time.monotonic() > deadline:
            raise LegFailedError(f"routing assigned {done} of {count} and ended with {process.returncode}")
        await asyncio.sleep(POLL_SECONDS)
    return int(done)


async def until_handled(
    connection: asyncpg.Connection, processes: Sequence[asyncio.subprocess.Process], count: int
) -> int:
    """Wait until so many messages are handled, and return how many are then.

    Read from what routing commits with its batches; the topic must be fresh. Raises LegFailedError when a
    process ends or patience does.
    """
    handled = "select coalesce(sum(next_offset), 0) from routing.positions where topic = $1"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (done := await connection.fetchval(handled, "inbound-messages.v1")) < count:
        ended = [one.returncode for one in processes if one.returncode is not None]
        if ended or time.monotonic() > deadline:
            raise LegFailedError(f"routing handled {done} of {count}; processes that ended: {ended}")
        await asyncio.sleep(POLL_SECONDS)
    return int(done)


async def until_published(connection: asyncpg.Connection) -> None:
    """Wait until routing's outbox is empty."""
    while await connection.fetchval("select exists(select from routing.outbox)"):  # noqa: ASYNC110 - theirs
        await asyncio.sleep(POLL_SECONDS)


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


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
