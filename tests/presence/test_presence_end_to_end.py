"""Presence as a process: signals on Kafka in, agents' states on Kafka out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from shared.contracts import catalogue, cloudevents
from shared.contracts.event import Event, Model
from shared.platform.settings import PlatformSettings
from tests import desk_events as desk
from tests.conftest import Installation, Migrated, Processes
from tests.presence.signals import heartbeat, signed_in, signed_out, state_set
from tests.topics import publish, until_events

pytestmark = pytest.mark.servers

LEASE, GRACE = 3, 2
"""Seconds; long enough for a busy machine to renew in time."""


@pytest.fixture
async def settings(installation: Installation, migrated: Migrated) -> PlatformSettings:
    """An installation whose tenant has a lease and a grace of seconds, and ann and ben."""
    await migrated("presence")
    documents = [
        desk.a_tenant(lease_seconds=LEASE, grace_seconds=GRACE),
        desk.an_agent_document("ann"),
        desk.an_agent_document("ben"),
    ]
    await publish(installation.settings, map(desk.an_event, documents))
    return installation.settings


async def until_states(settings: PlatformSettings, *expected: str, agent: str = "ann") -> list[Event[Model]]:
    """Wait until exactly these states were said of an agent; returns them all."""

    def said(events: Sequence[Event[Model]]) -> list[str]:
        return [f"{e.data.state} {e.data.cause}" for e in events if e.data.agent_id == agent]  # type: ignore[attr-defined]

    found = await until_events(settings, "agents.v1", lambda events: said(events) == list(expected))
    return [event for event in found if event.data.agent_id == agent]


@asynccontextmanager
async def living(settings: PlatformSettings, *sessions: tuple[str, str]) -> AsyncIterator[None]:
    """Renew these sessions, (agent, session), well within their lease, for as long as the block lasts."""
    stopping = asyncio.Event()
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)

    async def renew() -> None:
        while not stopping.is_set():
            for agent, session in sessions:
                event = desk.an_event(heartbeat(session, agent))
                await producer.send(
                    settings.topic_prefix + "agent-signals.v1",
                    cloudevents.encode(event),
                    key=catalogue.key_of(event).encode(),
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEASE / 5):
                    await stopping.wait()

    await producer.start()
    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        stopping.set()
        await renewing
        await producer.stop()


async def test_an_agents_day_and_a_strangers(settings: PlatformSettings, processes: Processes) -> None:
    processes.start("presence").until_ready()

    await publish(settings, [desk.an_event(signed_in(agent="zoe")), desk.an_event(signed_in())])
    async with living(settings, ("ann", "tab")):
        (letter,) = await until_events(
            settings, "presence.dead-letters.v1", lambda letters: len(letters) == 1
        )
        assert letter.data.reason == "unknown_agent"
        assert "'zoe' is not in the directory" in letter.data.detail

        await publish(settings, [desk.an_event(state_set("away", reason="lunch", draining=True))])
        await until_states(settings, "online signed_in", "away state_set")

    before = ("online signed_in", "away state_set", "offline lost")
    await until_states(settings, *before)
    async with living(settings, ("ann", "tab")):
        await until_states(settings, *before, "away returned")
        await publish(settings, [desk.an_event(signed_out())])
        said = await until_states(settings, *before, "away returned", "offline signed_out")

    assert [event.data.version for event in said] == [1, 2, 3, 4, 5]  # type: ignore[attr-defined]
    assert [event.data.draining for event in said] == [False, True, True, True, False]  # type: ignore[attr-defined]


async def test_a_lost_redis_and_a_killed_process_make_nobody_absent(
    settings: PlatformSettings, processes: Processes, redis: Redis
) -> None:
    first = processes.start("presence").until_ready()
    await publish(settings, [desk.an_event(signed_in()), desk.an_event(signed_in("tab", "ben"))])
    async with living(settings, ("ann", "tab")):
        await until_states(settings, "online signed_in")
        await until_states(settings, "online signed_in", "offline lost", agent="ben")
        await redis.delete(*await redis.keys(f"{settings.topic_prefix}*"))
        first.kill()
        processes.start("presence").until_ready()
        # Ben's next loss takes longer than ann's would have, had she seemed absent at any time.
        await publish(settings, [desk.an_event(heartbeat("tab", "ben"))])
        await until_states(
            settings, "online signed_in", "offline lost", "online returned", "offline lost", agent="ben"
        )
        await until_states(settings, "online signed_in")
    await until_states(settings, "online signed_in", "offline lost")


async def test_a_stale_state_that_comes_last_on_the_topic_is_made_good(
    settings: PlatformSettings, processes: Processes
) -> None:
    processes.start("presence").until_ready()
    await publish(settings, [desk.an_event(signed_in())])
    async with living(settings, ("ann", "tab")):
        await publish(settings, [desk.an_event(state_set("away"))])
        first, second = await until_states(settings, "online signed_in", "away state_set")

        await publish(settings, [first])

        found = await until_events(settings, "agents.v1", lambda events: len(events) == 4)
        assert found[2:] == [first, second]
