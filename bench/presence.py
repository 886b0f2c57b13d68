"""P6: presence on heartbeats against a raw loop on the same ones, and how late it tells who is lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis

from bench import stage
from bench.legs import PATIENCE_SECONDS, LegFailedError, baseline, cpu_seconds, service_process, until_handled
from bench.measured import Measured
from ops.stack import Addresses
from ops.stack.ports import free_port
from shared.contracts import cloudevents
from shared.contracts.agent_signals import AgentHeartbeat, AgentSignedIn
from shared.contracts.agents import AgentChanged
from shared.contracts.catalogue import fact
from shared.contracts.directory import AgentDocument, TenantDocument
from shared.contracts.event import Cause, Event, Model
from shared.platform.clock import SystemClock
from shared.platform.settings import PlatformSettings

CLOCK = SystemClock()
TENANT = "bench"
SIGNALS = "agent-signals.v1"
AGENTS = 2_000
HEARTBEATS = 40_000
LEASE_SECONDS = 300
"""Long enough that nobody is lost while heartbeats are measured."""
WATCHED = 48
"""Agents who are lost one after the other, so that they are spread over the rounds of every timer."""
SHORT_LEASE, SHORT_GRACE = 3, 2
"""Seconds."""
APART_SECONDS = 0.037


def legs(addresses: Addresses, heartbeats: int) -> Mapping[str, Callable[[], Awaitable[Measured]]]:
    """Return the legs ``presence``, ``raw_leases`` and ``loss``."""
    return {
        "presence": partial(_presence, addresses, heartbeats),
        "raw_leases": partial(_raw_leases, addresses, heartbeats),
        "loss": partial(_loss, addresses),
    }


async def _presence(addresses: Addresses, heartbeats: int) -> Measured:
    """Measure one presence process on heartbeats that wait, all of which renew a lease."""
    async with stage.desk(addresses, service="presence") as settings, _store(settings) as store:
        await stage.publish(settings, _setting(AGENTS, LEASE_SECONDS, 60))
        await stage.publish(settings, (_signed_in(number) for number in range(AGENTS)))
        async with service_process("presence", settings, free_port("bench")):
            await _until_online(store, AGENTS)
        come_in = await _leases(settings)
        await stage.publish(settings, _heartbeats(heartbeats))
        every = AGENTS + heartbeats
        async with service_process("presence", settings, free_port("bench")) as running:
            until = partial(until_handled, store, [running], service="presence", topic=SIGNALS)
            before = await until(AGENTS + 1)
            started, cpu = time.perf_counter(), cpu_seconds(running.pid)
            done = await until(every)
            measured = Measured(done - before, time.perf_counter() - started, cpu_seconds(running.pid) - cpu)
        await _prove(store, come_in, await _leases(settings))
    if not measured.messages:
        raise LegFailedError(f"all {heartbeats} heartbeats were one batch: nothing was left to measure")
    return measured


async def _raw_leases(addresses: Addresses, heartbeats: int) -> Measured:
    """Measure the raw loop on the same heartbeats."""
    async with stage.desk(addresses, service="presence") as settings:
        await stage.publish(settings, _heartbeats(heartbeats))
        return await baseline(settings, "leases", heartbeats)


async def _loss(addresses: Addresses) -> Measured:
    """Measure how long after lease and grace it is read on Kafka that an agent is lost, at the worst."""
    async with stage.desk(addresses, service="presence") as settings, _store(settings) as store:
        await stage.publish(settings, _setting(WATCHED, SHORT_LEASE, SHORT_GRACE))
        async with service_process("presence", settings, free_port("bench")) as running:
            await stage.publish(settings, (_signed_in(number) for number in range(WATCHED)))
            await _until_online(store, WATCHED)
            started, cpu = time.perf_counter(), cpu_seconds(running.pid)
            telling = asyncio.create_task(_told_lost(settings, WATCHED))
            last_heard = await _fall_silent(settings)
            told = await telling
            seconds, spent = time.perf_counter() - started, cpu_seconds(running.pid) - cpu
    allowed = timedelta(seconds=SHORT_LEASE + SHORT_GRACE)
    late = max(told[agent] - last_heard[agent] - allowed for agent in told)
    return Measured(len(told), seconds, spent, late_seconds=late.total_seconds())


async def _fall_silent(settings: PlatformSettings) -> dict[str, datetime]:
    """Send every agent's last heartbeat, one after the other; returns when each was sent."""
    heard: dict[str, datetime] = {}
    for number in range(WATCHED):
        heartbeat = _heartbeat(number, f"last-{number}")
        await stage.publish(settings, [heartbeat])
        heard[_name(number)] = heartbeat.time
        await asyncio.sleep(APART_SECONDS)
    return heard


async def _told_lost(settings: PlatformSettings, count: int) -> dict[str, datetime]:
    """Read until so many agents are said to be lost; returns when each was read."""
    told: dict[str, datetime] = {}
    consumer = AIOKafkaConsumer(
        settings.topic_prefix + "agents.v1",
        bootstrap_servers=settings.kafka,
        auto_offset_reset="earliest",
    )
    async with consumer:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(told) < count:
                    record = await consumer.getone()
                    change = cloudevents.decode(record.value, record.headers).data
                    if isinstance(change, AgentChanged) and change.cause == "lost":
                        told[change.agent_id] = CLOCK.now()
        except TimeoutError:
            raise LegFailedError(f"{len(told)} of {count} agents were told to be lost") from None
    return told


@asynccontextmanager
async def _store(settings: PlatformSettings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(settings.database_url, server_settings={"search_path": "presence"})
    try:
        yield connection
    finally:
        await connection.close()


async def _until_online(store: asyncpg.Connection, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (online := await store.fetchval("select count(*) from agents where state = 'online'")) < count:
        if time.monotonic() > deadline:
            raise LegFailedError(f"{online} of {count} agents came online")
        await asyncio.sleep(0.02)


async def _leases(settings: PlatformSettings) -> dict[str, float]:
    """Return when every agent's lease ends, in Redis' milliseconds."""
    client: Redis = Redis.from_url(settings.redis_url, decode_responses=True)
    async with client as redis:
        place = f"{settings.topic_prefix}presence:{{{TENANT}}}:leases"
        ends: list[Any] = await redis.zrange(place, 0, -1, withscores=True)
        return dict(ends)


async def _prove(store: asyncpg.Connection, before: dict[str, float], after: dict[str, float]) -> None:
    """Judge the work by the stores: every lease was renewed, and nobody's state was touched."""
    renewed = sum(after.get(agent, 0) > end for agent, end in before.items())
    touched = await store.fetchval("select count(*) from agents where version <> 1 or state <> 'online'")
    parked = await store.fetchval("select count(*) from parked_records")
    if (len(before), renewed, touched, parked) != (AGENTS, AGENTS, 0, 0):
        raise LegFailedError(
            f"of {len(before)} leases {renewed} were renewed, {touched} agents changed, {parked} parked"
        )


def _setting(agents: int, lease_seconds: int, grace_seconds: int) -> Iterator[Event[Model]]:
    tenant = TenantDocument(
        id=TENANT,
        revision=1,
        name="Bench",
        first_line_department="sales",
        lease_seconds=lease_seconds,
        grace_seconds=grace_seconds,
    )
    yield _event("tenant", tenant)
    for number in range(agents):
        name = _name(number)
        document = AgentDocument(id=name, revision=1, name=name, departments=("sales",), capacity=5)
        yield _event(f"document-{number}", document)


def _signed_in(number: int) -> Event[Model]:
    """A session that tells of input from the start; the first heartbeat that does would ask for a row."""
    active_at = CLOCK.now() - timedelta(minutes=1)
    session = AgentSignedIn(agent_id=_name(number), session_id=_session(number), active_at=active_at)
    return _event(f"signed-in-{number}", session)


def _heartbeats(count: int) -> Iterator[Event[Model]]:
    """Heartbeats of all agents in turn, as the desk says them: with the newest input."""
    return (_heartbeat(number % AGENTS, f"beat-{number}") for number in range(count))


def _heartbeat(number: int, event_id: str) -> Event[Model]:
    active_at = CLOCK.now() - timedelta(seconds=number % 60)
    beat = AgentHeartbeat(agent_id=_name(number), session_id=_session(number), active_at=active_at)
    return _event(event_id, beat)


def _name(number: int) -> str:
    return f"agent-{number:04}"


def _session(number: int) -> str:
    return f"0192f0c4-8f5e-7cc1-b2d5-{number:012}"


def _event(event_id: str, data: Model) -> Event[Model]:
    cause = Cause(TENANT, event_id)
    return fact(cause, data, source="bench", subject="bench", time=CLOCK.now())
