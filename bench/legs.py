"""The legs of a round: routing itself, and the baselines, each as one process on a fresh desk."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
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


async def run_routing(settings: PlatformSettings, count: int, processes: int = 1) -> Measured:
    """Run routing on a desk where ``count`` new pairs wait, from its first commit until all is published.

    With several processes it is measured from when each of them has messages to work on. What was done is
    read from the store. Raises LegFailedError when it is not what had to be done.
    """
    connection = await asyncpg.connect(settings.database_url)
    try:
        async with AsyncExitStack() as stack:
            ports = [free_port(f"bench-{number}") for number in range(processes)]
            running = [
                await stack.enter_async_context(service_process("routing", settings, port)) for port in ports
            ]
            before = await _until(connection, running, 1)
            if processes > 1:
                await _until_all_work(ports)
                before = await _until(connection, running, 1)
            started, cpu, used = time.perf_counter(), _cpu_of(running), _machine()
            done = await _until(connection, running, count)
            await until_published(connection)
            seconds, spent = time.perf_counter() - started, _cpu_of(running) - cpu
            measured = Measured(done - before, seconds, spent, _busy(used, _machine()))
        await _prove(connection, count)
    finally:
        await connection.close()
    return measured


async def _until_all_work(ports: Sequence[int]) -> None:
    """Wait until every process has handled messages. Raises LegFailedError when patience ends before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with aiohttp.ClientSession() as session:
        for port in ports:
            while not await _has_read(session, port):
                if time.monotonic() > deadline:
                    raise LegFailedError("one of the processes got no messages")
                await asyncio.sleep(POLL_SECONDS)


async def _has_read(session: aiohttp.ClientSession, port: int) -> bool:
    """Whether a process has read messages of customers; one that does not answer yet has not."""
    try:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            told = await answer.text()
    except aiohttp.ClientConnectionError:
        return False
    return 'chatdesk_records_read_total{topic="inbound-messages.v1"}' in told


async def kafka_loop(addresses: Addresses, sizes: Sizes, sample: Path) -> Measured:
    """Measure B1."""
    async with stage.desk(addresses) as settings:
        await stage.publish(settings, workload.messages(sizes.baseline))
        return await baseline(settings, "kafka_loop", sizes.baseline, str(sample))


async def rows(addresses: Addresses, sizes: Sizes, sample: Path) -> Measured:
    """Measure B2."""
    async with stage.desk(addresses) as settings:
        measured = await baseline(settings, "rows", sizes.baseline, str(sample))
        connection = await asyncpg.connect(settings.database_url)
        try:
            await _prove_rows(connection, sizes.baseline)
        finally:
            await connection.close()
        return measured


async def codec(addresses: Addresses, sizes: Sizes, sample: Path) -> Measured:
    """Measure B3."""
    settings = PlatformSettings(kafka=addresses.kafka, database_url=addresses.database_url)
    return await baseline(settings, "codec", sizes.baseline, str(sample))


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
            measured = await baseline(settings, "naive", sizes.naive, str(sample))
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


async def baseline(settings: PlatformSettings, name: str, count: int, *arguments: str) -> Measured:
    """Run a baseline on a desk. Raises LegFailedError when it fails."""
    async with process(settings, "-m", f"bench.baselines.{name}", str(count), *arguments) as running:
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, _ = await running.communicate()
        if running.returncode:
            raise LegFailedError(f"{name} ended with {running.returncode}")
        return told(output.decode())


def service_process(
    name: str, settings: PlatformSettings, port: int
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Run a service itself as a process of its own."""
    command = "from ops.cli import main; main()"
    return process(settings, "-c", command, "run", name, "--port", str(port))


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


async def _until(
    connection: asyncpg.Connection, processes: Sequence[asyncio.subprocess.Process], count: int
) -> int:
    """Wait until so many assignments are committed, and return how many there are then."""
    # Loads are as many rows as there are agents: asking for them costs the leg nothing that shows.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (done := await connection.fetchval("select coalesce(sum(load), 0) from routing.agents")) < count:
        ended = [one.returncode for one in processes if one.returncode is not None]
        if ended or time.monotonic() > deadline:
            raise LegFailedError(f"routing assigned {done} of {count}; processes that ended: {ended}")
        await asyncio.sleep(POLL_SECONDS)
    return int(done)


async def until_handled(
    connection: asyncpg.Connection,
    processes: Sequence[asyncio.subprocess.Process],
    count: int,
    *,
    service: str = "routing",
    topic: str = "inbound-messages.v1",
) -> int:
    """Wait until so many records of a topic are handled, and return how many are then.

    Read from what the service commits with its batches; the topic must be fresh. Raises LegFailedError when
    a process ends or patience does.
    """
    handled = f"select coalesce(sum(next_offset), 0) from {service}.positions where topic = $1"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (done := await connection.fetchval(handled, topic)) < count:
        ended = [one.returncode for one in processes if one.returncode is not None]
        if ended or time.monotonic() > deadline:
            raise LegFailedError(f"{service} handled {done} of {count}; processes that ended: {ended}")
        await asyncio.sleep(POLL_SECONDS)
    return int(done)


async def until_published(connection: asyncpg.Connection) -> None:
    """Wait until routing's outbox is empty."""
    while await connection.fetchval("select exists(select from routing.outbox)"):  # noqa: ASYNC110 - theirs
        await asyncio.sleep(POLL_SECONDS)


async def _prove(connection: asyncpg.Connection, count: int) -> None:
    """Judge the work by the store: every pair has one chat, every chat an agent, nobody has too many."""
    await _prove_rows(connection, count)
    found = await connection.fetchrow(
        "select count(*) filter (where state = 'assigned') as assigned, count(distinct pair_key) as pairs,"
        " (select max(load) from routing.agents) as most, (select count(*) from routing.outbox) as unsent"
        " from routing.chats"
    )
    expected = {"assigned": count, "pairs": count, "unsent": 0}
    if dict(found) | expected != dict(found) or found["most"] > workload.CAPACITY:
        raise LegFailedError(f"the store says {dict(found)} instead of {expected}")


async def _prove_rows(connection: asyncpg.Connection, count: int) -> None:
    """Judge that routing and those it is compared with leave the same rows: a baseline may not do less."""
    found = await connection.fetchrow(
        "select (select count(*) from routing.pairs) as pairs, (select count(*) from routing.chats) as chats,"
        " (select count(*) from routing.due where kind = 'answer_overdue') as timers"
    )
    if set(dict(found).values()) != {count}:
        raise LegFailedError(f"the store has {dict(found)} rows instead of {count} each")


def _cpu_of(processes: Sequence[asyncio.subprocess.Process]) -> float:
    return sum(cpu_seconds(one.pid) for one in processes)


def _machine() -> tuple[int, int]:
    """Return all cores' ticks so far, from /proc: those in which somebody used them, and all."""
    user, nice, system, idle, waiting, *others = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    )
    used = user + nice + system + sum(others)
    return used, used + idle + waiting


def _busy(before: tuple[int, int], after: tuple[int, int]) -> float:
    used, all_of_them = (later - earlier for earlier, later in zip(before, after, strict=True))
    return used / all_of_them if all_of_them else 0.0


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
